"""The bits of every build that runs here are those of before, and old packed files still open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import run_python

from pyroberta import kernels

HERE = Path(__file__).parent
GOLDEN: dict[str, dict[str, dict[str, str]]] = json.loads((HERE / "bits.json").read_text())
PACKED = sorted(path.name for path in (HERE / "packed").iterdir())
CASES = [(isa, compute_type) for isa, types in GOLDEN.items() for compute_type in types]


def here(isa: str) -> None:
    """Skip where this binary or this CPU lacks the build."""
    if not kernels.has_core() or kernels.core().find_kernels(isa) is None:
        pytest.skip(f"this CPU or this binary cannot run {isa}")


@pytest.mark.parametrize(("isa", "compute_type"), CASES)
def test_outputs_have_the_bits_of_before(isa, compute_type, tmp_path):
    here(isa)
    code = (
        f"import sys, json; sys.path.insert(0, {str(HERE)!r}); import make_bits;"
        f"from pathlib import Path;"
        f"print(json.dumps(make_bits.results(Path({str(tmp_path)!r}), {compute_type!r})))"
    )
    answer = run_python(code, PYROBERTA_ISA=isa)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == GOLDEN[isa][compute_type]


@pytest.mark.parametrize("name", PACKED)
def test_packed_files_of_before_open_and_give_the_same(name):
    isa, compute_type = name.split("-")
    here(isa)
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import make_bits, pyroberta;"
        f"model = pyroberta.from_pretrained({str(HERE / 'packed' / name)!r});"
        "print(model.compute_type);"
        "print(make_bits.digest(model(*make_bits.batch(make_bits.PACKED, [2, 9, 20])).logits))"
    )
    answer = run_python(code, PYROBERTA_ISA=isa)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [compute_type, GOLDEN[isa][compute_type]["logits"]]
