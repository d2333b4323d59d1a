"""What the figures were measured on: CPU, memory, versions, commit, and whether it was quiet."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import ROOT

# The flags that decide which kernels run.
_FLAGS = (
    *("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "sve", "bf16"),
)


def describe_machine() -> dict[str, Any]:
    """CPU model, the flags that matter, caches, CPUs that we may use, memory, system."""
    fields = _lscpu()
    flags = set(fields.get("Flags", "").split())
    return {
        "cpu": fields.get("Model name", platform.processor() or "unknown"),
        "family": "/".join(
            fields.get(x, "?") for x in ("Vendor ID", "CPU family", "Model", "Stepping")
        ),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "threads_per_core": fields.get("Thread(s) per core", "?"),
        "caches": {x: fields[x] for x in ("L1d cache", "L2 cache", "L3 cache") if x in fields},
        "hypervisor": fields.get("Hypervisor vendor", "none"),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(_memory() / 1e9, 1),
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def describe_code() -> dict[str, Any]:
    """The commit of this tree and whether files differ from it; the date."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit or "unknown",
        "changed": bool(changed),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each distribution."""
    found = {}
    for package in sorted({*packages, "numpy"}):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def busy_fraction(seconds: float = 2.0) -> float | None:
    """How much of all CPUs others use while we sleep; ``None`` where the system does not say."""

    def read() -> tuple[int, int] | None:
        line = _read("/proc/stat").splitlines()[:1]
        if not line:
            return None
        ticks = [int(n) for n in line[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]  # all; idle and waiting for disks

    before = read()
    time.sleep(seconds)
    after = read()
    if before is None or after is None or after[0] == before[0]:
        return None
    return 1 - (after[1] - before[1]) / (after[0] - before[0])


def _lscpu() -> dict[str, str]:
    try:
        text = subprocess.run(
            ["lscpu"], env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _memory() -> int:
    found = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    return int(found[1]) * 1024 if found else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
