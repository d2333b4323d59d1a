"""Files and folders that appear with all of their bytes, or not at all: the old ones then stay.

Each is written beside its place under a name that nobody else has, brought to the disk, and
renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# What a mount says that has no fsync.
_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


@contextlib.contextmanager
def new_files(*targets: Path) -> Iterator[tuple[IO[bytes], ...]]:
    """Files to write, which take the places of ``targets`` together at the end, or are gone.

    Where one of them cannot be renamed, those before it are put back.

    Raises:
        OSError: one cannot be written; it has the name of a target.
    """
    partials: list[Path] = []
    opened: list[IO[bytes]] = []
    try:
        for target in targets:
            partial = name_beside(target)
            opened.append(open(partial, "xb"))  # noqa: SIM115 (closed below)
            partials.append(partial)
        yield tuple(opened)
        for out in opened:
            _flush(out)
            out.close()
        _rename(dict(zip(partials, targets, strict=True)))
    except OSError as error:
        if error.filename is not None and error.filename not in map(os.fspath, partials):
            raise
        why = error.strerror or str(error)  # NumPy's has no number
        raise OSError(error.errno or errno.EIO, why, os.fspath(targets[0])) from error
    finally:
        for out in opened:
            with contextlib.suppress(OSError):  # what it could not write, it tries again
                out.close()
        for partial in partials:
            partial.unlink(missing_ok=True)
    sync_folder(targets[0].parent)


def name_beside(target: Path) -> Path:
    """A name for what is to become ``target``: no other process or thread has it."""
    return target.with_name(f"{target.name[:200]}.{secrets.token_hex(8)}.partial")


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where it has that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _flush(out: IO[bytes]) -> None:
    out.flush()
    try:
        os.fsync(out.fileno())
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def _rename(files: dict[Path, Path]) -> None:
    """Give each partial file its place; where one fails, all places are as they were.

    The old file of the last place is moved away first: no moment, and no end of the process, leaves
    it beside a new one of another place.
    """
    if len(files) == 1:
        for partial, target in files.items():
            os.replace(partial, target)
        return
    last = [*files.values()][-1]
    kept: dict[Path, Path] = {}  # what stood in a place, under a second name
    new: list[Path] = []
    try:
        for target in (last, *files.values()):
            with contextlib.suppress(FileNotFoundError):  # none yet, or another writer moved it
                if target not in kept:
                    kept[target] = _second_name(target, keep=target != last)
        for partial, target in files.items():
            os.replace(partial, target)
            new.append(target)
    except BaseException:
        for target in new:
            if target not in kept:
                target.unlink(missing_ok=True)
        for target in [*kept]:
            _put_back(kept.pop(target), target)
        raise
    for old in kept.values():
        old.unlink(missing_ok=True)


def _second_name(target: Path, *, keep: bool) -> Path:
    """Another name of a file, which keeps its own too where that is asked and can be."""
    old = name_beside(target)
    try:
        os.link(target, old, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except (OSError, NotImplementedError):  # a mount without links
        os.replace(target, old)
        return old
    if not keep:
        target.unlink(missing_ok=True)
    return old


def _put_back(old: Path, target: Path) -> None:
    """Give a file its name again; where that fails too, it keeps the second one."""
    try:
        os.replace(old, target)
    except OSError:
        target.unlink(missing_ok=True)
        os.link(old, target, follow_symlinks=False)
    old.unlink(missing_ok=True)  # a rename of one file to its own second name does nothing
