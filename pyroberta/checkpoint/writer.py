"""Writes a model: as Hugging Face reads it, or as the kernels use it. Files appear whole or not."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np

from ..arrays import Array
from ..errors import InputError
from ..opening.files import CONFIG_FILE, PACKED_FILE, SINGLE_FILE
from .formats import find_weights
from .packed import FORMAT, LAYOUT, NO_CHECKSUM, PREFIX, TABLE, owner_of
from .pair import SAVED_AS, saved_as
from .source import Source
from .table import Table
from .whole_files import new_files

_BYTES = {"F64": 8, "I64": 8, "F32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1}
_DTYPES = {"float16": "F16", "float32": "F32", "int8": "I8"}
# The data begin on a page, so that every packed tensor, of whole cache lines, is aligned to one.
_PAGE = 4096


def save_checkpoint(
    path: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, Array]
) -> None:
    """Write ``config`` (Hugging Face's keys) and ``tensors`` (its names) to the folder ``path``.

    Args:
        path: the folder, made where it is missing; where anything fails it is as it was.
        config: for ``config.json``.
        tensors: float32 arrays.
    """
    parts = {
        name: Part("F32", array.shape, functools.partial(np.asarray, array, np.float32))
        for name, array in tensors.items()
    }
    header = _header(parts, {"format": "pt", SAVED_AS: saved_as(config)})
    with _folder_files(path, SINGLE_FILE, config) as out:
        out.write(header)
        for piece in _pieces(parts):
            out.write(piece)


def save_packed(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    source: Source,
    packed: Mapping[str, Array],
    compute_type: str,
    family: str,
    narrowed: Mapping[str, Table] = MappingProxyType({}),
) -> None:
    """Write ``config.json`` and the packed file; see ``packed.py``.

    Args:
        path: the folder, made where it is missing.
        config: for ``config.json``.
        source: all tensors.
        packed: uint8 arrays of whole cache lines; all tensors below the name of a block
            (``encoder.layer.0``) are in its array and nowhere else.
        compute_type: of the products.
        family: the layout; see ``kernels.contract.Kernels.family``.
        narrowed: the tables that stand in an ``embedding_type``, by name; the head that multiplies
            by one as it stands keeps it in float32 too.

    Raises:
        InputError: the folder holds a checkpoint, which could then be another model.
    """
    import hashlib  # some milliseconds, which no model that is loaded needs

    other = find_weights(path)
    if other is not None:
        raise InputError(f"path must be a folder without {other}, not {os.fspath(path)!r}")
    parts = {
        PREFIX + name: Part("U8", array.shape, functools.partial(np.asarray, array))
        for name, array in packed.items()
    }
    own, shapes = _beside(source, packed, narrowed)
    parts |= _wide_first(own)
    metadata = {
        "format": FORMAT,
        "layout": LAYOUT,
        "compute_type": compute_type,
        "family": family,
        "sha256": NO_CHECKSUM,
        "shapes": json.dumps(shapes),
        SAVED_AS: saved_as(config),
    }
    header = _header(parts, metadata)
    with _folder_files(path, PACKED_FILE, config) as out:
        digest = hashlib.sha256(header)
        out.seek(len(header))
        for piece in _pieces(parts):
            digest.update(piece)
            out.write(piece)
        out.seek(0)
        out.write(header.replace(NO_CHECKSUM.encode(), digest.hexdigest().encode()))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Part:
    """A tensor of a file that is to be written, not read yet.

    Attributes:
        dtype: as the file says it, e.g. ``"BF16"``.
        shape: its sizes.
        read: gives the bits as they are stored.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], Array]

    @property
    def size(self) -> int:
        """In bytes."""
        return _BYTES[self.dtype] * math.prod(self.shape)


def save_tensors(
    file: str | os.PathLike[str],
    parts: Mapping[str, Part],
    metadata: Mapping[str, str] = MappingProxyType({"format": "pt"}),
) -> None:
    """Write a safetensors file, one tensor in memory at a time, bit by bit as they are stored.

    Tensors are read in order, those of wider numbers first. Its folder is made where it is missing.
    """
    parts = _wide_first(parts)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with new_files(Path(file)) as (out,):
        out.write(_header(parts, metadata))
        for piece in _pieces(parts):
            out.write(piece)


def _wide_first(parts: Mapping[str, Part]) -> dict[str, Part]:
    """The parts with the widest numbers first: each tensor is then aligned to its own."""
    return dict(sorted(parts.items(), key=lambda item: -_BYTES[item[1].dtype]))


def _beside(
    source: Source, packed: Mapping[str, Array], narrowed: Mapping[str, Table]
) -> tuple[dict[str, Part], dict[str, tuple[int, ...]]]:
    """What stands beside the packed tensors; and the shapes of what stands in them."""
    parts: dict[str, Part] = {}
    inside = {}
    names = source.names()
    whole = _multiplied(names, packed)
    for name in sorted(names):
        tensor = source.locate(name)
        shape = source.read(name).shape if tensor is None else tensor.shape
        if owner_of(name, packed) is not None:
            inside[name] = shape
        elif name in narrowed and name not in whole:
            continue
        elif tensor is None or name in whole:
            parts[name] = Part("F32", shape, functools.partial(source.read, name))
        else:
            parts[name] = Part(tensor.dtype, shape, tensor.read_stored)
    for name, table in narrowed.items():
        for ending, array in table.stored().items():
            read = functools.partial(np.asarray, array)
            parts[f"{TABLE}{name}{ending}"] = Part(_DTYPES[array.dtype.name], array.shape, read)
    return parts, inside


def _multiplied(names: set[str], packed: Mapping[str, Array]) -> set[str]:
    """The language-model head's weights where it multiplies by them as they stand, in float32."""
    dense, decoder = "lm_head.dense.weight", "lm_head.decoder.weight"
    if dense not in names or dense in packed:
        return set()
    return {dense, decoder if decoder in names else "embeddings.word_embeddings.weight"}


def _header(parts: Mapping[str, Part], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file's first bytes, up to its data."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    at = 0
    for name, part in parts.items():
        end = at + part.size
        entries[name] = {"dtype": part.dtype, "shape": part.shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % _PAGE)
    return len(text).to_bytes(8, "little") + text


def _pieces(parts: Mapping[str, Part]) -> Iterator[memoryview]:
    """The bytes of all parts, one after the other, a few megabytes at a time."""
    for part in parts.values():
        data = np.ascontiguousarray(part.read()).reshape(-1).view(np.uint8)
        for at in range(0, data.size, 1 << 22):
            yield data[at : at + (1 << 22)].data


def write_config(path: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
    """Write ``config.json`` (Hugging Face's keys) to a folder."""
    with new_files(Path(path) / CONFIG_FILE) as (out,):
        out.write(_config_text(config))


def _config_text(config: Mapping[str, Any]) -> bytes:
    return (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()


@contextlib.contextmanager
def _folder_files(
    path: str | os.PathLike[str], name: str, config: Mapping[str, Any]
) -> Iterator[IO[bytes]]:
    """The file of weights to write to a folder; ``config.json`` comes with it, or neither does."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with new_files(folder / name, folder / CONFIG_FILE) as (out, beside):
        beside.write(_config_text({**config, SAVED_AS: saved_as(config)}))
        yield out
