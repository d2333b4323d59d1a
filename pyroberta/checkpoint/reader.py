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
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from ..arrays import Array
from ..errors import CheckpointError
from .files import INDEX_FILE, SINGLE_FILE

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

    def read(self, dtype: np.dtype[Any] | type = np.float32) -> Array:
        """A new array of the tensor's values in ``dtype``.

        Raises:
            CheckpointError: the file ends early, or the tensor's dtype is not a float's.
        """
        return widen(self.read_stored(), self.dtype, dtype)

    def read_stored(self) -> Array:
        """The bits as they are stored, read into a new array; raises as ``read``."""
        raw = np.empty(self.shape, self._stored())
        self.read_into(raw.reshape(-1).view(np.uint8))
        return raw

    def read_into(self, out: Array) -> None:
        """Fill ``out`` (uint8 ``[size]``) with the tensor's bytes; raises as ``read``."""
        view = out.data
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.offset)
            done = 0
            while done < self.size:
                count = file.readinto(view[done:])
                if not count:
                    raise CheckpointError(
                        f"{self.file} must hold {self.size} bytes of {self.name} "
                        f"at {self.offset}, not {done}: it was cut"
                    )
                done += count

    def map(self) -> Array:
        """A read-only view of the mapped file, the bits as they are stored (see ``widen``).

        Raises:
            CheckpointError: the file ends early, or the tensor's dtype is not a float's.
        """
        stored = self._stored()
        if self.size == 0 or self.offset % np.dtype(stored).itemsize:
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


@dataclasses.dataclass(frozen=True)
class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a folder, by name."""

    path: Path
    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The tensors of ``model.safetensors`` or of the shards that its index names.

    Raises:
        FileNotFoundError: no such folder, or neither file in it.
        CheckpointError: a file that is cut, malformed, or not what the index says.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"path must be a checkpoint's folder, not {str(path)!r}")
    if (folder / SINGLE_FILE).exists():
        return Checkpoint(folder, read_header(folder / SINGLE_FILE))
    if (folder / INDEX_FILE).exists():
        return Checkpoint(folder, _read_index(folder))
    others = sorted(p.name for p in folder.glob("*.bin"))
    hint = ""
    if others:
        hint = (
            f"; {others[0]} is not read, since it may hold code: convert it with "
            "transformers' save_pretrained(safe_serialization=True)"
        )
    raise FileNotFoundError(f"{folder} must hold {SINGLE_FILE} or {INDEX_FILE}{hint}")


def _read_index(folder: Path) -> dict[str, Tensor]:
    file = folder / INDEX_FILE
    try:
        index = json.loads(file.read_bytes(), object_pairs_hook=_no_duplicates)
        weight_map = index["weight_map"]
        shards = {str(name): str(shard) for name, shard in weight_map.items()}
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{file} must be an index with a weight_map: {error}") from None
    headers: dict[str, dict[str, Tensor]] = {}
    for shard in sorted(set(shards.values())):
        # A path would let an index name any file of the machine. (A plain name may be a link: the
        # Hub's cache is made of them.)
        if shard in ("", ".", "..") or Path(shard).name != shard:
            raise CheckpointError(f"{file} must name shards that stand beside it, not {shard!r}")
        if not os.path.exists(folder / shard):  # False too where the name is no file name at all
            raise CheckpointError(f"{file} must name shards that exist, not {shard!r}")
        headers[shard] = read_header(folder / shard)
    tensors: dict[str, Tensor] = {}
    for name, shard in shards.items():
        if name not in headers[shard]:
            raise CheckpointError(
                f"{folder / shard} must hold {name}, which {file.name} says of it"
            )
        tensors[name] = headers[shard][name]
    for shard, header in headers.items():
        for name in header:
            if shards.get(name) != shard:
                raise CheckpointError(f"{file} must list all of {shard}, not leave out {name}")
    return tensors


def read_header(file: Path) -> dict[str, Tensor]:
    """What the header of one file says, once the safetensors library has found it sound."""
    if not file.is_file():
        raise CheckpointError(f"{file} must be a regular file")
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
        header = json.loads(text, object_pairs_hook=_no_duplicates)
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


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands in it twice")
    return entries


def widen(raw: Array, stored: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
    """The values of the bits ``raw`` that a file stores as ``stored``, contiguous, in ``dtype``.

    ``raw`` itself where it is that already.
    """
    if stored == "BF16":  # the upper half of a float32
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(raw, np.dtype(dtype))
