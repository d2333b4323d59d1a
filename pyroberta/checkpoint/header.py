"""The header of a safetensors file: its own rules, checked before anything trusts an offset of it.

Where the file can be mapped, the safetensors library checks it too: what two readers could see in
two ways is refused.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

import safetensors

from ..checks import excerpt
from ..errors import CheckpointError
from ..small_json import no_duplicates
from .open_file import OpenFile

# A model of 48 blocks has 100 KB; a million names without numbers would take a gigabyte to list.
_MOST_BYTES = 2**23
_SIZE = 8  # bytes before it, which say how long it is

# How the safetensors library says that the system refused something.
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
# Of an element of each dtype, in bits.
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


def load_header(file: OpenFile) -> tuple[dict[str, Any], dict[str, str], int]:
    """The entries of a file's tensors by name, its metadata, and the byte where the data begin.

    Raises:
        CheckpointError: a file that is cut or malformed, or whose header is larger than any model
            of this package needs.
    """
    try:
        entries, metadata, begin = _load(file)
        _check_library(file)
    except _Malformed as error:
        raise CheckpointError(
            f"{file} must be a safetensors file, not one that is cut or malformed: {error}"
        ) from None
    return entries, metadata, begin


class _Malformed(Exception):
    """What is wrong with a header."""


def _load(file: OpenFile) -> tuple[dict[str, Any], dict[str, str], int]:
    if file.size < _SIZE:
        raise _Malformed(f"it has {file.size} bytes")
    length = int.from_bytes(file.read(0, _SIZE, "the header's length"), "little")
    begin = _SIZE + length
    if begin > file.size:
        raise _Malformed(f"a header of {length} bytes in a file of {file.size}")
    if length > _MOST_BYTES:
        raise _Malformed(f"a header of {length} bytes, of which {_MOST_BYTES} are the most")
    text = file.read(_SIZE, length, "the header")
    if not text.startswith(b"{"):
        raise _Malformed(f"a header that begins with {excerpt(text[:8])}")
    try:
        entries = json.loads(text.decode(), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _Malformed(f"a header that is no JSON: {error}") from None
    metadata = _metadata(entries.pop("__metadata__", None))
    _check_entries(entries, file.size - begin)
    return entries, metadata, begin


def _metadata(value: Any) -> dict[str, str]:
    metadata = {} if value is None else value
    if type(metadata) is not dict or any(type(text) is not str for text in metadata.values()):
        raise _Malformed(f"metadata that are no texts: {excerpt(value)}")
    return metadata


def _check_entries(entries: dict[str, Any], room: int) -> None:
    """Raise _Malformed unless the tensors fill ``room`` bytes, one behind the other."""
    spans = []
    for name, entry in entries.items():
        shown = excerpt(name)
        if type(entry) is not dict or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise _Malformed(f"{shown} without one of dtype, shape and data_offsets, or with more")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if type(dtype) is not str or dtype not in _BITS:
            raise _Malformed(f"{shown} of the dtype {excerpt(dtype)}")
        if not _are_sizes(shape):
            raise _Malformed(f"{shown} of the shape {excerpt(shape)}")
        if not _are_sizes(offsets) or len(offsets) != 2:
            raise _Malformed(f"{shown} at the offsets {excerpt(offsets)}")
        bits = _BITS[dtype] * math.prod(shape)
        if offsets[0] > offsets[1] or 8 * (offsets[1] - offsets[0]) != bits:
            raise _Malformed(
                f"{shown}, {dtype} {excerpt(shape)}, in bytes {offsets[0]} to {offsets[1]}"
            )
        spans.append((*offsets, shown))
    end = 0
    for first, last, shown in sorted(spans):
        if first != end:
            raise _Malformed(f"{shown} at byte {first} of the data, not {end}")
        end = last
    if end != room:
        raise _Malformed(f"{room} bytes of data, of which the header lists {end}")


def _are_sizes(values: Any) -> bool:
    return type(values) is list and all(type(n) is int and 0 <= n < 2**63 for n in values)


def _check_library(file: OpenFile) -> None:
    """Raise _Malformed where the safetensors library refuses the file, which it maps."""
    if not file.can_be_mapped():
        return
    try:
        # By the descriptor: the name may be another file's by now, or none in UTF-8.
        with safetensors.safe_open(f"/dev/fd/{file.fileno()}", framework="numpy"):
            pass
    except FileNotFoundError:  # no /dev/fd
        return
    except Exception as error:  # SafetensorError derives from Exception alone
        failed = _SYSTEM_ERROR.search(str(error))
        if failed is not None:  # no fault of the file: for want of memory, say
            number = int(failed[1])
            raise OSError(number, os.strerror(number), str(file)) from None
        raise _Malformed(str(error)) from None
