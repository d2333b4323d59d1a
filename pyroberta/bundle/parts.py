"""What of the packages goes into a bundle, and how it stands there."""

from __future__ import annotations

import importlib.metadata
import json
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..kernels.extension import core

OWN = __package__.partition(".")[0]
# The rooms and files of this package that answer no text.
_LEFT_OUT = {
    *("accuracy", "bundle", "cli", "convert", "trust"),
    *("__main__.py", "ray.py", "sklearn.py", "spark.py", "tables.py"),
}
_SMALL_BLAS = "_small_blas.so"
# What NumPy's BLAS alone needs of the libraries beside it; musl's wheels have others there.
_FORTRAN = ("libgfortran-*", "libquadmath-*")


def probe(task: str, model: Path) -> dict[str, Any]:
    """The files that a task loads, seen in a process of its own that imports what this one does."""
    places = [os.path.abspath(place) for place in sys.path]
    source = str(Path(__file__).with_name("probe.py"))
    code = (
        f"import sys; before = {{*sys.modules}}; sys.path[:] = {places!a}; space = {{}}; "
        f"exec(compile(open({source!a}, encoding='utf-8').read(), 'probe', 'exec'), space); "
        "space['main'](before)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, task, str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = "".join(done.stderr.strip().splitlines()[-1:])
        raise InputError(f"MODEL must answer {task!r}, and does not: {told}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def copy_packages(found: Mapping[str, Any], out: Path) -> None:
    """Copy what was loaded, of all packages but Python's own.

    Of NumPy the Python files of each package that was loaded come whole, since it imports some when
    they are first used; of this one all that may answer a text. Python files are compiled, for this
    Python: what is beside them is too. A file stands where its module's name says: an extension of
    an editable install is not beside its package.
    """
    own = Path(__file__).parents[1]
    chosen: dict[Path, Path] = {}
    for file in own.rglob("*.py"):
        there = file.relative_to(own)
        if not _LEFT_OUT & {*there.parts}:
            chosen[Path(OWN, there)] = file
    roots: dict[str, Path] = {}
    for name, text in found["modules"].items():
        file, top = Path(text), name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "__main__":
            continue
        place = Path(*name.split("."))
        place = place if file.name.startswith("__init__.") else place.parent
        chosen[place / file.name] = file
        if top == "numpy":
            chosen |= {place / one.name: one for one in file.parent.glob("*.py")}
        if name == top and place.name:
            roots[name] = file.parents[1]
    for place, file in sorted(chosen.items()):
        if file.name != "conftest.py":
            _put(file, out / place)
    _put(Path(__file__).with_name("model_here.py"), out / OWN / "shipped" / "__init__.py")
    for name, root in roots.items():
        for library in _libraries(root, name, map(Path, found["libraries"])):
            _put(library, out / library.relative_to(root))
    _copy_licences({name.partition(".")[0] for name in found["modules"]} | {OWN}, out)


def _libraries(root: Path, name: str, mapped: Iterable[Path]) -> Iterator[Path]:
    """The shared libraries that a package brought along: those that are in use, or all."""
    folders = [root / f"{name}.libs", root / name / ".dylibs"]
    in_use = {*mapped}
    for folder in folders:
        if folder.is_dir():
            there = [file for file in folder.iterdir() if file.is_file()]
            yield from [f for f in there if f.resolve() in in_use] if in_use else there


def _put(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix != ".py":
        shutil.copyfile(file, place)
        return
    py_compile.compile(
        str(file),
        str(place.with_suffix(".pyc")),
        dfile=str(place.name),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _copy_licences(names: Iterable[str], out: Path) -> None:
    """The licences of the packages that are copied, below ``licences/``."""
    for name in names:
        try:
            files = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            told = any(word in file.name.upper() for word in ("LICEN", "COPYING", "NOTICE"))
            if told and file.parts[0].endswith(".dist-info"):
                # Some packages carry those of others too, by the same names in folders.
                _put(Path(str(file.locate())), out / "licences" / name / Path(*file.parts[1:]))


def slim_numpy(out: Path) -> bool:
    """Put our small BLAS in the place of the one in NumPy's wheels. Whether it could be done.

    That library is 25 MB, with a Fortran runtime of 3. NumPy's products are then plain loops, and
    its linear algebra, which needs the rest of it, says that it is not there.
    """
    small = Path(str(core().__file__)).with_name(_SMALL_BLAS)
    blas = [*(out / "numpy.libs").glob("libscipy_openblas64_*")]
    linear = [*(out / "numpy" / "linalg").glob("_umath_linalg.*")]
    if not small.is_file() or len(blas) != 1 or len(linear) != 1:
        return False
    runtime = [file for name in _FORTRAN for file in (out / "numpy.libs").glob(name)]
    for file in blas + linear + runtime:
        file.unlink()
    shutil.copyfile(small, blas[0])
    _put(Path(__file__).with_name("no_lapack.py"), linear[0].with_name("_umath_linalg.py"))
    return True


def sizes(out: Path) -> dict[str, int]:
    """The bytes of each part: folders by name, kernels apart, other files together."""
    found: dict[str, int] = {}
    for file in out.rglob("*"):
        if file.is_file():
            parts = file.relative_to(out).parts
            name = parts[0].removesuffix(".libs") if len(parts) > 1 else "bundle"
            if parts[0] == OWN and file.suffix in (".so", ".pyd"):
                name = "kernels"
            found[name] = found.get(name, 0) + file.stat().st_size
    return dict(sorted(found.items(), key=lambda item: -item[1]))
