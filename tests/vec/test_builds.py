"""Which builds' vectors are tested here, and that vec.h holds a set to its words and its laws."""

from __future__ import annotations

import ast
import re

import pytest
from builds import ISAS
from vec.compiled import CSRC, HERE, builds, compile_cpp, compiler, runs_here, vectors_of

needs_compiler = pytest.mark.skipif(compiler() is None, reason="vectors: there is no C++ compiler")


@pytest.mark.parametrize("build", builds() if compiler() else ["all builds"])
def test_the_vectors_are_tested(build):
    if compiler() is None:
        pytest.skip("vectors: there is no C++ compiler, $CXX, c++, g++ or clang++")
    if not runs_here(build):
        pytest.skip(f"this CPU or this binary cannot run {build}")


def vocabulary() -> list[str]:
    """The operations that vec.h asks of every set."""
    text = (CSRC / "vec/vec.h").read_text()
    plain = re.findall(r"^OPERATION\(\w+, (\w+),\s+\(", text, re.M)
    return plain + re.findall(r"^OPERATION_WHERE\([!\w]+, \w+, (\w+),\s+\(", text, re.M)


def test_each_operation_has_a_test():
    text = (CSRC / "vec/vec.h").read_text()
    assert len(vocabulary()) == len(re.findall(r"^OPERATION", text, re.M)) > 30
    tested: set[str] = set()
    for file in HERE.glob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                tested.add(node.name.removeprefix("test_"))
            elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "LANE_BY_LANE":
                tested |= set(ast.literal_eval(ast.unparse(ast.List(node.value.keys))))
    assert set(vocabulary()) <= tested


def includes(build: str, header: str) -> bool:
    """Whether csrc/isa/<build>.cpp includes this header of csrc/vec."""
    return f'"vec/{header}"' in (CSRC / f"isa/{build}.cpp").read_text()


@needs_compiler
@pytest.mark.parametrize("header", sorted(file.name for file in CSRC.glob("vec/*.h")))
def test_each_header_can_be_read_alone(header):
    of = {name: builds().get(name) for name in ISAS if includes(name, header)}
    if of and not any(flags is not None for flags in of.values()):
        # Its intrinsics do not parse here; they are read where they are built (.ci/aarch64).
        pytest.skip(f"{header} is of another processor")
    flags = next((flags for flags in of.values() if flags is not None), [])
    done = compile_cpp(*flags, "-fsyntax-only", "-x", "c++", str(CSRC / f"vec/{header}"))
    assert done.returncode == 0, done.stderr


# What vec.h says of a set with this replaced in vec/scalar.h.
BROKEN = {
    "an operation is missing": ("inline Vec round(Vec a)", "inline Vec rounded(Vec a)", "round"),
    "an operation has another type": (
        "inline Vec add_ints(Vec a, Vec b) {",
        "inline Vec add_ints(Vec a, float f) {\n  const Vec b = set(f);",
        "add_ints",
    ),
    "an operation is not deleted": (
        "template <class V>\nV dot_bfloat16(V, V, V) = delete;",
        "inline Vec dot_bfloat16(Vec, Vec, Vec acc) { return acc; }",
        "dot_bfloat16 must be there where kDotsBfloat16",
    ),
    "a tile has too many rows": ("kTileRows = 4", "kTileRows = 9", "in the lanes of a vector"),
    "panels part operands": ("kPanelVecs = 1", "kPanelVecs = 3", "whole panels"),
    "lanes cannot be halved": ("kLanes = 8", "kLanes = 12", "halved"),
    "vectors are too wide": ("kLanes = 8", "kLanes = 32", "narrowest rotation"),
}


@needs_compiler
@pytest.mark.parametrize("broken", BROKEN)
def test_a_set_that_breaks_a_law_does_not_compile(broken, tmp_path):
    old, new, said = BROKEN[broken]
    text = (CSRC / "vec/scalar.h").read_text()
    assert text.count(old) == 1
    header = tmp_path / "set.h"
    header.write_text(text.replace(old, new))
    done = compile_cpp(
        "-fsyntax-only", "-x", "c++", "-include", str(header), str(CSRC / "vec/vec.h")
    )
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("build", builds())
def test_each_build_names_its_vectors(build):
    assert vectors_of(build)[0].startswith('-DPYROBERTA_VEC_HEADER="vec/')
