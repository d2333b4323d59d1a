"""The bits of every build that runs here are those of before, and old packed files still open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import run_python, runs_here

HERE = Path(__file__).parent
GOLDEN: dict[str, dict[str, dict[str, str]]] = json.loads((HERE / "bits.json").read_text())
PACKED = sorted(path.name for path in (HERE / "packed").iterdir())
CASES = [(isa, compute_type) for isa, types in GOLDEN.items() for compute_type in types]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """For each build that runs here, what one process of its own gives on it."""
    folder = tmp_path_factory.mktemp("bits")
    names = [name for name in PACKED if runs_here(name.split("-")[0])]
    found = {}
    for isa in {name.split("-")[0] for name in names}:
        packed = [str(HERE / "packed" / name) for name in names if name.startswith(f"{isa}-")]
        code = (
            f"import sys, json; sys.path.insert(0, {str(HERE)!r}); import make_bits, pyroberta;"
            f"from pathlib import Path; folder = Path({str(folder / isa)!r}); folder.mkdir();"
            f"bits = {{name: make_bits.results(folder, name) for name in make_bits.TYPES}};"
            f"models = {{path: pyroberta.from_pretrained(path) for path in {packed!r}}};"
            "rows = make_bits.batch(make_bits.PACKED, [2, 9, 20]);"
            "opened = {path: (model.compute_type, make_bits.digest(model(*rows).logits))"
            " for path, model in models.items()};"
            "print(json.dumps([bits, opened]))"
        )
        answer = run_python(code, PYROBERTA_ISA=isa)
        assert answer.returncode == 0, answer.stderr
        found[isa] = json.loads(answer.stdout)
    return found


def here(isa):
    """Skip where this binary or this CPU lacks the build."""
    if not runs_here(isa):
        pytest.skip(f"this CPU or this binary cannot run {isa}")


@pytest.mark.parametrize(("isa", "compute_type"), CASES)
def test_outputs_have_the_bits_of_before(isa, compute_type, answers):
    here(isa)
    assert answers[isa][0][compute_type] == GOLDEN[isa][compute_type]


@pytest.mark.parametrize("name", PACKED)
def test_packed_files_of_before_open_and_give_the_same(name, answers):
    isa, compute_type = name.split("-")
    here(isa)
    want = [compute_type, GOLDEN[isa][compute_type]["logits"]]
    assert answers[isa][1][str(HERE / "packed" / name)] == want
