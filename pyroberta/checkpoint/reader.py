"""Reads safetensors files, single or sharded, as a table of named tensors.

``header.py`` checks a file's header before anything here trusts an offset of it. The bytes are then
read by ordinary reads, or mapped where a table is only ever gathered from; both need dtypes that
NumPy lacks (bfloat16), which is why the library's own tensors are not used.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import CheckpointError
from .header import load_header
from .open_file import OpenFile

# The bits of each dtype as NumPy stores them.
_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file, not read yet.

    Attributes:
        name: as the file spells it.
        dtype: ``"F32"``, ``"F16"``, ``"BF16"`` or ``"F64"``; others can be listed, not read.
        shape: its sizes.
        file: where it is, open.
        offset: of its first byte in the file.
        size: in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: OpenFile
    offset: int
    size: int

    @property
    def contiguous(self) -> bool:
        """Whether its elements stand in the file one after the other, the last axis first."""
        return True

    def read(self, dtype: np.dtype[Any] | type = np.float32) -> Array:
        """A new array of the tensor's values in ``dtype``.

        Raises:
            CheckpointError: the file ends early, or the tensor's dtype is not a float's.
        """
        return widen(self.read_stored(), self.dtype, dtype)

    def widened(self, raw: Array) -> Array:
        """Some of the bits that ``read_stored`` gave, as float64."""
        return widen(raw, self.dtype, np.float64)

    def read_stored(self) -> Array:
        """The bits as they are stored, read into a new array; raises as ``read``."""
        raw = np.empty(self.shape, self._stored())
        self.read_into(raw.reshape(-1).view(np.uint8))
        return raw

    def read_into(self, out: Array) -> None:
        """Fill ``out`` (uint8 ``[size]``) with the tensor's bytes; raises as ``read``."""
        self.file.fill(self.offset, out, self.name)

    def map(self) -> Array:
        """A read-only view of the mapped file, the bits as they are stored (see ``widen``).

        Where the system maps no files, they are read.

        Aligned no better than the file: the storages of an older ``torch.save`` stand anywhere.

        Raises:
            CheckpointError: the file ends early, or the tensor's dtype is not a float's.
        """
        stored = self._stored()
        if self.size == 0:
            return self.read_stored()
        mapped = self.file.map(self.offset, self.size, self.name)
        if mapped is None:  # a mount that maps no files
            return self.read_stored()
        return mapped.view(stored).reshape(self.shape)

    def _stored(self) -> str:
        if self.dtype not in _STORED:
            raise CheckpointError(
                f"{self.name} in {self.file} must be one of {', '.join(_STORED)}, not {self.dtype}"
            )
        return _STORED[self.dtype]


def read_header(file: Path) -> dict[str, Tensor]:
    """What the header of one file says, once it has been found sound. Raises CheckpointError."""
    return read_header_of(OpenFile(file))[0]


def read_header_of(file: OpenFile) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file, and its metadata; raises as ``load_header``."""
    entries, metadata, start = load_header(file)
    tensors = {}
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        tensors[name] = Tensor(
            name, entry["dtype"], tuple(entry["shape"]), file, start + begin, end - begin
        )
    return tensors, metadata


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of any safetensors file, and its metadata; raises as ``load_header``."""
    return read_header_of(OpenFile(Path(path)))


def widen(raw: Array, stored: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
    """The values of the bits ``raw``, stored as ``stored``: contiguous, aligned, in ``dtype``.

    ``raw`` itself where it is that already.
    """
    if stored == "BF16":  # the upper half of a float32
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return np.require(raw, np.dtype(dtype), ["C", "A"])
