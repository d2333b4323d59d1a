"""A folder that is written as a whole: it appears with all of its files, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import InputError
from .whole_files import name_beside, sync_folder


def check_new_folder(name: str, path: str | os.PathLike[str]) -> Path:
    """A path where there is nothing, or an empty folder. Raises InputError."""
    folder = Path(path)
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{name} must be a new or empty folder, not {os.fspath(path)!r}")
    return folder


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Another folder beside ``folder`` to write in, which takes its place at the end, or is gone.

    Args:
        folder: as ``check_new_folder`` gave it.
    """
    import shutil

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = name_beside(folder)
    try:
        partial.mkdir()
        yield partial
        os.replace(partial, folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def copy_files(files: Mapping[Path, Path], folder: Path) -> None:
    """Copy each file to its place in a folder."""
    import shutil

    for place, file in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / place)
