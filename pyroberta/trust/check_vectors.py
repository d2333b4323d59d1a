"""Another implementation's results beside the test vectors, in units in the last place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checkpoint import read_tensors
from ..checks import excerpt
from ..errors import InputError
from .comparison import plain_numbers
from .others import read_arrays
from .vectors import FORMAT, TENSORS_FILE


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorResult:
    """One case.

    Attributes:
        name: of the case.
        ulps: the largest error in units in the last place of the case's type, at the exact result;
            infinite where one is not finite and the other is, or an index differs.
        normal_ulps: the same of the results that are no subnormal numbers of the type, which an
            implementation may flush to 0.
        at: the index of that number in the flattened output.
        wanted, got: the exact number and theirs.
    """

    name: str
    ulps: float
    normal_ulps: float
    at: int
    wanted: float
    got: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorReport:
    """What ``check_vectors`` found.

    Attributes:
        results: of the cases that theirs has.
        missing: the names of the others.
    """

    results: tuple[VectorResult, ...]
    missing: tuple[str, ...]

    @property
    def worst(self) -> float:
        """The largest error of all cases."""
        return max((result.ulps for result in self.results), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON; what is not finite as a text."""
        found = [plain_numbers(dataclasses.asdict(result)) for result in self.results]
        return {"results": found, "missing": list(self.missing)}

    def __str__(self) -> str:
        wide = max([4, *(len(result.name) for result in self.results)])
        head = f"{'case':{wide}}  {'ulps':>10}  {'normal':>10}  {'exact':>23}  {'theirs':>23}"
        lines = [head]
        for one in self.results:
            numbers = f"{one.ulps:10.4g}  {one.normal_ulps:10.4g}"
            lines.append(f"{one.name:{wide}}  {numbers}  {one.wanted!r:>23}  {one.got!r:>23}")
        lines += ["", f"{len(self.results)} cases, at most {self.worst:.4g} ulps apart"]
        if self.missing:
            lines.append(f"{len(self.missing)} cases are missing: {', '.join(self.missing[:3])}")
        return "\n".join(lines)


def check_vectors(
    folder: str | os.PathLike[str], theirs: str | os.PathLike[str] | Mapping[str, Any]
) -> VectorReport:
    """Compare an implementation's outputs with the vectors of a folder.

    Args:
        folder: that ``write_vectors`` wrote.
        theirs: outputs by the names of the cases, of their shapes, as for ``compare``.

    Raises:
        FileNotFoundError: no vectors, or nothing to compare.
        InputError: arrays of other shapes, or none that is named as a case.
    """
    outputs = dict(_outputs(folder))
    if not outputs:
        raise InputError(f"{os.fspath(folder)!r} must have cases, not none: write them again")
    arrays = read_arrays(theirs)
    results = []
    for name, wanted in outputs.items():
        if name in arrays:
            got = arrays[name]
            if got.shape != wanted.shape:
                raise InputError(
                    f"{name} must be of shape {list(wanted.shape)}, not {list(got.shape)}"
                )
            if got.dtype.kind not in "fiu":
                raise InputError(f"{name} must be numbers, not {got.dtype}")
            results.append(judge(name, wanted, got))
    if not results:
        shown = ", ".join(sorted(arrays)[:3])
        raise InputError(
            f"theirs must have outputs by the names of cases, such as {next(iter(outputs))!r}, "
            f"not {shown or 'none'}"
        )
    missing = tuple(name for name in outputs if name not in arrays)
    return VectorReport(results=tuple(results), missing=missing)


def _outputs(folder: str | os.PathLike[str]) -> Iterator[tuple[str, Array]]:
    file = Path(folder) / TENSORS_FILE
    tensors, metadata = read_tensors(file)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{file} must be test vectors ({FORMAT!r}), not another file")
    for name, tensor in tensors.items():
        case, _, part = name.rpartition("/")
        if part == "output":
            if tensor.size == 0 or (
                tensor.dtype != "I64" and case.rpartition(".")[2] not in _KINDS
            ):
                raise InputError(f"{file} must have cases of known types, not {excerpt(case)}")
            raw = np.empty(tensor.shape, "<i8" if tensor.dtype == "I64" else "<f8")
            tensor.read_into(raw.reshape(-1).view(np.uint8))
            yield case, raw


def judge(name: str, wanted: Array, got: Array) -> VectorResult:
    """The largest error of one case."""
    exact, theirs = wanted.astype(np.float64).ravel(), np.asarray(got, np.float64).ravel()
    if wanted.dtype.kind == "i":
        ulps, is_normal = np.where(exact == theirs, 0.0, np.inf), np.ones(exact.shape, bool)
    else:
        kind = _KINDS[name.rpartition(".")[2]]
        with np.errstate(over="ignore"):  # from here on infinite: float64 has no such number
            largest = np.ldexp(2.0 - 2.0 ** -(kind.bits + 1), kind.highest)
        overflows = np.isinf(theirs) & (np.signbit(theirs) == np.signbit(exact))
        overflows &= np.abs(exact) >= largest
        is_normal = np.abs(exact) >= np.ldexp(1.0, kind.lowest)
        with np.errstate(all="ignore"):
            ulps = np.abs(theirs - exact) / spacing(exact, name.rpartition(".")[2])
        right = (theirs == exact) | overflows
        ulps = np.where(right, 0.0, np.where(np.isfinite(ulps), ulps, np.inf))
    at = int(ulps.argmax())
    return VectorResult(
        name=name,
        ulps=float(ulps[at]),
        normal_ulps=float(np.where(is_normal, ulps, 0).max()),
        at=at,
        wanted=float(exact[at]),
        got=float(theirs[at]),
    )


@dataclasses.dataclass(frozen=True)
class _Kind:
    """Bits behind the point, and the exponents of the smallest normal and the largest number."""

    bits: int
    lowest: int
    highest: int


_KINDS = {
    "float64": _Kind(52, -1022, 1023),
    "float32": _Kind(23, -126, 127),
    "float16": _Kind(10, -14, 15),
    "bfloat16": _Kind(7, -126, 127),
}


def spacing(x: Array, kind: str) -> Array:
    """A unit in the last place of a type at each number: of the type's range, not above it."""
    of = _KINDS[kind]
    _, exponents = np.frexp(np.abs(x))
    unit: Array = np.ldexp(1.0, np.clip(exponents - 1, of.lowest, of.highest) - of.bits)
    return unit
