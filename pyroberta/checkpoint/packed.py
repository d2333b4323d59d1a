"""The packed file: weights as the kernels use them, mapped where they are and never converted.

It is a safetensors file. Beside the tensors that are used as they are (embeddings, norms of heads,
biases), under their own names, stand the packed ones, each as bytes under ``packed.`` and its name;
its metadata say what they are packed for. A word table that was narrowed stands under ``table.``
and its name, int8's scales beside it. Several processes that open one file share its pages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, Shapes
from ..checks import excerpt
from ..compute_types import COMPUTE_TYPES
from ..errors import CheckpointError, InputError
from ..opening.files import PACKED_FILE
from ..small_json import file_named
from .formats import find_weights
from .open_file import OpenFile
from .pair import check_pair
from .reader import Tensor, read_header_of
from .source import FileSource
from .table import Int8Table, Table, scales_shape

if TYPE_CHECKING:
    from .adapter import Adapter

# Another number, another order of the words inside the packed tensors, or other metadata.
LAYOUT = "1"
FORMAT = "pyroberta-packed"
PREFIX = "packed."
TABLE = "table."
_WORDS, _SCALES = "embeddings.word_embeddings.weight", ".scales"
LINE = 64  # bytes of a cache line: packed tensors are of whole ones
# Stands in the header for the checksum while that is computed, over the file as it is then.
NO_CHECKSUM = "0" * 64
IN_PACKED = "PACKED"  # the dtype, so to speak, of what stands in a packed tensor


class PackedSource(FileSource):
    """The tensors of a packed file.

    Args:
        path: its folder.
        memory_map: use the packed tensors and the tables where they are mapped, else read them.

    Attributes:
        file: the packed file, open.
        compute_type: what it was packed for.
        family: the layout of the packed tensors; see ``NativeKernels.family``.
        embedding_type: what its word table was narrowed to, or ``None``.
        sha256: of the file with zeros in place of this number.

    Raises:
        CheckpointError: not a packed file, or of another layout version; or another file of weights
            stands beside it.
    """

    def __init__(self, path: str | os.PathLike[str], *, memory_map: bool = True) -> None:
        file = Path(path) / PACKED_FILE
        other = find_weights(path)
        if other is not None:
            raise CheckpointError(
                f"{path} must hold {PACKED_FILE} or {other}, not both: one of the two may be older"
            )
        self.file = OpenFile(file)
        header, metadata = read_header_of(self.file)
        _check_metadata(file, metadata)
        check_pair(file, metadata)
        self.compute_type, self.family = metadata["compute_type"], metadata["family"]
        self.sha256 = metadata["sha256"]
        shapes = _read_shapes(file, metadata["shapes"])
        tensors = {n: t for n, t in header.items() if not n.startswith((PREFIX, TABLE))}
        self._packed = {
            name.removeprefix(PREFIX): tensor
            for name, tensor in header.items()
            if name.startswith(PREFIX)
        }
        _check_packed(file, self._packed, shapes, tensors)
        for name, shape in shapes.items():  # what stands in packed tensors can be listed, not read
            tensors[name] = Tensor(name, IN_PACKED, shape, self.file, 0, 0)
        self._narrow = {n.removeprefix(TABLE): t for n, t in header.items() if n.startswith(TABLE)}
        self.embedding_type = _check_narrow(file, self._narrow)
        if self.embedding_type is not None:
            narrow = Tensor(_WORDS, IN_PACKED, self._narrow[_WORDS].shape, self.file, 0, 0)
            words = tensors.setdefault(_WORDS, narrow)
            if _WORDS in shapes or words.shape != narrow.shape:
                raise CheckpointError(
                    f"{file} must hold {TABLE}{_WORDS} with the shape of {_WORDS} beside it, "
                    f"{list(words.shape)}, and in no packed tensor, not {list(narrow.shape)}"
                )
        self._tables: dict[str, Table] = {}  # one of each, though its bytes are read
        super().__init__(tensors, memory_map=memory_map)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors, by name; those that stand in packed ones have a dtype of their own."""
        return self._tensors

    def check(
        self,
        shapes: Shapes,
        aside: Collection[str],
        *,
        cross_attention: bool,
        any_head: bool = False,
    ) -> None:
        super().check(shapes, aside, cross_attention=cross_attention, any_head=any_head)
        for name, tensor in self._tensors.items():
            if tensor.dtype == IN_PACKED and name not in shapes:
                raise CheckpointError(
                    f"{self.file} must be opened as a model with cross attention, which its packed "
                    f"blocks have ({name}), not as one without"
                )

    def merge(self, adapter: Adapter) -> None:
        raise InputError(
            f"adapter must be for a checkpoint, not for a packed folder: {self.file}; pack what "
            "the checkpoint and the adapter make"
        )

    def packed(self, name: str) -> Array | None:
        tensor = self._packed.get(name)
        return None if tensor is None else self._bytes_of(tensor, name)

    def narrow(self, name: str) -> Table | None:
        if name in self._narrow and name not in self._tables:
            self._tables[name] = self._read_narrow(name)
        return self._tables.get(name)

    def _read_narrow(self, name: str) -> Table:
        tensor = self._narrow[name]
        bits = self._bytes_of(tensor, name)
        if tensor.dtype == "F16":
            return Table(bits.view("<f2").reshape(tensor.shape), "F16")
        scales = self._narrow[name + _SCALES]
        return Int8Table(
            bits.view(np.int8).reshape(tensor.shape),
            self._bytes_of(scales, scales.name).view("<f4").reshape(scales.shape),
        )

    def table(self, name: str) -> Table:
        narrow = self.narrow(name)
        only = narrow is not None and self._tensors[name].dtype == IN_PACKED
        return narrow if narrow is not None and only else super().table(name)

    def _bytes_of(self, tensor: Tensor, name: str) -> Array:
        """Mapped or read, aligned to a line where the file has it so."""
        if self._memory_map:
            mapped = self.file.map(tensor.offset, tensor.size, name)
            if mapped is not None:
                return mapped
        room = np.empty(tensor.size + LINE, np.uint8)
        own = room[-room.ctypes.data % LINE :][: tensor.size]
        tensor.read_into(own)
        return own

    def read(self, name: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
        if self._tensors[name].dtype == IN_PACKED:
            raise CheckpointError(
                f"{name} must be read from the checkpoint that was packed: {self.file} has it "
                "only as the kernels use it"
            )
        return super().read(name, dtype)

    def check_family(self, family: str, compute_type: str) -> None:
        """Raise CheckpointError unless the file was packed for this type and these kernels."""
        if compute_type != self.compute_type:
            raise CheckpointError(
                f"compute_type must be {self.compute_type!r}, for which {self.file} was packed, "
                f"not {compute_type!r}"
            )
        if family != self.family:
            raise CheckpointError(
                f"{self.file} must be packed for {family}, the layout of the kernels in use here, "
                f"not for {self.family}: pack the model again here, or choose other kernels by "
                "PYROBERTA_ISA"
            )

    def pick_embedding_type(self, wanted: str | None) -> str | None:
        """What the word table is in, where ``wanted`` allows it. Raises CheckpointError."""
        if self.embedding_type is not None and wanted not in (None, self.embedding_type):
            raise CheckpointError(
                f"embedding_type must be {self.embedding_type!r} or None, as {self.file} was "
                f"packed, not {wanted!r}"
            )
        return self.embedding_type if wanted is None else wanted

    def verify(self) -> None:
        """Raise CheckpointError unless the file is as it was written."""
        import hashlib

        with file_named(self.file.path), self.file.stream() as stream:
            length = int.from_bytes(stream.read(8), "little")
            stream.seek(0)
            header = stream.read(8 + length)
            digest = hashlib.sha256(header.replace(self.sha256.encode(), NO_CHECKSUM.encode()))
            while piece := stream.read(1 << 22):
                digest.update(piece)
        if digest.hexdigest() != self.sha256:
            raise CheckpointError(
                f"{self.file} must have the checksum {self.sha256}, not {digest.hexdigest()}: "
                "it was changed since it was written"
            )


def _check_narrow(file: Path, tensors: Mapping[str, Tensor]) -> str | None:
    """The ``embedding_type`` of a narrowed word table. Raises CheckpointError."""
    if not tensors:
        return None
    words = tensors.get(_WORDS)
    kinds = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    if words is not None and len(words.shape) == 2:
        if kinds == {_WORDS: ("F16", words.shape)}:
            return "float16"
        if kinds == {
            _WORDS: ("I8", words.shape),
            _WORDS + _SCALES: ("F32", scales_shape(words.shape)),
        }:
            return "int8"
    raise CheckpointError(
        f"{file} must hold its narrowed word table as {TABLE}{_WORDS}, F16, or I8 and its scales, "
        f"not as {excerpt(kinds)}"
    )


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether the folder holds a packed file."""
    return (Path(path) / PACKED_FILE).exists()


def _check_metadata(file: Path, metadata: Mapping[str, str]) -> None:
    """Raise CheckpointError unless a header's metadata are those of a packed file."""
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{file} must be a file that pyroberta pack wrote, with the format {FORMAT!r}, "
            f"not {metadata.get('format')!r}"
        )
    if metadata.get("layout") != LAYOUT:
        raise CheckpointError(
            f"{file} must have layout version {LAYOUT}, not {metadata.get('layout')}: "
            "pack the model again"
        )
    for key in ("compute_type", "family", "sha256", "shapes"):
        if key not in metadata:
            raise CheckpointError(f"{file} must say {key} in its metadata, not leave it out")
    if metadata["compute_type"] not in COMPUTE_TYPES:
        raise CheckpointError(
            f"{file} must be packed for one of {', '.join(COMPUTE_TYPES)}, "
            f"not for {metadata['compute_type']!r}"
        )
    if len(metadata["sha256"]) != len(NO_CHECKSUM):
        raise CheckpointError(f"sha256 in {file} must be a checksum, not {metadata['sha256']!r}")


def _read_shapes(file: Path, text: str) -> dict[str, tuple[int, ...]]:
    """The shapes of what stands in packed tensors. Raises CheckpointError."""
    try:
        shapes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"shapes in {file} must be JSON, not what it is: {error}") from None
    if not isinstance(shapes, dict):
        raise CheckpointError(f"shapes in {file} must be an object, not {type(shapes).__name__}")
    for name, shape in shapes.items():
        whole = isinstance(shape, list) and all(type(n) is int and 0 <= n < 2**63 for n in shape)
        if not whole or len(shape) not in (1, 2):
            raise CheckpointError(f"shapes in {file} must give one or two sizes for {name!r}")
    return {name: tuple(shape) for name, shape in shapes.items()}


def _check_packed(
    file: Path, packed: Mapping[str, Tensor], shapes: Shapes, tensors: Mapping[str, Tensor]
) -> None:
    """Raise CheckpointError unless the packed tensors are whole and hold all that has shapes."""
    for name, tensor in packed.items():
        lines = tensor.size > 0 and tensor.size % LINE == 0 and tensor.offset % LINE == 0
        if tensor.dtype != "U8" or len(tensor.shape) != 1 or not lines:
            raise CheckpointError(
                f"{PREFIX}{name} in {file} must be U8 in whole lines of {LINE} bytes, not "
                f"{tensor.dtype} {list(tensor.shape)} at byte {tensor.offset}"
            )
    for name in shapes:
        owner = owner_of(name, packed)
        if owner is None or name in tensors:
            raise CheckpointError(
                f"{file} must hold {name} in a packed tensor and nowhere else, not "
                + ("in none" if owner is None else "beside it too")
            )


def owner_of(name: str, packed: Mapping[str, Any]) -> str | None:
    """The packed tensor that holds ``name``: one called by the first parts of its name."""
    while name:
        name = name.rpartition(".")[0]
        if name in packed:
            return name
    return None
