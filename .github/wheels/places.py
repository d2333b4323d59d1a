"""Pythons of other systems, to try wheels with: unpacked from Debian, or built for musl.

Each becomes a command of one word, WORK/NAME/python, that runs here: under qemu-user where it is of
another processor. Needs dpkg-deb; a musl Python takes some minutes to compile, by zig.
"""

from __future__ import annotations

import lzma
import os
import re
import shlex
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import headers

HERE = Path(__file__).resolve().parent
DEBIAN_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}


def write_command(path: Path, *words: str | Path) -> Path:
    """A shell script that puts its arguments after these words."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n', "utf-8")
    path.chmod(0o755)
    return path


def emulator(processor: str) -> list[str]:
    return [] if os.uname().machine == processor else [f"qemu-{processor}"]


def closure(index: str, wanted: list[str]) -> list[dict[str, str]]:
    """The packages and what they depend on, without what stands for a virtual one."""
    fields = {
        part.split("\n", 1)[0].removeprefix("Package: "): part for part in index.split("\n\n")
    }
    found: dict[str, dict[str, str]] = {}
    while wanted:
        name = wanted.pop()
        if not name or name in found or name not in fields:
            continue
        found[name] = headers.package(index, name)
        needs = ",".join(found[name].get(kind, "") for kind in ("Pre-Depends", "Depends"))
        wanted += [re.split(r"[ :(|]", need.strip())[0] for need in needs.split(",")]
    # Scripts of the system that no Python needs, tens of megabytes of them.
    return [one for name, one in found.items() if not name.startswith(("debconf", "dpkg", "perl"))]


def debian(version: str, processor: str, work: Path) -> Path:
    """Debian's Python, unpacked with the C library that it was built for."""
    root = work / f"debian-{version}-{processor}"
    command = root / "python"
    if not command.exists():
        root.mkdir(parents=True)
        index = headers.read_index(version, DEBIAN_NAMES[processor])
        # NumPy's wheels take the C++ library from the system.
        for fields in closure(index, [f"python{version}", "libstdc++6"]):
            headers.unpack(version, fields, root)
        # Not by a link to it, which leads out of the folder.
        found = (one for one in root.rglob(_LOADERS[processor]) if not one.is_symlink())
        loader = next(found)
        libraries = f"{root}/usr/lib/{processor}-linux-gnu:{root}/lib/{processor}-linux-gnu"
        binary = [loader, "--library-path", libraries, root / f"usr/bin/python{version}"]
        home = ["env", f"PYTHONHOME={root}/usr"]
        write_command(command, *home, *emulator(processor), *binary)
    return command


def source(version: str, out: Path) -> Path:
    """CPython's source, as the distribution has it."""
    index = headers.read_index(version)
    pool = headers.package(index, f"python{version}")["Filename"].rpartition("_")[0]
    name = re.sub(r"-[^-]*$", "", pool)  # without the distribution's own revision
    packed = headers.fetch(f"{headers.SUITES[version][0]}/{name}.orig.tar.xz")
    with tarfile.open(fileobj=BytesIO(lzma.decompress(packed))) as archive:
        archive.extractall(out, filter="tar")
    return next(out.glob("Python-*"))


def musl(version: str, processor: str, work: Path) -> Path:
    """CPython's source built for musl, which Debian's musl package runs."""
    root = work / f"musl-{version}-{processor}"
    command = root / "python"
    if command.exists():
        return command
    root.mkdir(parents=True)
    index = headers.read_index(version, DEBIAN_NAMES[processor])
    headers.unpack(version, headers.package(index, "musl"), root)
    folder = source(version, root)
    target = f"{processor}-linux-musl"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-dynamic"]
    compiler += ["-fno-sanitize=undefined", "-Wno-error=date-time"]
    environment = os.environ | {
        "CC": str(write_command(root / "cc", *compiler)),
        "AR": str(HERE / "zig-ar"),
        "ZIG_PYTHON": sys.executable,
        "RANLIB": "/bin/true",
        "PKG_CONFIG": "/bin/false",  # the libraries of this system are not those of that one
    }
    build = [
        *("./configure", "-q", f"--host={target}", "--build=x86_64-linux-gnu"),
        *(f"--with-build-python={debian(version, 'x86_64', work)}", f"--prefix={root}/prefix"),
        *("--without-ensurepip", "--disable-ipv6", "--disable-test-modules"),
        *("ac_cv_file__dev_ptmx=yes", "ac_cv_file__dev_ptc=no"),
    ]
    abi = f"cpython-{version.replace('.', '')}-{target}"
    names = [f"SOABI={abi}", f"EXT_SUFFIX=.{abi}.so"]  # configure takes it for no known system
    with open(root / "build.log", "w") as log:
        for step in (build, ["make", "-s", "-j2", *names], ["make", "-s", "install", *names]):
            subprocess.run(
                step,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
                check=step[-1] != names[-1],
            )
    loader = next(root.glob(f"**/ld-musl-{processor}.so.1"))
    python = root / f"prefix/bin/python{version}"
    return write_command(command, *emulator(processor), loader, python)
