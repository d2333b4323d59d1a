"""The small trained checkpoint that comes with the package, so that a task runs without a path."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def _folder() -> Path:
    """Where its files are: here, or, of a package in a zip file, unpacked as long as we run."""
    here = Path(__file__).parent
    if here.is_dir():
        return here
    from importlib import resources

    folder = Path(tempfile.mkdtemp(prefix="pyroberta-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for file in resources.files(__name__).iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


SHIPPED = _folder()
