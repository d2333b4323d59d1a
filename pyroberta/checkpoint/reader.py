"""Reads safetensors files, single or sharded, as a table of named tensors.

The safetensors library checks a file's header (sizes, overlaps, its own length against the file's)
before anything here trusts an offset of it. What it leaves open is checked here: a name that
stands twice, a shard outside the folder, a shard that lacks what the index says of it. The bytes
are then read by ordinary reads, or mapped where a table is only ever gathered from; both need
dtypes that NumPy lacks (bfloat16), which is why the library's own tensors are not used.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from ..arrays import Array
from ..errors import CheckpointError
from ..small_json import check_is_file, no_duplicates

# The bits of each dtype as NumPy stores them.
_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file, not read yet.

    Attributes:
        name: as the file spells it.
        dtype: ``"F32"``, ``"F16"``, ``"BF16"`` or ``"F64"``; others can be listed, not read.
        shape: its sizes.
        file: where it is.
        offset: of its first byte in the file.
        size: in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
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
        fill_from(self.file, self.offset, out, self.name)

    def map(self) -> Array:
        """A read-only view of the mapped file, the bits as they are stored (see ``widen``).

        Aligned no better than the file: the storages of an older ``torch.save`` stand anywhere.

        Raises:
            CheckpointError: the file ends early, or the tensor's dtype is not a float's.
        """
        stored = self._stored()
        if self.size == 0:
            return self.read_stored()
        try:
            return np.memmap(self.file, stored, "r", self.offset, self.shape).view(np.ndarray)
        except ValueError as error:
            raise CheckpointError(f"{self.file} must hold all of {self.name}: {error}") from None

    def _stored(self) -> str:
        if self.dtype not in _STORED:
            raise CheckpointError(
                f"{self.name} in {self.file} must be one of {', '.join(_STORED)}, not {self.dtype}"
            )
        return _STORED[self.dtype]


def read_header(file: Path) -> dict[str, Tensor]:
    """What the header of one file says, once the safetensors library has found it sound."""
    check_is_file(file)
    try:
        with safetensors.safe_open(str(file), framework="numpy"):
            pass
    except Exception as error:  # SafetensorError derives from Exception alone
        raise CheckpointError(
            f"{file} must be a safetensors file, not one that is cut or malformed: {error}"
        ) from None
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        text = stream.read(length)
    try:
        header = json.loads(text, object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} must have a sound header: {error}") from None
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        shape = tuple(int(n) for n in entry["shape"])
        tensors[name] = Tensor(name, entry["dtype"], shape, file, 8 + length + begin, end - begin)
    return tensors


def fill_from(file: Path, offset: int, out: Array, name: str) -> None:
    """Fill ``out`` (uint8 ``[size]``) with a file's bytes from ``offset`` on.

    Raises:
        CheckpointError: the file ends before; ``name`` is whose bytes they are.
    """
    view = out.data
    with file.open("rb", buffering=0) as stream:
        stream.seek(offset)
        done = 0
        while done < len(view):
            count = stream.readinto(view[done:])
            if not count:
                raise CheckpointError(
                    f"{file} must hold {len(view)} bytes of {name} at {offset}, not {done}: "
                    "it was cut"
                )
            done += count


def widen(raw: Array, stored: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
    """The values of the bits ``raw``, stored as ``stored``: contiguous, aligned, in ``dtype``.

    ``raw`` itself where it is that already.
    """
    if stored == "BF16":  # the upper half of a float32
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return np.require(raw, np.dtype(dtype), ["C", "A"])
