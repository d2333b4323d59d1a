"""The two speeds of AMX: a probe beside each call, and the class that the call falls into.

On some machines a product of tiles takes 16 cycles or 34, for milliseconds to seconds at a time,
and no program can choose. So an engine's process looks before and after each measured call, and the
report gives the calls of the two classes apart: no call is dropped, no run is chosen.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .compiled import build
from .flags import cpu_flags

Probe = Callable[[], list[float]]  # cycles of a product now, on each CPU of this process

CLASSES = ("slow", "fast", "mixed")
# Between the 16 cycles and the 34 to 36 that were seen, in about equal ratios.
_BOUNDARY = 24.0


def find_probe(work: Path) -> Probe | None:
    """The probe for this process's CPUs; ``None`` without AMX, or where none can be compiled."""
    if "amx_tile" not in cpu_flags():
        return None
    try:
        library = ctypes.CDLL(str(build(work)))
    except (OSError, subprocess.CalledProcessError):
        return None
    library.amx_cycles.restype = ctypes.c_bool
    cpus = sorted(os.sched_getaffinity(0))
    asked = (ctypes.c_int * len(cpus))(*cpus)
    found = (ctypes.c_double * len(cpus))()

    def probe() -> list[float]:
        library.amx_cycles(asked, len(cpus), found)
        return [round(cycles, 1) for cycles in found]

    return probe if library.amx_cycles(asked, len(cpus), found) else None


def classify(cycles: Sequence[float]) -> str:
    """The class of a call by what the probe saw before and after it, on all CPUs.

    "slow" or "fast" where all agree. Else "mixed": CPUs that differ, or a change under way.
    """
    slow = [c > _BOUNDARY for c in cycles]
    return "slow" if all(slow) else "mixed" if any(slow) else "fast"


def by_class(calls: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """The seconds of calls, as a turn recorded them, under each of the classes."""
    found: dict[str, list[float]] = {name: [] for name in CLASSES}
    for call in calls:
        found[classify(call["cycles"])].append(call["seconds"])
    return found
