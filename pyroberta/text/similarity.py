"""How alike vectors are, and vectors in fewer bytes, as sentence-transformers has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..checks import as_array, excerpt, is_name_of
from ..errors import InputError
from ..kernels.arithmetic import in_usual_arithmetic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def _unit(x: Array) -> Array:
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    unit: Array = x / np.where(lengths > 0, lengths, 1)
    return unit


def _cosine(a: Array, b: Array) -> Array:
    return _unit(a) @ _unit(b).T


def _dot(a: Array, b: Array) -> Array:
    product: Array = a @ b.T
    return product


def _euclidean(a: Array, b: Array) -> Array:
    # One of a at a time: all differences at once would be [n, m, dimension] numbers.
    return -np.array([np.sqrt(((b - x) ** 2).sum(axis=-1)) for x in a]).reshape(len(a), len(b))


def _manhattan(a: Array, b: Array) -> Array:
    return -np.array([np.abs(b - x).sum(axis=-1) for x in a]).reshape(len(a), len(b))


SIMILARITIES: dict[str, Callable[[Array, Array], Array]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")


@in_usual_arithmetic
def similarity(a: ArrayLike, b: ArrayLike, name: str = "cosine") -> NDArray[np.float32]:
    """How alike each vector of ``a`` is to each of ``b``.

    Args:
        a, b: ``[n, dimension]`` and ``[m, dimension]``, or one vector ``[dimension]``.
        name: ``"cosine"``, ``"dot"``, ``"euclidean"`` or ``"manhattan"``; the last two are
            distances with a minus.

    Returns:
        float32 ``[n, m]``, computed in float64.

    Raises:
        InputError: arrays of another shape; no such name.

    Example:
        >>> similarity([[1.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]).tolist()
        [[1.0, 0.0]]
    """
    if not is_name_of(name, SIMILARITIES):
        raise InputError(
            f"similarity must be one of {', '.join(SIMILARITIES)}, not {excerpt(name)}"
        )
    x, y = _vectors("a", a), _vectors("b", b)
    if x.shape[1] != y.shape[1]:
        raise InputError(f"b must have vectors of {x.shape[1]} numbers as a has, not {y.shape[1]}")
    return SIMILARITIES[name](x, y).astype(np.float32)


def _vectors(name: str, value: Any) -> Array:
    array = as_array(name, value)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise InputError(f"{name} must be vectors [n, dimension], not {list(array.shape)}")
    return array.astype(np.float64)


@in_usual_arithmetic
def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors ``[n, dimension]`` scaled to length 1 in float64; those of length 0 as they are."""
    return _unit(vectors.astype(np.float64)).astype(np.float32)


@in_usual_arithmetic
def quantized(vectors: NDArray[np.float32], precision: str) -> NDArray[Any]:
    """Vectors in fewer bytes.

    Args:
        vectors: ``[n, dimension]``.
        precision: ``"float32"``: as they are. ``"int8"``, ``"uint8"``: 256 steps between the least
            and the greatest number of each column. ``"binary"``, ``"ubinary"``: a bit for each
            number, 1 above 0, eight in a byte, as int8 or uint8.

    Raises:
        InputError: no such precision; one vector alone in 256 steps.
    """
    if not is_name_of(precision, PRECISIONS):
        raise InputError(
            f"precision must be one of {', '.join(PRECISIONS)}, not {excerpt(precision)}"
        )
    if precision == "float32":
        return vectors
    if precision.endswith("binary"):
        bits: NDArray[Any] = np.packbits(vectors > 0, axis=-1)
        if precision == "binary":
            bits = (bits - np.uint8(128)).view(np.int8)
        return bits
    if len(vectors) == 1:
        raise InputError(
            f"precision must be float32, binary or ubinary for one text, not {precision!r}: the "
            "steps are those of several texts' vectors"
        )
    if not len(vectors):
        return np.zeros(vectors.shape, precision)
    low = vectors.min(axis=0)
    steps = (vectors.max(axis=0) - low) / 255
    steps = np.where(steps == 0, np.float32(1), steps)
    levels: NDArray[Any] = np.clip(np.floor((vectors - low) / steps), 0, 255)
    if precision == "int8":
        levels = levels - 128
    return levels.astype(precision)
