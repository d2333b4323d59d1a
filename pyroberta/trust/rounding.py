"""How each operation's result is perturbed by one rounding of a number type.

Monte Carlo arithmetic (Parker 1997, "Monte Carlo Arithmetic: exploiting randomness in
floating-point arithmetic", UCLA CSD-970002; CESTAC: Vignes 1993, Mathematics and Computers in
Simulation 35): a program is run a few times with every result ``y`` made ``y (1 + u xi)``, ``xi``
uniform in ``[-1, 1]`` and ``u`` the type's unit roundoff; how far the runs are apart is what
rounding does to the program, in whatever order it adds.

The operations of a dot product of ``n`` terms are drawn at once: their sum is nearly normal. For
terms ``p_i`` added in an order drawn at random, with ``y = sum p_i`` and ``P = sum p_i^2``, the
partial sum of ``j`` terms has the expected square ``j / n P + j (j - 1) / (n (n - 1)) (y^2 - P)``,
and these add up to ``(n + 1) (P / 6 + y^2 / 3)``; the roundings of the terms add ``P``. Each
rounding has the variance ``u^2 / 3``.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..arrays import Array
from ..checks import excerpt, is_name_of
from ..errors import InputError


@dataclasses.dataclass(frozen=True)
class NumberType:
    """What an implementation rounds, as unit roundoffs.

    Attributes:
        result: of what a step gives.
        inner: of the operations inside: sums are often in a wider type.
        operand: of both sides of each product of matrices.
        group: of codes that share a scale: the error over the root mean square of a row.
    """

    result: float
    inner: float
    operand: float = 0.0
    group: float = 0.0


NUMBER_TYPES = {
    "float64": NumberType(2**-53, 2**-53),
    "float32": NumberType(2**-24, 2**-24),
    "tfloat32": NumberType(2**-24, 2**-24, 2**-11),
    "bfloat16x3": NumberType(2**-24, 2**-24, 2**-16),
    "float16": NumberType(2**-11, 2**-24, 2**-11),
    "bfloat16": NumberType(2**-8, 2**-24, 2**-8),
    # Codes of 127 steps: the largest of a row is some four times its root mean square, and an
    # error is uniform in half a step either way. Attention rounds to bfloat16.
    "int8": NumberType(2**-24, 2**-24, 0.0, 4 / 127 / math.sqrt(12)),
}
# The types that arrays are told apart by, from the most precise.
_STORED = ("float64", "float32", "float16", "bfloat16")


def find_number_type(name: str) -> NumberType:
    """The record of a type. Raises InputError for another name."""
    if not is_name_of(name, NUMBER_TYPES):
        known = ", ".join(NUMBER_TYPES)
        raise InputError(f"number_type must be one of {known}, not {excerpt(name)}")
    return NUMBER_TYPES[name]


def fits_type(values: Array, name: str) -> bool:
    """Whether each of the values is a number of the type: what rounding would not change."""
    x = np.asarray(values, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if name == "bfloat16":
            narrow = x.astype(np.float32)
            bits = narrow.view(np.uint32)
            return bool(((bits & 0xFFFF) == 0).all() and (_equal(narrow, x)).all())
        return name == "float64" or bool(_equal(x.astype(name), x).all())


def narrowest(values: Array) -> str:
    """The narrowest type whose numbers the values are: ``"bfloat16"`` ... ``"float64"``."""
    for name in reversed(_STORED):
        if fits_type(values, name):
            return name
    return "float64"


def widest(names: set[str]) -> str:
    """The most precise of some types of arrays."""
    return min(names, key=_STORED.index)


def _equal(a: Array, b: Array) -> Array:
    equal: Array = (a == b) | (np.isnan(a) & np.isnan(b))
    return equal


class Exact:
    """No rounding: what a step's operations give in float64."""

    def result(self, y: Array) -> Array:
        """What a step gives."""
        return y

    def inner(self, y: Array) -> Array:
        """What an operation inside a step gives."""
        return y

    def dot(self, y: Array, squares: Array, terms: int, norms: Array | None = None) -> Array:
        """Sums ``y`` of ``terms`` terms, the sums of whose squares are ``squares``.

        ``norms``: of a product of matrices ``|x|^2 |w|^2``, what codes of whole rows err by;
        ``None``: of a sum that is no such product.
        """
        return y


EXACT = Exact()


class Perturbed(Exact):
    """Every operation's result perturbed by one rounding of a type.

    Args:
        kind: the type.
        rng: where the draws come from.
    """

    def __init__(self, kind: NumberType, rng: np.random.Generator) -> None:
        self._kind = kind
        self._rng = rng

    def result(self, y: Array) -> Array:
        return self._one(y, self._kind.result)

    def inner(self, y: Array) -> Array:
        return self._one(y, self._kind.inner)

    def dot(self, y: Array, squares: Array, terms: int, norms: Array | None = None) -> Array:
        kind = self._kind
        variance = kind.inner**2 / 3 * ((terms + 1) * (squares / 6 + y * y / 3) + squares)
        if norms is not None:
            variance += kind.operand**2 * (2 / 3) * squares
            variance += kind.group**2 * 2 / max(1, terms) * norms
        return y + np.sqrt(variance) * self._rng.standard_normal(y.shape, np.float32)

    def _one(self, y: Array, unit: float) -> Array:
        draws = self._rng.random(y.shape, np.float32)
        draws *= 2
        draws -= 1
        return y * (1 + unit * draws.astype(np.float64))
