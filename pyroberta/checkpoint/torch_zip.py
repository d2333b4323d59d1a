"""The directory of the zip archive that ``torch.save`` writes: where each entry's bytes are.

Stricter than zip in all that could make two readers see two different files: the archive begins
with its first entry and ends with its directory, entries are stored as they are, under names that
stand once, and no byte belongs to two of them.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from pathlib import Path
from typing import IO

from ..checks import excerpt
from ..errors import CheckpointError

MAGIC = b"PK\x03\x04"

# The records of the format, without the names and extra fields behind them.
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_WIDE = 0xFFFFFFFF  # in place of a number that stands, in 64 bits, in the extra field 1
_SIZES_FOLLOW = 1 << 3  # a flag: an entry's own record has no sizes
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13

_MOST_BYTES = 2**24  # of the directory: 200,000 entries


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where the bytes of an entry are.

    Attributes:
        begin: of its record in the file, which stands before its bytes.
        offset: of its first byte in the file.
        size: in bytes.
    """

    begin: int
    offset: int
    size: int


def read_entries(file: Path, stream: IO[bytes]) -> dict[str, Entry]:
    """The entries of an archive, by name.

    Raises:
        CheckpointError: a file that is cut, is no archive, or has entries that are compressed,
            encrypted, of one name, or that overlap.
    """
    begin, end, count = _find_directory(file, stream)
    directory = _read(file, stream, begin, end - begin)
    entries: dict[str, Entry] = {}
    at = 0
    while at < len(directory):
        if len(directory) - at < _CENTRAL.size:
            raise _broken(file, "a directory that is cut")
        record = _CENTRAL.unpack_from(directory, at)
        signature, _, _, flags, method, _, _, _, packed, size, n, e, c, *_, place = record
        at += _CENTRAL.size
        raw, extra = directory[at : at + n], directory[at + n : at + n + e]
        at += n + e + c
        if signature != b"PK\x01\x02" or at > len(directory):
            raise _broken(file, "a directory that is cut")
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise _broken(file, f"an entry called {excerpt(raw)}") from None
        if name in entries:
            raise _broken(file, f"two entries called {excerpt(name)}")
        if flags & _ENCRYPTED:
            raise _broken(file, f"the entry {excerpt(name)} encrypted")
        if method:
            raise _broken(file, f"the entry {excerpt(name)} compressed, by method {method}")
        size, packed, place = _widen(file, name, extra, (size, packed, place))
        if size != packed:
            raise _broken(file, f"the entry {excerpt(name)} with two sizes, {size} and {packed}")
        entries[name] = _find(file, stream, raw, flags, size, place, begin)
    if len(entries) != count:
        raise _broken(file, f"a directory of {count} entries that lists {len(entries)}")
    _check_apart(file, entries)
    return entries


def _find_directory(file: Path, stream: IO[bytes]) -> tuple[int, int, int]:
    """Where the directory begins and ends, and its entries' number. Raises CheckpointError."""
    length = stream.seek(0, os.SEEK_END)
    at = length - _END.size
    end = _END.unpack(_read(file, stream, at, _END.size)) if at >= 0 else (b"",)
    if end[0] != b"PK\x05\x06" or end[-1]:
        raise _broken(file, "one that does not end with its directory: it was cut")
    *disks, here, count, size, begin, _ = end[1:]
    if at >= _LOCATOR.size + _END64.size:
        locator = _LOCATOR.unpack(_read(file, stream, at - _LOCATOR.size, _LOCATOR.size))
        if locator[0] == b"PK\x06\x07":
            at -= _LOCATOR.size + _END64.size
            end = _END64.unpack(_read(file, stream, at, _END64.size))
            if end[0] != b"PK\x06\x06" or locator[1:] != (0, at, 1):
                raise _broken(file, "a directory that is not where it says")
            *disks, here, count, size, begin = end[4:]
    if any(disks) or here != count or begin + size != at:
        raise _broken(file, "a directory that is not where it says")
    if size > _MOST_BYTES:
        raise _broken(file, f"a directory of {size} bytes, of which {_MOST_BYTES} are the most")
    return begin, at, count


def _widen(
    file: Path, name: str, extra: bytes, numbers: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Sizes and place, taken from the extra field where they are wide. Raises CheckpointError."""
    wide: list[int] = []
    while len(extra) >= 4:
        kind, n = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = [number for (number,) in struct.iter_unpack("<Q", extra[4 : 4 + n // 8 * 8])]
            break
        extra = extra[4 + n :]
    if numbers.count(_WIDE) > len(wide):
        raise _broken(file, f"the entry {excerpt(name)} without its size or place")
    size, packed, place = (wide.pop(0) if number == _WIDE else number for number in numbers)
    return size, packed, place


def _find(
    file: Path, stream: IO[bytes], name: bytes, flags: int, size: int, place: int, end: int
) -> Entry:
    """The entry whose own record is at ``place``, and ends before ``end``."""
    shown = excerpt(name.decode())
    if place + _LOCAL.size > end:
        raise _broken(file, f"the entry {shown} beyond its end")
    record = _LOCAL.unpack(_read(file, stream, place, _LOCAL.size))
    signature, _, own_flags, method, _, _, _, packed, own_size, n, e = record
    offset = place + _LOCAL.size + n + e
    if offset + size > end:
        raise _broken(file, f"the entry {shown} beyond its end")
    own_name = _read(file, stream, place + _LOCAL.size, n)
    if (signature, own_name, own_flags, method) != (MAGIC, name, flags, 0):
        raise _broken(file, f"the entry {shown} as another than its directory says")
    follow = flags & _SIZES_FOLLOW and (packed, own_size) == (0, 0)
    if not follow and any(own not in (size, _WIDE) for own in (packed, own_size)):
        raise _broken(file, f"the entry {shown} of another size than its directory says")
    return Entry(place, offset, size)


def _check_apart(file: Path, entries: dict[str, Entry]) -> None:
    """Raise CheckpointError unless no two entries share a byte and the first begins the file."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].begin):
        if entry.begin < end or (not end and entry.begin):
            raise _broken(file, f"the entry {excerpt(name)} where it cannot be")
        end = entry.offset + entry.size


def _read(file: Path, stream: IO[bytes], at: int, size: int) -> bytes:
    stream.seek(at)
    data = stream.read(size)
    if len(data) != size:
        raise _broken(file, "one that ends early: it was cut")
    return data


def _broken(file: Path, came: str) -> CheckpointError:
    return CheckpointError(f"{file} must be an archive as torch.save writes it, not {came}")
