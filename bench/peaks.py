"""The limits of this machine, measured: multiply-adds a second and bytes read a second.

``python -m bench.peaks --threads 2`` prints them. In a run they have turns between the engines'
turns, so that a figure and its limit come from the same minutes.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .channel import Child, serve, take_stdout
from .models import default_work
from .worker import choose_cpus

SOURCE = Path(__file__).with_name("peaks.cpp")

# Larger than the last-level cache of most machines, and than the weights of roberta-base.
_MEGABYTES = 512
_SECONDS = 0.02
# No -ffast-math: a library linked with it changes how its process treats subnormal numbers.
_OPTIONS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-pthread")


class Peaks:
    """The compiled loops. Raises OSError or CalledProcessError where they cannot be built."""

    def __init__(self, work: Path) -> None:
        self._library = ctypes.CDLL(str(build(work)))
        self._library.operations_per_second.restype = ctypes.c_double
        self._library.bytes_per_second.restype = ctypes.c_double

    def fma(self, isa: str, threads: int) -> float:
        """Operations (two a multiply-add) a second, all threads; 0 where there are none."""
        index = {"avx2": 0, "avx512": 1}[isa]
        return self._operations(index, threads)

    def amx(self, threads: int) -> float:
        """The same for AMX in bfloat16: the better of two loops."""
        return max(self._operations(2, threads), self._operations(3, threads))

    def read(self, threads: int) -> float:
        """Bytes read from memory a second, all threads."""
        size = ctypes.c_size_t(_MEGABYTES)
        return float(self._library.bytes_per_second(ctypes.c_int(threads), size))

    def all(self, threads: int) -> dict[str, float]:
        """Every limit that this CPU has, by name."""
        limits = {
            "fma_avx2": self.fma("avx2", threads),
            "fma_avx512": self.fma("avx512", threads),
            "amx_bfloat16": self.amx(threads),
            "read": self.read(threads),
        }
        return {name: value for name, value in limits.items() if value}

    def _operations(self, index: int, threads: int) -> float:
        loop, seconds = self._library.operations_per_second, ctypes.c_double(_SECONDS)
        return float(loop(ctypes.c_int(index), ctypes.c_int(threads), seconds))


def build(work: Path) -> Path:
    """The shared library, compiled for this CPU unless that was done before."""
    key = hashlib.sha256(
        SOURCE.read_bytes() + " ".join(_OPTIONS).encode() + _cpu_flags()
    ).hexdigest()[:16]
    library = work / f"peaks-{key}.so"
    if not library.is_file():
        work.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CXX") or shutil.which("g++") or "c++"
        unfinished = library.with_suffix(f".{os.getpid()}")
        command = [compiler, *_OPTIONS, str(SOURCE), "-o", str(unfinished)]
        subprocess.run(command, check=True)
        unfinished.rename(library)
    return library


def _cpu_flags() -> bytes:
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith(b"flags")), b"")


def start_peaks(threads: int, work: Path) -> Child:
    """The process that measures the limits when it is asked to."""
    arguments = ["bench.peaks", "--serve", "--threads", str(threads), "--work", str(work)]
    return Child(arguments, {}, choose_cpus(threads), work / "logs" / "peaks.log")


def main() -> None:
    """Print the limits, or serve the parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=default_work())
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    if args.serve:
        pipe = take_stdout()
        peaks = Peaks(args.work)

        def turn() -> dict[str, Any]:
            return {"limits": peaks.all(args.threads)}

        turn()
        serve(pipe, {"turn": turn})
        return
    for name, value in Peaks(args.work).all(args.threads).items():
        unit = "GB/s" if name == "read" else "Gop/s"
        print(f"{name:14} {value / 1e9:9.1f} {unit}, {args.threads} threads")


if __name__ == "__main__":
    main()
