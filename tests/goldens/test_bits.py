"""The bits of every build that runs here are those of before, and old packed files still open."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from builds import ISAS, fuses
from support import run_python, runs_here

HERE = Path(__file__).parent
GOLDEN: dict[str, dict[str, dict[str, str]]] = json.loads((HERE / "bits.json").read_text())
PACKED = sorted(path.name for path in (HERE / "packed").iterdir())


# Builds that fuse but multiply no pairs of bfloat16: they have one answer in the other types too.
ALIKE = {"avx2": "avx2", "avx512": "avx2", "neon": "avx2", "neon_dot": "avx2"}
ALIKE |= {"scalar": "avx2"} if fuses("scalar") else {}


def golden(isa):
    """By compute type: float32 is one for all builds that fuse, of the others see ``ALIKE``."""
    return GOLDEN.get(ALIKE.get(isa, isa), {}) | (GOLDEN["every build"] if fuses(isa) else {})


CASES = [(isa, compute_type) for isa in ISAS for compute_type in golden(isa)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Gives for a build that runs here what one process of its own gives on it."""
    folder = tmp_path_factory.mktemp("bits")

    @functools.cache
    def of_build(isa):
        packed = [str(HERE / "packed" / name) for name in PACKED if name.startswith(f"{isa}-")]
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
        return json.loads(answer.stdout)

    return of_build


def here(isa):
    """Skip where this binary or this CPU lacks the build."""
    if not runs_here(isa):
        pytest.skip(f"this CPU or this binary cannot run {isa}")


@pytest.mark.parametrize(("isa", "compute_type"), CASES)
def test_outputs_have_the_bits_of_before(isa, compute_type, answers):
    here(isa)
    assert answers(isa)[0][compute_type] == golden(isa)[compute_type]


@pytest.mark.parametrize("name", PACKED)
def test_packed_files_of_before_open_and_give_the_same(name, answers):
    isa, compute_type = name.split("-")
    here(isa)
    want = [compute_type, golden(isa)[compute_type]["logits"]]
    assert answers(isa)[1][str(HERE / "packed" / name)] == want


def test_builds_without_instructions_for_pairs_and_fours_agree_in_every_type():
    assert GOLDEN["avx2"] == GOLDEN["avx512"]
