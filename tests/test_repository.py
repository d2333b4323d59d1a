"""What the repository says of itself is true: stubs, names, versions, the README's code."""

from __future__ import annotations

import ast
import inspect
import operator
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from pages import code_blocks
from support import needs_core

import pyroberta
from pyroberta import activations, kernels, reference

ROOT = Path(__file__).parents[1]


def contract_names() -> list[str]:
    """The function pointers of ``struct Kernels``."""
    text = (ROOT / "csrc/kernels.h").read_text()
    struct = text[text.index("struct Kernels {") :]
    return re.findall(r"\(\*(\w+)\)\(", struct[: struct.index("\n};")])


# The test files of kernels that have none of their own name.
TESTED_IN = {
    "attention_scratch": "attention",
    "attention_weights": "attention",
    "to_operand": "operand",
    "operand_words": "operand",
    "panel_words": "pack",
}

# How a build lays out the numbers that compute_types.py gives: the reference has the numbers alone.
LAYOUTS = {"to_operand", "operand_words", "panel_words", "attention_scratch"}


@pytest.mark.parametrize("name", [*contract_names(), "run_blocks"])
def test_each_kernel_has_a_reference_and_a_test(name):
    if name not in LAYOUTS:
        assert inspect.isfunction(getattr(reference, name))
    test = TESTED_IN.get(name, name)
    assert (ROOT / f"tests/kernels/test_{test}.py").is_file()


def test_the_contract_lists_kernels():
    assert {"linear", "attention", "layer_norm"} <= set(contract_names())


STUB = ast.parse((ROOT / "pyroberta/_core.pyi").read_text())


@needs_core
def test_the_stub_names_what_the_extension_has():
    core = kernels.core()
    typed: dict[str, set[str]] = {}
    for node in STUB.body:
        if isinstance(node, ast.ClassDef):
            typed[node.name] = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            typed[node.name] = set()
        elif isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_"):
            typed[node.target.id] = set()
    assert set(typed) == {name for name in vars(core) if not name.startswith("_")}
    for name, members in typed.items():
        if inspect.isclass(getattr(core, name)):
            public = {m for m in vars(getattr(core, name)) if not m.startswith("_")}
            assert members - {"__init__"} == public, name


def arguments(function: ast.FunctionDef) -> list[tuple[str, str, str | None]]:
    """Each argument's kind, name and default; without a default None."""
    args = function.args
    assert not args.posonlyargs
    assert args.vararg is args.kwarg is None
    none = [None] * (len(args.args) - len(args.defaults))
    pairs = [
        *(("any", a, d) for a, d in zip(args.args, [*none, *args.defaults], strict=True)),
        *(("keyword", a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)),
    ]
    return [(kind, a.arg, None if d is None else ast.unparse(d)) for kind, a, d in pairs]


def documented(doc: str) -> list[ast.FunctionDef]:
    """The signatures that pybind11 writes into ``__doc__``, one for each overload."""
    signatures = re.findall(r"^(?:\d+\. )?(\w+\(.*\) -> .*)$", doc, re.MULTILINE)
    return [ast.parse(f"def {signature}: ...").body[0] for signature in signatures]


def stub_functions() -> dict[str, list[ast.FunctionDef]]:
    """The stub's functions and methods, a list of overloads each."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in STUB.body:
        inside = [(f"{node.name}.", n) for n in node.body] if isinstance(node, ast.ClassDef) else []
        for prefix, function in [*inside, ("", node)]:
            if isinstance(function, ast.FunctionDef):
                found.setdefault(prefix + function.name, []).append(function)
    return found


@needs_core
@pytest.mark.parametrize("name", stub_functions())
def test_the_stub_has_the_arguments_that_the_extension_has(name):
    stub = stub_functions()[name]
    own = operator.attrgetter(name)(kernels.core())
    if isinstance(own, property):
        assert [ast.unparse(d) for d in stub[0].decorator_list] == ["property"]
        return
    assert [arguments(f) for f in stub] == [arguments(f) for f in documented(own.__doc__)]


@needs_core
def test_versions_agree():
    text = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.*)"', text, re.MULTILINE)
    assert version
    assert pyroberta.__version__ == version[1] == kernels.core().version
    assert metadata.version("pyroberta") == version[1]


def test_activations_are_in_one_order():
    listed = (ROOT / "csrc/activations.inc").read_text()
    names = re.findall(r"^(?:ACTIVATION|ROWWISE)\((\w+)\)$", listed, re.M)
    assert ("linear", *names) == activations.ACTIVATIONS


def test_each_object_of_an_isa_exports_its_table_alone():
    # A function that leaked could be the copy that the linker keeps for a CPU without that ISA.
    nm = shutil.which("nm")
    objects = sorted(ROOT.glob("build/*/CMakeFiles/kernels_*.dir/csrc/isa/*.o"))
    if nm is None or not objects:
        pytest.skip("needs nm and the objects of a build in build/")
    for file in objects:
        listing = subprocess.run(
            [nm, "-C", "--defined-only", str(file)], capture_output=True, text=True, check=True
        ).stdout
        exported = [line for line in listing.splitlines() if re.search(r" [A-TV-Zu-w] ", line)]
        isa = file.name.split(".")[0]
        assert [line.split(" ", 2)[2] for line in exported] == [f"pyroberta::{isa}::table"], file


@pytest.mark.parametrize("module", ["torch", "tokenizers", "transformers", "tqdm", "matplotlib"])
def test_importing_the_package_imports_no_extra(module):
    code = f"import pyroberta, sys; sys.exit('{module}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def python_blocks() -> list[str]:
    return [b.text for b in code_blocks(ROOT / "README.md") if b.language == "python"]


@needs_core
@pytest.mark.parametrize("block", range(len(python_blocks())))
def test_the_python_of_the_readme_runs(block, tmp_path):
    pytest.importorskip("tokenizers")
    code = tmp_path / "block.py"
    code.write_text(python_blocks()[block])
    subprocess.run([sys.executable, str(code)], check=True, cwd=tmp_path, timeout=60)


def test_no_file_is_too_long_to_read():
    files = [
        *ROOT.glob("pyroberta/**/*.py"),
        *ROOT.glob("csrc/**/*.*"),
        *ROOT.glob("tests/**/*.py"),
    ]
    long = {f.name: n for f in files if (n := len(f.read_text().splitlines())) > 400}
    assert not long
