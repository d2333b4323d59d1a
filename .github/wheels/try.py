"""Tries the wheels of build.py: what auditwheel says, and README's first command where it runs.

    python .github/wheels/try.py WHEELS            # on x86-64 Debian, with qemu-user for aarch64
    python .github/wheels/try.py WHEELS --place manylinux-x86_64:3.13

Each wheel is installed from the folder by pip, for the system and the Python of its place, with
what it needs from the index, and must answer as the others do.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import headers
import places

from build import ROOT, TARGETS

# What a place's pip would take: the wheel's own tags first, then older ones of the same system.
_TAGS = {
    "manylinux": ["manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014"],
    "musllinux": ["musllinux_1_2", "musllinux_1_1"],
}
# 3.10 and 3.12 are Ubuntu's, whose aarch64 packages stand elsewhere; free-threaded ones nobody
# packs: those run where one is given by --own.
PLACES = [
    *(f"manylinux-x86_64:{version}" for version in headers.SUITES),
    *(f"manylinux-aarch64:{version}" for version in ("3.11", "3.13", "3.14")),
    *("musllinux-x86_64:3.13", "musllinux-aarch64:3.13"),
]


def find_python(place: str, work: Path, own: list[str]) -> Path:
    """The command of a place's Python."""
    target, _, version = place.partition(":")
    kind, _, processor = target.partition("-")
    for path in own if target == "manylinux-x86_64" else []:
        told = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2] + sys.abiflags)"
        if subprocess.check_output([path, "-c", told], text=True).strip() == version:
            return Path(path)
    return getattr(places, "musl" if kind == "musllinux" else "debian")(version, processor, work)


def install(place: str, wheels: Path, site: Path, own: Path | None) -> None:
    """The wheel and what it needs, by the pip of ``own``, or by this one's for another Python."""
    target, _, python = place.partition(":")
    kind, _, processor = target.partition("-")
    command = [str(own or sys.executable), *("-m", "pip", "install", "-qq", "--target", str(site))]
    command += ["--only-binary=:all:", f"--find-links={wheels}", "pyroberta[text]"]
    if own is None:
        command += [f"--platform={tag}_{processor}" for tag in _TAGS[kind]]
        command += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
        command += [f"--python-version={python}", "--implementation=cp"]
    shutil.rmtree(site, ignore_errors=True)
    subprocess.run(command, check=True)


def first_command() -> list[str]:
    """The arguments of ``pyroberta`` in README's first block."""
    readme = (ROOT / "README.md").read_text("utf-8")
    line = re.search(r'^\.venv/bin/pyroberta ([\w-]+) "(.*)"$', readme, re.M)
    assert line
    return [line[1], line[2]]


def answer(python: Path, site: Path, place: str) -> tuple[str, str]:
    """What README's first command prints, and the kernels in use."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site), "HOME": "/nowhere"}
    if "aarch64" in place:
        environment |= {"QEMU_CPU": "max", "OPENBLAS_NUM_THREADS": "1"}
    printed = [
        subprocess.check_output(
            [str(python), "-m", "pyroberta", *arguments], env=environment, text=True, cwd="/"
        )
        for arguments in (first_command(), ["config"])
    ]
    kernels = re.search(r"^kernels +(\S+)", printed[1], re.M)
    assert kernels
    return printed[0], kernels[1]


def audit(wheel: Path) -> str:
    """The tag that auditwheel finds a wheel consistent with."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    said = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True)
    tag = re.search(r'platform tag:\s+"([^"]*)"', said)
    return tag[1] if tag else said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, help="the folder of the wheels")
    parser.add_argument("--place", nargs="+", default=PLACES, help="TARGET:PYTHON")
    parser.add_argument("--own", nargs="+", default=[], help="Pythons of this machine to use")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "wheels" / "places")
    options = parser.parse_args()
    print("| wheel | bytes | auditwheel |\n|---|---|---|")
    for wheel in sorted(options.wheels.glob("*.whl")):
        tag = audit(wheel) if "linux" in wheel.name else "not of Linux"
        print(f"| {wheel.name} | {wheel.stat().st_size:,} | {tag} |", flush=True)
    answers = set()
    print("\n| place | kernels | answered |\n|---|---|---|")
    for place in options.place:
        if place.partition(":")[0] not in TARGETS:
            raise SystemExit(f"--place must be of {', '.join(TARGETS)}, not {place}")
        python = find_python(place, options.work.resolve(), options.own)
        site = options.work.resolve() / "sites" / place.replace(":", "-")
        install(place, options.wheels, site, python if str(python) in options.own else None)
        printed, kernels = answer(python, site, place)
        answers.add(printed)
        print(f"| {place} | {kernels} | {printed.splitlines()[1]} |", flush=True)
    if len(answers) != 1:
        raise SystemExit("all places must print the same, and do not")


if __name__ == "__main__":
    main()
