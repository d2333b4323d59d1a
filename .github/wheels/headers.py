"""Python's C headers, for each version that wheels are built for: OUT/3.10, ..., OUT/3.14t.

No Python package has them, Debian and Ubuntu do, and those of one 64-bit POSIX system serve the
others (glibc, musl, macOS; x86-64, aarch64). A free-threaded Python's differ by one define.

    python headers.py OUT        (needs dpkg-deb; 7 folders, some 30 MB to download)
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

DEBIAN, UBUNTU = "https://deb.debian.org/debian", "https://archive.ubuntu.com/ubuntu"
SUITES = {
    "3.10": (UBUNTU, "jammy"),
    "3.11": (DEBIAN, "bookworm"),
    "3.12": (UBUNTU, "noble"),
    "3.13": (DEBIAN, "trixie"),
    "3.14": (DEBIAN, "forky"),
}
FREE_THREADED = ("3.13", "3.14")
PYTHONS = (*SUITES, *(f"{version}t" for version in FREE_THREADED))


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return bytes(answer.read())


def read_index(version: str, processor: str = "amd64") -> str:
    """The Packages file of the suite that has a Python."""
    mirror, suite = SUITES[version]
    url = f"{mirror}/dists/{suite}/main/binary-{processor}/Packages.xz"
    return lzma.decompress(fetch(url)).decode()


def package(index: str, name: str) -> dict[str, str]:
    """The fields of a package in a Packages file."""
    for paragraph in index.split("\n\n"):
        if paragraph.startswith(f"Package: {name}\n"):
            return dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
    raise SystemExit(f"the index must have {name}, and has not: look for a suite that has")


def unpack(version: str, fields: dict[str, str], out: Path) -> None:
    """Download a package, once its SHA-256 is that of the index, and unpack it."""
    data = fetch(f"{SUITES[version][0]}/{fields['Filename']}")
    if hashlib.sha256(data).hexdigest() != fields["SHA256"]:
        raise SystemExit(f"{fields['Filename']} must have the SHA-256 of its index, and has not")
    with tempfile.NamedTemporaryFile(suffix=".deb") as deb:
        deb.write(data)
        deb.flush()
        subprocess.run(["dpkg-deb", "-x", deb.name, out], check=True)


def get(version: str, out: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        fields = package(read_index(version), f"libpython{version}-dev")
        unpack(version, fields, Path(work))
        include = Path(work, "usr/include")
        shutil.copytree(include / f"python{version}", out / version)
        # Debian's own pyconfig.h chooses among processors; what it chooses is beside it.
        chosen = include / f"x86_64-linux-gnu/python{version}/pyconfig.h"
        shutil.copy(chosen, out / version / "pyconfig.h")
    if version in FREE_THREADED:
        shutil.copytree(out / version, out / f"{version}t")
        with open(out / f"{version}t" / "pyconfig.h", "a", encoding="ascii") as file:
            file.write("\n#define Py_GIL_DISABLED 1\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write")
    out: Path = parser.parse_args().out
    for version in SUITES:
        if not (out / version).exists():
            get(version, out)
            print(version)


if __name__ == "__main__":
    main()
