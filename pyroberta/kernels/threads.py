"""How many threads the native kernels use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from ..errors import ConfigError


def default_num_threads() -> int:
    """The smallest of CPU affinity, cgroup quota and ``OMP_NUM_THREADS``.

    ``PYROBERTA_NUM_THREADS`` wins over all three.

    Raises:
        ConfigError: ``PYROBERTA_NUM_THREADS`` is not a whole number of at least 1.
    """
    text = os.environ.get("PYROBERTA_NUM_THREADS")
    if text is not None:
        if not text.strip().isdecimal() or int(text) < 1:
            raise ConfigError(
                f"PYROBERTA_NUM_THREADS must be a whole number of at least 1, not {text!r}"
            )
        return int(text)
    limits = [_affinity()]
    quota = _cgroup_quota()
    if quota is not None:
        limits.append(quota)
    # OpenMP's own rule: a list gives the threads of each nested level, and the first is ours.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first) >= 1:
        limits.append(int(first))
    return max(1, min(limits))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
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
