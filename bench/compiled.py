"""peaks.cpp as a shared library: compiled on the machine that it measures, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from .flags import cpu_flags

_FOLDER = Path(__file__).parent
_FILES = ("peaks.cpp", "loops.h")
# No -ffast-math: a library linked with it changes how its process treats subnormal numbers.
_OPTIONS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-pthread")


def build(work: Path) -> Path:
    """The shared library, compiled for this CPU unless that was done before."""
    key = hashlib.sha256(
        b"".join((_FOLDER / name).read_bytes() for name in _FILES)
        + " ".join(_OPTIONS).encode()
        + " ".join(sorted(cpu_flags())).encode()
    ).hexdigest()[:16]
    library = work / f"peaks-{key}.so"
    if not library.is_file():
        work.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CXX") or shutil.which("g++") or "c++"
        unfinished = library.with_suffix(f".{os.getpid()}")
        command = [compiler, *_OPTIONS, str(_FOLDER / _FILES[0]), "-o", str(unfinished)]
        subprocess.run(command, check=True)
        unfinished.rename(library)
    return library
