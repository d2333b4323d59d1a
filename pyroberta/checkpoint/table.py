"""Tables whose rows are gathered: as a file has them, or in the type that a user asks for.

A word table is most of a small model's bytes (147 of roberta-base's 231 MiB in int8) and a call
reads a few of its rows. ``embedding_type`` keeps it in fewer bits; rows are widened as they are
read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, IntArray
from ..checks import excerpt, is_name_of
from ..errors import CheckpointError, ConfigError
from .reader import widen

EMBEDDING_TYPES = ("float16", "int8")
# The columns of a row of codes that share a scale: a sixteenth of the codes' bytes for the scales,
# and a column of large values, as trained models have, takes the codes of no more columns.
_GROUP = 64
_LARGEST_SCALE = np.nextafter(np.finfo(np.float32).max / np.float32(127), np.float32(0))
_ROWS = 1024  # that are rounded at a time: 3 MB of float32 at 768 columns


class Table:
    """A tensor whose rows are gathered: mapped from its file, and never copied as a whole.

    Args:
        raw: ``[rows, cols]``, the bits as stored.
        stored: their dtype in the file's terms, e.g. ``"BF16"``.
    """

    def __init__(self, raw: Array, stored: str = "F32") -> None:
        # Replaced as one, so that no thread sees the bits of one dtype under another's name.
        self._bits = (raw, stored)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, cols)``."""
        return self._bits[0].shape

    @property
    def is_float32(self) -> bool:
        """Whether ``array`` costs nothing."""
        return _is_float32(*self._bits)

    def array(self) -> Array:
        """All rows as float32; from then on kept so, where the file has them otherwise."""
        raw, stored = self._bits
        if not _is_float32(raw, stored):
            raw = widen(raw, stored)
            self._bits = (raw, "F32")
        return raw

    def rows(self, at: IntArray | slice, dtype: np.dtype[Any] | type = np.float32) -> Array:
        """Some rows in ``dtype``, without widening the others."""
        raw, stored = self._bits
        return widen(raw[at], stored, dtype)

    def stored(self) -> dict[str, Array]:
        """What a file keeps of it: the bits, by an ending of the table's name."""
        return {"": self._bits[0]}


class Int8Table(Table):
    """A table of codes in [-127, 127], with a scale for each 64 columns of a row.

    A value is the float32 nearest to code times scale, the scale a 127th of the largest of its
    columns: so a value is off by at most half of that, but for numbers below 1e-43, which are 0.

    Args:
        codes: int8 ``[rows, cols]``.
        scales: float32 ``[rows, groups]``.
    """

    def __init__(self, codes: Array, scales: Array) -> None:
        super().__init__(codes, "I8")
        self._scales = scales

    def array(self) -> Array:
        return self.rows(slice(None))

    def rows(self, at: IntArray | slice, dtype: np.dtype[Any] | type = np.float32) -> Array:
        codes = self._bits[0][at]
        scales = np.repeat(self._scales[at], _GROUP, axis=1)[:, : codes.shape[1]]
        values: Array = codes.astype(np.float32) * scales
        return values.astype(dtype, copy=False)

    def stored(self) -> dict[str, Array]:
        return {"": self._bits[0], ".scales": self._scales}


def scales_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """The shape of the scales of an int8 table of this shape."""
    return shape[0], -(-shape[1] // _GROUP)


def check_embedding_type(name: Any) -> str | None:
    """One of ``EMBEDDING_TYPES``, or ``None``. Raises ConfigError."""
    if name is not None and not is_name_of(name, EMBEDDING_TYPES):
        names = " or ".join(map(repr, EMBEDDING_TYPES))
        raise ConfigError(
            f"embedding_type must be {names}, or None for what the file has, not {excerpt(name)}"
        )
    assert name is None or isinstance(name, str)
    return name


def narrow(table: Table, embedding_type: str, name: str) -> Table:
    """The table in ``embedding_type``, in memory.

    Args:
        table: as its file has it.
        embedding_type: one of ``EMBEDDING_TYPES``.
        name: of the tensor, for what is raised.

    Raises:
        CheckpointError: a number that float16 does not reach.
    """
    rows, cols = table.shape
    if embedding_type == "float16":
        halves = np.empty((rows, cols), np.float16)
        for at in _batches(rows):
            wide = table.rows(at)
            with np.errstate(over="ignore"):
                halves[at] = wide
            if not np.array_equal(np.isfinite(halves[at]), np.isfinite(wide)):
                raise CheckpointError(
                    f"{name} must be within float16, up to 65504, for embedding_type 'float16', "
                    f"not {np.abs(wide[np.isfinite(wide)]).max():g}: leave the option out"
                )
        return Table(halves, "F16")
    codes = np.empty((rows, cols), np.int8)
    scales = np.empty(scales_shape((rows, cols)), np.float32)
    for at in _batches(rows):
        wide = table.rows(at)
        for group, begin in enumerate(range(0, cols, _GROUP)):
            columns = slice(begin, begin + _GROUP)
            codes[at, columns], scales[at, group] = _codes(wide[:, columns])
    return Int8Table(codes, scales)


def _batches(rows: int) -> list[slice]:
    return [slice(at, at + _ROWS) for at in range(0, rows, _ROWS)]


def _codes(wide: Array) -> tuple[Array, Array]:
    """The codes of some columns, and their scale; NaN for a row that is not finite."""
    scale = np.abs(wide).max(axis=1) / np.float32(127)
    # The quotient rounds up for the largest float32, and 127 times it would be infinite.
    scale = np.where(np.isfinite(scale), np.minimum(scale, _LARGEST_SCALE), scale)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A subnormal scale may give more than 127.
        codes = np.clip(np.rint(wide / scale[:, None]), -127, 127)
    finite = np.isfinite(scale) & (scale > 0)
    scale[np.isinf(scale)] = np.nan
    return np.where(finite[:, None], codes, 0), scale


def _is_float32(raw: Array, stored: str) -> bool:
    """Whether the kernels can read these bits where they are."""
    return stored == "F32" and raw.flags.aligned
