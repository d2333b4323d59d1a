"""How many threads the native kernels use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from ..checks import excerpt
from ..errors import ConfigError

# Of more than that nobody has the CPUs, and memory of a call is sized by the threads.
MOST_THREADS = 1024


def default_num_threads() -> int:
    """The smallest of CPU affinity, cgroup quota and ``OMP_NUM_THREADS``.

    ``PYROBERTA_NUM_THREADS`` wins over all three.

    Raises:
        ConfigError: ``PYROBERTA_NUM_THREADS`` is not a whole number in [1, ``MOST_THREADS``].
    """
    text = os.environ.get("PYROBERTA_NUM_THREADS")
    if text is not None:
        number = _whole(text)
        if not 1 <= number <= MOST_THREADS:
            raise ConfigError(
                f"PYROBERTA_NUM_THREADS must be a whole number in [1, {MOST_THREADS}], "
                f"not {excerpt(text)}"
            )
        return number
    limits = [_affinity(), MOST_THREADS]
    quota = _cgroup_quota()
    if quota is not None:
        limits.append(quota)
    # OpenMP's own rule: a list gives the threads of each nested level, and the first is ours.
    first = _whole(os.environ.get("OMP_NUM_THREADS", "").split(",")[0])
    if first >= 1:
        limits.append(first)
    return max(1, min(limits))


def _whole(text: str) -> int:
    """A whole number in decimal digits; 0 for what is none, or has more digits than any count."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _affinity() -> int:
    """The CPUs of the process: the thread that asks may be pinned to one of them."""
    try:
        return len(os.sched_getaffinity(os.getpid()))
    except (AttributeError, OSError):  # not on macOS, or refused
        return os.cpu_count() or 1


def _cgroup_quota(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int | None:
    """The CPUs that the cgroup's quota amounts to, rounded up; the tightest of the path's."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2: "max 100000" or "150000 100000"
            base, read = root, _quota_v2
        elif "cpu" in controllers.split(","):
            base, read = root / "cpu", _quota_v1
        else:
            continue
        folder = base / path.lstrip("/")
        # In a container the path may be that of the host: then the mount's root is ours.
        for candidate in (folder, *folder.parents):
            quota = read(candidate)
            if quota is not None:
                quotas.append(quota)
            if candidate == base:
                break
    return max(1, math.ceil(min(quotas))) if quotas else None


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return None if quota <= 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None
