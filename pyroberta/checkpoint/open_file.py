"""A file of weights that stays open, so that a model can read again what it was loaded from.

A name may stand for another file by then: one that was renamed over it leaves what is open here as
it was. One that was written in place does not, and is refused by its time and size.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
from pathlib import Path
from typing import IO

import numpy as np

from ..arrays import Array
from ..errors import CheckpointError
from ..small_json import check_no_pointer

_PIECE = 1 << 30  # bytes of a read: some systems take no more than 2**31 - 1


class OpenFile:
    """A regular file, open to be read as long as this object lives. Threads may share it.

    Args:
        path: its name.

    Attributes:
        path: its name, for errors; ``str`` gives it too.
        size: in bytes, when it was opened.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: no regular file, or a pointer of git-lfs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A pipe without a writer would wait for one, but for O_NONBLOCK.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path} must be a regular file")
        self.size = status.st_size
        self._time = status.st_mtime_ns
        self._mapping: Array | None = None
        self._lock = threading.Lock()
        check_no_pointer(path, self.read(0, min(self.size, 64), "the beginning"))

    def __del__(self) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            os.close(descriptor)

    def __str__(self) -> str:
        return str(self.path)

    def fileno(self) -> int:
        """The descriptor, whose position nobody here relies on."""
        return self._descriptor

    def stream(self) -> IO[bytes]:
        """A file object over the same descriptor, which it leaves open: one at a time."""
        stream = open(self._descriptor, "rb", closefd=False)  # noqa: SIM115 (the caller's to close)
        stream.seek(0)
        return stream

    def check_unchanged(self) -> None:
        """Raise CheckpointError where the file was written in place since it was opened."""
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.size, self._time):
            raise CheckpointError(
                f"{self} must be as it was when it was opened, not written since: load the model "
                "again, and replace a file that is in use by renaming another one over it"
            )

    def read(self, offset: int, size: int, name: str) -> bytes:
        """``size`` bytes from ``offset`` on; raises as ``fill``."""
        out = np.empty(size, np.uint8)
        self.fill(offset, out, name)
        return out.tobytes()

    def fill(self, offset: int, out: Array, name: str) -> None:
        """Fill ``out`` (uint8 ``[size]``) with the bytes from ``offset`` on.

        Raises:
            CheckpointError: the file ends before, or was written in place since it was opened;
                ``name`` is whose bytes they are.
            OSError: they cannot be read.
        """
        view = out.data
        done = 0
        while done < len(view):
            try:
                count = os.preadv(self._descriptor, [view[done : done + _PIECE]], offset + done)
            except OSError as error:
                raise OSError(error.errno, error.strerror, os.fspath(self.path)) from None
            if not count:
                raise CheckpointError(
                    f"{self} must hold {len(view)} bytes of {name} at {offset}, not {done}: "
                    "it was cut"
                )
            done += count
        self.check_unchanged()

    def can_be_mapped(self) -> bool:
        """Whether the system maps files that stand where this one does."""
        try:
            mmap.mmap(self._descriptor, min(self.size, 1), access=mmap.ACCESS_READ).close()
        except (OSError, ValueError):  # ValueError: an empty file
            return False
        return True

    def map(self, offset: int, size: int, name: str) -> Array | None:
        """A read-only view of the mapped file, uint8 ``[size]``; ``None`` where none can be had.

        All views share one mapping, which takes one more descriptor at most.

        Raises:
            CheckpointError: the file ends before; ``name`` is whose bytes they are.
        """
        if offset + size > os.fstat(self._descriptor).st_size:
            raise CheckpointError(f"{self} must hold all of {name}: it was cut")
        with self._lock:
            if self._mapping is None:
                try:
                    mapping = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
                except (OSError, ValueError):
                    return None
                self._mapping = np.frombuffer(mapping, np.uint8)
            return self._mapping[offset : offset + size]
