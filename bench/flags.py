"""The flags of this CPU; imports little, since engines ask too: see ``first.py``."""

from pathlib import Path


def cpu_flags() -> set[str]:
    """What Linux says that this CPU has; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split()[2:])
