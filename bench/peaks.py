"""The limits of this machine, measured: multiply-adds a second of each type, bytes read a second.

``python -m bench.peaks --threads 2`` prints them. In a run they have turns between the engines'
turns, so that a figure and its limit come from the same minutes.
"""

from __future__ import annotations

import argparse
import ctypes
from pathlib import Path
from typing import Any

from .channel import Child, serve, take_stdout
from .compiled import build
from .models import default_work
from .worker import choose_cpus

# The instruction peaks by name, TYPE_ISA: what multiplies in that type, on that ISA.
PEAKS = (
    *("fma_avx2", "int8_avx2", "int8_avxvnni", "fma_avx512", "bfloat16_avx512", "int8_avx512"),
    *("bfloat16_amx", "int8_amx"),
)

# Larger than the last-level cache of most machines, and than the weights of roberta-base.
_MEGABYTES = 512
_SECONDS = 0.02


class Peaks:
    """The compiled loops. Raises OSError or CalledProcessError where they cannot be built."""

    def __init__(self, work: Path) -> None:
        self._library = ctypes.CDLL(str(build(work)))
        self._library.operations_per_second.restype = ctypes.c_double
        self._library.bytes_per_second.restype = ctypes.c_double

    def operations(self, name: str, threads: int) -> float:
        """Operations (two a multiply-add) a second, all threads; 0 where this CPU has none.

        For AMX the better of two loops, with fillers between the products and without.
        """
        loops = [name, f"{name}_filled"] if name.endswith("_amx") else [name]
        return max(self._operations(loop, threads) for loop in loops)

    def read(self, threads: int) -> float:
        """Bytes read from memory a second, all threads."""
        size = ctypes.c_size_t(_MEGABYTES)
        return float(self._library.bytes_per_second(ctypes.c_int(threads), size))

    def all(self, threads: int) -> dict[str, float]:
        """Every limit that this CPU has, by name."""
        limits = {name: self.operations(name, threads) for name in PEAKS}
        limits["read"] = self.read(threads)
        return {name: value for name, value in limits.items() if value}

    def _operations(self, loop: str, threads: int) -> float:
        name, seconds = ctypes.c_char_p(loop.encode()), ctypes.c_double(_SECONDS)
        return float(self._library.operations_per_second(name, ctypes.c_int(threads), seconds))


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
        print(f"{name:16} {value / 1e9:9.1f} {unit}, {args.threads} threads")


if __name__ == "__main__":
    main()
