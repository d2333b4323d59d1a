"""Reads the files that ``torch.save`` writes of a state dict: ``pytorch_model.bin`` and its shards.

Two formats: a zip archive (PyTorch 1.6 and later), and a row of pickles before the numbers. What
they say is read by ``torch_pickle.py``, which executes nothing of it. The numbers stay where they
are: a tensor whose elements stand in order is a ``Tensor`` like those of a safetensors file, mapped
and packed like them; another (transposed, a column, repeated) is gathered as it is read.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arrays import Array
from ..checks import excerpt
from ..errors import CheckpointError
from ..small_json import file_named
from . import torch_zip
from .open_file import OpenFile
from .reader import Tensor
from .torch_names import WIDTHS, Storage, View, shown
from .torch_pickle import load_pickle
from .torch_stream import Stream
from .torch_zip import Entry, read_entries

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_TAR = slice(257, 262), b"ustar"
_VERSIONS = range(1, 11)  # of the archive
# What a training program may have put around the state dict.
_WRAPPERS = ("state_dict", "model_state_dict")


@dataclasses.dataclass(frozen=True)
class StridedTensor(Tensor):
    """A tensor whose elements stand in the file with gaps, or in another order, or once for many.

    Attributes:
        strides: from one element to the next along each axis, in elements.
        span: bytes of the file from the first to the last of them.
    """

    strides: tuple[int, ...]
    span: int

    @property
    def contiguous(self) -> bool:
        return False

    def read_into(self, out: Array) -> None:
        element = np.dtype(f"V{self.size // math.prod(self.shape)}")
        window = np.empty(self.span, np.uint8)
        self.file.fill(self.offset, window, self.name)
        strides = tuple(stride * element.itemsize for stride in self.strides)
        values = np.ndarray(self.shape, element, window.data, strides=strides)
        np.copyto(out.view(element).reshape(self.shape), values)

    def map(self) -> Array:
        return self.read_stored()


def read_torch_file(file: Path) -> dict[str, Tensor]:
    """The tensors of the state dict in a file of ``torch.save``, by name. None is read yet.

    Raises:
        CheckpointError: a file that is cut or malformed, one of another kind (TorchScript, a whole
            module, a training's state), or a pickle that wants anything but tensors.
    """
    opened = OpenFile(file)
    with file_named(file), opened.stream() as stream:
        beginning = stream.read(_TAR[0].stop)
        length = stream.seek(0, os.SEEK_END)
        if beginning.startswith(torch_zip.MAGIC):
            value, storages = _read_zip(file, stream)
        elif beginning[_TAR[0]] == _TAR[1]:
            raise _refuse(file, "the tar archive of PyTorch 0.1: save it anew by a later one")
        else:
            value, storages = _read_pickles(file, stream, length)
    tensors = {}
    for name, view in _state_dict(file, value).items():
        tensors[name] = _locate(name, view, opened, storages[view.storage.key], length)
    return tensors


def _read_zip(file: Path, stream: IO[bytes]) -> tuple[Any, dict[str, int]]:
    """The value in an archive, and where its storages begin."""
    entries = read_entries(file, stream)
    root = next(iter(entries), "").partition("/")[0]
    if f"{root}/constants.pkl" in entries or any(n.startswith(f"{root}/code/") for n in entries):
        raise _refuse(file, "a TorchScript program: load it by torch.jit.load, save its state dict")
    others = [name for name in entries if not name.startswith(f"{root}/")]
    others += [n for n in entries if n.endswith("/data.pkl") and n != f"{root}/data.pkl"]
    if others or f"{root}/data.pkl" not in entries:
        raise _refuse(file, f"an archive with {excerpt((others or [*entries])[:4])}")
    for name, check in _SMALL.items():
        entry = entries.get(f"{root}/{name}")
        if entry is None:
            continue
        stream.seek(entry.offset)
        text = stream.read(min(entry.size, 64)).strip()
        if entry.size > 64 or not check(text):
            raise _refuse(file, f"an archive with the {name} {excerpt(text.decode('latin-1'))}")
    entry = entries[f"{root}/data.pkl"]
    stream.seek(entry.offset)
    value, storages = load_pickle(Stream(file, stream, entry.size), id_size=5)
    if stream.tell() != entry.offset + entry.size:
        raise _refuse(file, "an archive with more than a pickle in data.pkl")
    places = {}
    for key, storage in storages.items():
        data = entries.get(f"{root}/data/{key}", Entry(0, 0, -1))
        _check_size(file, storage, data.size)
        places[key] = data.offset
    return value, places


# The entries of an archive that say how the others are to be read.
_SMALL: dict[str, Callable[[bytes], bool]] = {
    "byteorder": lambda text: text == b"little",
    "version": lambda text: text.isdigit() and int(text) in _VERSIONS,
}


def _read_pickles(file: Path, stream: IO[bytes], length: int) -> tuple[Any, dict[str, int]]:
    """The value in a file of before PyTorch 1.6, and where its storages begin."""
    at = 0

    def load(id_size: int = 0) -> tuple[Any, dict[str, Storage]]:
        nonlocal at
        stream.seek(at)
        loaded = load_pickle(Stream(file, stream, length - at), id_size)
        at = stream.tell()
        return loaded

    stream.seek(0)
    if stream.read(1) not in (b"\x80", b"L") or load()[0] != _MAGIC:
        raise _refuse(file, "one that begins otherwise than torch.save begins a file")
    version, system = load()[0], load()[0]
    if version != _PROTOCOL:
        raise _refuse(file, f"one of version {shown(version)}, where {_PROTOCOL} is the one known")
    if type(system) is not dict or system.get("little_endian") is not True:
        raise _refuse(file, "one that does not say little_endian")
    value, storages = load(id_size=6)
    keys = load()[0]
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise _refuse(file, f"one with {shown(keys)} for the list of its storages")
    if sorted(keys) != sorted(storages):
        raise _refuse(file, f"one that lists {len(keys)} storages and uses {len(storages)} others")
    places = {}
    for key in keys:
        stream.seek(at)
        count = int.from_bytes(stream.read(8), "little")
        at += 8
        size = count * WIDTHS[storages[key].dtype]
        _check_size(file, storages[key], size)
        if at + size > length:
            raise _refuse(file, f"one that is cut: {size} bytes of {excerpt(key)} begin at {at}")
        places[key] = at
        at += size
    if at != length:
        raise _refuse(file, f"one with {length - at} bytes after its end")
    return value, places


def _check_size(file: Path, storage: Storage, size: int) -> None:
    """Raise CheckpointError unless a storage has the bytes that the pickle says."""
    wanted = storage.count * WIDTHS[storage.dtype]
    if size != wanted:
        came = f"of {size} bytes" if size >= 0 else "missing"
        raise _refuse(file, f"one whose storage {excerpt(storage.key)} is {came}, not {wanted}")


def _state_dict(file: Path, value: Any) -> Mapping[str, View]:
    """The tensors by name, out of one wrapper at most. Raises CheckpointError."""
    if isinstance(value, dict) and len(value) == 1:
        (name,) = value
        if name in _WRAPPERS and isinstance(value[name], dict):
            value = value[name]
    if not isinstance(value, dict):
        raise _refuse(file, shown(value))
    other = next((name for name in value if not isinstance(value[name], View)), None)
    if other is not None:
        raise _refuse(
            file,
            f"one with the keys {excerpt(list(value)[:8])}, of which {excerpt(other)} is "
            f"{shown(value[other])}: save the dict of tensors alone",
        )
    return value


def _locate(name: str, view: View, opened: OpenFile, begin: int, length: int) -> Tensor:
    """A tensor that lies within its storage. Raises CheckpointError where it does not."""
    file, storage, width = opened.path, view.storage, WIDTHS[view.dtype]
    shape, strides = view.shape, view.strides
    if len(shape) != len(strides):
        raise _refuse(
            file, f"one whose {excerpt(name)} has {len(shape)} sizes and {len(strides)} strides"
        )
    size = width * math.prod(shape)
    strides = tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))
    # In bytes, since the storage may be counted in elements of another width.
    first = view.offset * width
    last = first + width * sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    room = storage.size * WIDTHS[storage.dtype]
    if first > room or (size and last + width > room):
        raise _refuse(
            file,
            f"one whose {excerpt(name)} is {list(shape)} by the strides {list(strides)} from "
            f"{view.offset} on in a storage of {room} bytes",
        )
    # Repeated elements, or none: the file's own size would not bound what they take.
    if width * math.prod(max(n, 1) for n in shape) > length:
        raise _refuse(
            file, f"one whose {excerpt(name)} is {list(shape)} in a file of {length} bytes"
        )
    offset = begin + storage.begin * WIDTHS[storage.dtype] + first
    if not size or _in_order(shape, strides):
        return Tensor(name, view.dtype, shape, opened, offset, size)
    span = last + width - first
    return StridedTensor(name, view.dtype, shape, opened, offset, size, strides, span)


def _in_order(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements stand one after the other in the order of the last axis first."""
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1 and stride != step:
            return False
        step *= n
    return True


def _refuse(file: Path, came: str) -> CheckpointError:
    return CheckpointError(f"{file} must be a state dict saved by torch.save, not {came}")
