"""The small JSON files of a checkpoint's folder: read in one way, whoever wrote them."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import CheckpointError

# A tokenizer's settings may list tens of thousands of added tokens; what is larger is no such file.
_MOST_BYTES = 2**24

_LFS = b"version https://git-lfs"


def read_json(
    file: Path, error: type[ValueError] = CheckpointError, most_bytes: int = _MOST_BYTES
) -> Any:
    """What a file holds.

    Args:
        file: a regular file, or a link to one.
        error: what to raise for a file that is not JSON.
        most_bytes: the most that it may hold.

    Raises:
        FileNotFoundError: no such file.
        ``error``: no regular file, too large, a pointer of git-lfs, not JSON, a key that stands
            twice in one object.
    """
    if not os.path.lexists(file):
        raise FileNotFoundError(f"{file} must be a file")
    data = read_small(file, error, most_bytes)
    try:
        value = json.loads(data, object_pairs_hook=no_duplicates)
        if b"\\u" in data:  # half a pair of UTF-16 is no text: nothing can print or encode it
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as problem:
        raise error(f"{file} must be JSON, not what it holds: {problem}") from None


def read_json_object(
    file: Path, error: type[ValueError] = CheckpointError, *, missing_ok: bool = False
) -> dict[str, Any]:
    """The JSON object in ``file``; an empty one for a missing file if that is all right."""
    if missing_ok and not os.path.lexists(file):
        return {}
    value = read_json(file, error)
    if not isinstance(value, dict):
        raise error(f"{file} must hold an object, not {type(value).__name__}")
    return value


def read_small(
    file: Path, error: type[ValueError] = CheckpointError, most_bytes: int = 2**28
) -> bytes:
    """The bytes of a regular file of at most ``most_bytes``; raises as ``read_json``."""
    check_is_file(file, error)
    pieces, room = [], most_bytes + 1
    with file_named(file), file.open("rb") as stream:
        # In pieces: a read of all that it may hold asks for that much memory first.
        while room > 0 and (piece := stream.read(min(room, 1 << 20))):
            pieces.append(piece)
            room -= len(piece)
    data = b"".join(pieces)
    if len(data) > most_bytes:
        raise error(f"{file} must be at most {most_bytes} bytes, not {file.stat().st_size}")
    return data


@contextlib.contextmanager
def file_named(file: Path) -> Iterator[None]:
    """An error of the system within gets the file's name, which that of a read lacks."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(file)) from None


def check_is_file(file: Path, error: type[ValueError] = CheckpointError) -> None:
    """Raise ``error`` for what is no regular file (a pipe, a device) or a pointer of git-lfs."""
    if not file.is_file():
        raise error(f"{file} must be a regular file")
    with file_named(file), file.open("rb") as stream:
        check_no_pointer(file, stream.read(len(_LFS)), error)


def check_no_pointer(
    file: Path, beginning: bytes, error: type[ValueError] = CheckpointError
) -> None:
    """Raise ``error`` where a file's first bytes are those of a pointer of git-lfs."""
    if beginning.startswith(_LFS):
        raise error(
            f"{file} must be the file itself, not a git-lfs pointer to it: "
            "run `git lfs pull` in its repository, or download it again"
        )


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of which no key stands twice. Raises ValueError."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"{twice!r} stands in it twice")
    return entries
