"""The builds of the kernels, as csrc/isa/builds.inc lists them.

``python3 tests/builds.py --cpu`` prints those whose instructions this CPU has, by what the system
says of it and without asking the extension, whose answer is then held to it. ``--flags`` prints a
line for each of this processor's: its name and its compiler flags.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).parents[1] / "csrc/isa/builds.inc"


@dataclass(frozen=True)
class Build:
    """One row of the list, with what the builds that it implies have.

    Attributes:
        name: what ``find_kernels`` takes.
        processor: ``"x86_64"``, ``"aarch64"`` or ``"any"``.
        flags: the compiler's.
        features: the CPU's, as /proc/cpuinfo names them but without underscores.
    """

    name: str
    processor: str
    flags: tuple[str, ...]
    features: tuple[str, ...]


def read_builds(text: str) -> list[Build]:
    """The rows of the list, slowest first: a build comes after the one that it implies."""
    row = re.compile(r'^BUILD\((\w+), (\w+), (\w+), "([^"]*)",\n(.*)\)$', re.MULTILINE)
    builds = {"baseline": Build("baseline", "any", (), ())}
    for name, processor, implied, flags, features in reversed(row.findall(text)):
        base = builds[implied]
        own = [word.replace("_", "") for word in re.findall(r"HAS\((\w+)\)", features)]
        builds[name] = Build(name, processor, (*base.flags, *flags.split()), (*base.features, *own))
    return list(builds.values())[1:]


BUILDS = read_builds(LIST.read_text())
ISAS = [build.name for build in BUILDS]


def fuses(build: str) -> bool:
    """Whether its multiply-adds round once, so that it gives the one answer of float32.

    All do, but for ``scalar`` on x86-64, whose baseline has no such instruction. ``.ci/fused``
    compiles it for CPUs that have, and says so.
    """
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return build != "scalar" or not is_x86 or "PYROBERTA_SCALAR_FUSES" in os.environ


def builds_of_processor() -> list[Build]:
    """The builds for processors of this kind, whatever this one can do, slowest first."""
    machine = platform.machine().lower()
    processor = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return [build for build in BUILDS if build.processor in ("any", processor)]


def builds_of_cpu() -> list[str]:
    """The builds that this CPU has the instructions of, slowest first."""
    file = Path("/proc/cpuinfo")
    has = set(file.read_text().replace("_", "").split()) if file.is_file() else set()
    return [build.name for build in builds_of_processor() if has.issuperset(build.features)]


if __name__ == "__main__":
    if sys.argv[1:] == ["--cpu"]:
        print(*builds_of_cpu())
    elif sys.argv[1:] == ["--flags"]:
        for one in builds_of_processor():
            print(one.name, *one.flags)
    else:
        sys.exit(f"usage: python3 {sys.argv[0]} --cpu | --flags")
