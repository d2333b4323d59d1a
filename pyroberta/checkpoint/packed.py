"""The packed file: weights as the kernels use them, mapped where they are and never converted.

It is a safetensors file. Beside the tensors that are used as they are (embeddings, norms of heads,
biases), under their own names, stand the packed ones, each as bytes under ``packed.`` and its name;
its metadata say what they are packed for. Several processes that open one file share its pages.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors
from numpy.typing import NDArray

from ..errors import CheckpointError
from .reader import Tensor, read_header
from .source import FileSource, Source
from .writer import write_config

Array = NDArray[Any]

PACKED_FILE = "model.packed.safetensors"

# Another number, another order of the words inside the packed tensors.
_LAYOUT = "1"
_FORMAT = "pyroberta-packed"
_PREFIX = "packed."
_IN_PACKED = "PACKED"  # the dtype, so to speak, of what stands in a packed tensor
# The data begin on a page, so that every packed tensor of whole cache lines is aligned to one.
_PAGE = 4096
_DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class PackedSource(FileSource):
    """The tensors of a packed file.

    Args:
        path: its folder.
        memory_map: use the packed tensors and the tables where they are mapped, else read them.

    Attributes:
        compute_type: what the file was packed for.
        family: the layout of the packed tensors; see ``NativeKernels.family``.

    Raises:
        CheckpointError: not a packed file, or of another layout version.
    """

    def __init__(self, path: str | os.PathLike[str], *, memory_map: bool = True) -> None:
        self._file = Path(path) / PACKED_FILE
        header = read_header(self._file)
        with safetensors.safe_open(str(self._file), framework="numpy") as file:
            metadata = file.metadata() or {}
        try:
            if metadata["format"] != _FORMAT:
                raise KeyError("format")
            layout, self.compute_type = metadata["layout"], metadata["compute_type"]
            self.family, self._sha256 = metadata["family"], metadata["sha256"]
            shapes = {
                str(name): tuple(int(n) for n in shape)
                for name, shape in json.loads(metadata["shapes"]).items()
            }
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self._file} must be a file that pyroberta pack wrote, not another: {error!r}"
            ) from None
        if layout != _LAYOUT:
            raise CheckpointError(
                f"{self._file} must have layout version {_LAYOUT}, not {layout}: "
                "pack the model again"
            )
        self._packed = {
            name.removeprefix(_PREFIX): tensor
            for name, tensor in header.items()
            if name.startswith(_PREFIX)
        }
        tensors = {n: t for n, t in header.items() if not n.startswith(_PREFIX)}
        for name, shape in shapes.items():  # what stands in packed tensors can be listed, not read
            tensors[name] = Tensor(name, _IN_PACKED, shape, self._file, 0, 0)
        super().__init__(tensors, memory_map=memory_map)

    def packed(self, name: str) -> Array | None:
        tensor = self._packed.get(name)
        if tensor is None:
            return None
        if self._memory_map:
            mapped: Array = np.memmap(self._file, np.uint8, "r", tensor.offset, (tensor.size,))
            return mapped.view(np.ndarray)
        room = np.empty(tensor.size + 64, np.uint8)
        own = room[-room.ctypes.data % 64 :][: tensor.size]
        tensor.read_into(own)
        return own

    def read(self, name: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
        if self._tensors[name].dtype == _IN_PACKED:
            raise CheckpointError(
                f"{name} must be read from the checkpoint that was packed: {self._file} has it "
                "only as the kernels use it"
            )
        return super().read(name, dtype)

    def check_family(self, family: str, compute_type: str) -> None:
        """Raise CheckpointError unless the file was packed for this type and these kernels."""
        if compute_type != self.compute_type:
            raise CheckpointError(
                f"compute_type must be {self.compute_type!r}, for which {self._file} was packed, "
                f"not {compute_type!r}"
            )
        if family != self.family:
            raise CheckpointError(
                f"{self._file} must be packed for {family}, the layout of the kernels in use here, "
                f"not for {self.family}: pack the model again on such a CPU, or choose other "
                "kernels by PYROBERTA_ISA"
            )

    def verify(self) -> None:
        """Raise CheckpointError unless the file's data have the checksum they were written with."""
        first = min(t.offset for t in (*self._packed.values(), *self._tensors.values()) if t.size)
        digest = hashlib.sha256()
        with self._file.open("rb") as file:
            file.seek(first)
            while piece := file.read(1 << 22):
                digest.update(piece)
        if digest.hexdigest() != self._sha256:
            raise CheckpointError(
                f"{self._file} must have the checksum {self._sha256}, not {digest.hexdigest()}: "
                "it was changed since it was written"
            )


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether the folder holds a packed file."""
    return (Path(path) / PACKED_FILE).exists()


class PackedFor(Protocol):
    """What weights are packed for: the kernels."""

    compute_type: str

    @property
    def family(self) -> str:
        """The layout."""


def save_packed(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    source: Source,
    packed: Mapping[str, Array],
    kernels: PackedFor,
) -> None:
    """Write ``config.json`` and the packed file; each appears whole or not at all.

    Args:
        path: the folder, made where it is missing.
        config: for ``config.json``.
        source: all tensors.
        packed: uint8 arrays of whole cache lines; all tensors below the name of a block
            (``encoder.layer.0``) are in its array and nowhere else.
        kernels: what they are packed for.
    """
    blocks = tuple(f"{name}." for name in packed)
    shapes, tensors = {}, {}
    for name in sorted(source.names()):
        tensor = source.locate(name)
        if name.startswith(blocks):
            shapes[name] = source.read(name).shape if tensor is None else tensor.shape
        elif tensor is None:
            tensors[name] = ("F32", source.read(name))
        else:
            tensors[name] = (tensor.dtype, tensor.read_stored())
    Path(path).mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {}
    arrays: list[Array] = []
    at = 0

    def add(name: str, dtype: str, array: Array) -> None:
        nonlocal at
        entries[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        arrays.append(array)
        at += array.nbytes

    for name, array in packed.items():
        add(_PREFIX + name, "U8", array)
    # Wide numbers first: each tensor is then aligned to its own.
    for name, (dtype, array) in sorted(tensors.items(), key=lambda item: -_DTYPES[item[1][0]]):
        add(name, dtype, array)
    digest = hashlib.sha256()
    for array in arrays:
        for piece in _pieces(array):
            digest.update(piece)
    entries["__metadata__"] = {
        "format": _FORMAT,
        "layout": _LAYOUT,
        "compute_type": kernels.compute_type,
        "family": kernels.family,
        "sha256": digest.hexdigest(),
        "shapes": json.dumps({name: list(shape) for name, shape in shapes.items()}),
    }
    header = json.dumps(entries).encode()
    header += b" " * (-(8 + len(header)) % _PAGE)
    file = Path(path) / PACKED_FILE
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for array in arrays:
            for piece in _pieces(array):
                out.write(piece)
    os.replace(partial, file)
    write_config(path, config)


def _pieces(array: Array) -> Iterator[memoryview]:
    """The bytes of an array, a few megabytes at a time."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for at in range(0, data.size, 1 << 22):
        yield data[at : at + (1 << 22)].data
