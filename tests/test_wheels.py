"""The scripts of `.github/wheels`: what they write is a wheel; each knows the others' targets."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / ".github/wheels"
pytestmark = pytest.mark.skipif(
    not SCRIPTS.is_dir(), reason="needs .github, which a source distribution has not"
)


@pytest.fixture
def build(monkeypatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("build", "headers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import build

    return build


def pure_wheel(folder: Path, version: str) -> Path:
    info = f"pyroberta-{version}.dist-info"
    path = folder / "pure.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("pyroberta/__init__.py", "x = 1\n")
        wheel.writestr(f"{info}/METADATA", f"Name: pyroberta\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n\n"
        )
        wheel.writestr(f"{info}/RECORD", "what the pure one had\n")
    return path


@pytest.mark.parametrize(
    ("target", "python", "tag"),
    [
        ("manylinux-x86_64", "3.10", "cp310-cp310-manylinux_2_28_x86_64"),
        ("manylinux-aarch64", "3.13t", "cp313-cp313t-manylinux_2_28_aarch64"),
        ("musllinux-aarch64", "3.14", "cp314-cp314-musllinux_1_2_aarch64"),
        ("macos-arm64", "3.14t", "cp314-cp314t-macosx_11_0_arm64"),
    ],
)
def test_a_wheel_says_what_it_is_and_what_it_holds(target, python, tag, build, tmp_path):
    pure = pure_wheel(tmp_path, build.version())
    modules = [tmp_path / name for name in ("_core.so", "_small_blas.so")]
    for module in modules:
        module.write_bytes(module.name.encode() * 100)
    path = build.write_wheel(pure, modules, target, python, tmp_path)
    assert path.name == f"pyroberta-{build.version()}-{tag}.whl"
    with zipfile.ZipFile(path) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    info = f"pyroberta-{build.version()}.dist-info"
    said = files[f"{info}/WHEEL"].decode().splitlines()
    assert [line for line in said if line.startswith(("Tag", "Root"))] == [
        "Root-Is-Purelib: false",
        f"Tag: {tag}",
    ]
    rows = [line.split(",") for line in files[f"{info}/RECORD"].decode().splitlines()]
    assert {row[0] for row in rows} == set(files)
    for name, digest, size in rows:
        if not name.endswith("/RECORD"):
            wanted = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest())
            assert digest == f"sha256={wanted.decode().rstrip('=')}"
            assert int(size) == len(files[name])
    assert files["pyroberta/_core.so"] == modules[0].read_bytes()
    first = path.read_bytes()
    build.write_wheel(pure, modules, target, python, tmp_path)
    assert path.read_bytes() == first


def test_each_target_has_its_pythons(build):
    assert set(build.headers.PYTHONS) == {*build.headers.SUITES, "3.13t", "3.14t"}
    for name, target in build.TARGETS.items():
        assert target.processor in target.zig
        assert target.suffix.startswith("-")
        assert name.partition("-")[0].startswith(target.platform.partition("_")[0][:5])


def test_the_places_of_try_are_targets_and_pythons_that_are_built(build, monkeypatch):
    for name in ("try", "places"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    places = __import__("try").PLACES
    for place in places:
        target, _, python = place.partition(":")
        assert target in build.TARGETS
        assert python in build.headers.PYTHONS
