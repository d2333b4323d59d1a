"""A bundle answers by itself, with what the model answers here, and has what it says."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import needs_core
from text.models import TAGS, save

import pyroberta
from pyroberta import ConfigError, InputError, cli, pipeline
from pyroberta.bundle import bundle
from pyroberta.bundle.parts import slim_numpy
from pyroberta.convert.pack import pack
from pyroberta.shipped import SHIPPED

pytest.importorskip("tokenizers")
pytestmark = needs_core

SMALL_BLAS = Path(pyroberta.__file__).with_name("_small_blas.so").is_file()


def run(folder: Path, *lines: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """``python -S FOLDER LINES``, with nothing of this environment but the search path."""
    return subprocess.run(
        [sys.executable, "-S", str(folder), *lines],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        **options,
    )


def run_code(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Python, with the folder alone on its path, running ``code``."""
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def near(found: Any, wanted: Any) -> None:
    """The same answers, scores as numbers: JSON's are a double's digits."""
    assert json.loads(json.dumps(found)) == json.loads(
        json.dumps(wanted, default=lambda a: a.tolist())
    )


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The bundle of the shipped model."""
    return bundle(None, tmp_path_factory.mktemp("bundle") / "out")


def test_the_shipped_model_in_45_megabytes(shipped):
    assert shipped.task == "fill-mask"
    assert {"numpy", "tokenizers", "model", "kernels", "pyroberta"} <= set(shipped.parts)
    files = [file for file in shipped.folder.rglob("*") if file.is_file()]
    assert shipped.size == sum(file.stat().st_size for file in files)
    assert [file.name for file in files if file.suffix in (".py", ".pyi")] == ["__main__.py"]
    carried = importlib.metadata.distribution("numpy").files or []
    licences = [file for file in carried if "LICENSE" in file.name and "dist-info" in str(file)]
    there = [
        f for f in files if "LICENSE" in f.name and "numpy" in f.parts and "licences" in f.parts
    ]
    assert len(there) == len(licences) > 0
    assert not [file for file in files if file.name.startswith(("test_", "_multiarray_tests"))]
    if shipped.whole_numpy:
        pytest.skip("this NumPy brings no BLAS that the small one can stand for")
    assert shipped.size <= 45_000_000


def test_it_answers_from_elsewhere_by_arguments_and_lines(shipped, tmp_path):
    folder = shutil.copytree(shipped.folder, tmp_path / "moved")
    texts = ["The king lived in a large <mask>.", "A <mask> of <mask>."]
    expected = pipeline("fill-mask")(texts)
    done = run(folder, *texts, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    near([json.loads(line) for line in done.stdout.splitlines()], expected)
    lines = "".join(f"{text}\n" for text in texts)
    assert run(folder, input=lines).stdout == done.stdout
    asked = json.dumps({"inputs": texts[0], "top_k": 1})
    near(json.loads(run(folder, asked).stdout), expected[0][:1])
    failed = run(folder, texts[0], "no mask")
    assert failed.returncode == 2
    assert failed.stderr.startswith("pyroberta: error: ")
    assert "mask" in failed.stderr


def test_it_is_on_the_path_as_a_package(shipped):
    code = (
        "import numpy as np, pyroberta\n"
        "print(pyroberta.__file__)\n"
        "print(pyroberta.pipeline('fill-mask')('A <mask>.', top_k=1)[0]['token_str'])\n"
        "print((np.ones((3, 2), np.float32) @ np.ones((2, 3), np.float32)).sum())\n"
    )
    done = run_code(shipped.folder, code)
    assert (done.returncode, done.stderr) == (0, "")
    place, word, total = done.stdout.splitlines()
    assert place.startswith(str(shipped.folder))
    assert word == pipeline("fill-mask")("A <mask>.", top_k=1)[0]["token_str"]
    assert total == "18.0"


@pytest.mark.skipif(not SMALL_BLAS, reason="the small BLAS is built on Linux alone")
def test_linear_algebra_is_there_or_says_that_it_is_not(shipped, tmp_path):
    if shipped.whole_numpy:
        pytest.skip("this NumPy brings no BLAS that the small one can stand for")
    whole = bundle(None, tmp_path / "whole", whole_numpy=True, compute_type="int8")
    assert whole.whole_numpy
    code = "import numpy as np; print(np.linalg.inv(np.eye(2)).sum())"
    told = {}
    for made in (shipped, whole):
        done = run_code(made.folder, code)
        told[made.whole_numpy] = done.stdout.strip(), done.stderr.strip().splitlines()[-1:]
    assert told[True] == ("2.0", [])
    assert "make the bundle with --whole-numpy" in told[False][1][0]
    assert whole.parts["numpy"] > shipped.parts["numpy"] + 20_000_000
    assert whole.parts["model"] < shipped.parts["model"]


TASKS: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "text-classification": (
        pyroberta.RobertaForSequenceClassification,
        {"num_labels": 3},
        {"inputs": {"text": "A house.", "text_pair": "A door."}, "top_k": 2},
    ),
    "token-classification": (
        pyroberta.RobertaForTokenClassification,
        {"num_labels": len(TAGS), "labels": TAGS},
        "Ann lives in Oslo.",
    ),
    "question-answering": (
        pyroberta.RobertaForQuestionAnswering,
        {},
        {"question": "Who sang?", "context": "Ann sang of the sea. " * 30},
    ),
    "zero-shot-classification": (
        pyroberta.RobertaForSequenceClassification,
        {"num_labels": 3},
        {"inputs": "It rains.", "candidate_labels": ["weather", "sport"]},
    ),
    "text-ranking": (
        pyroberta.RobertaForSequenceClassification,
        {"num_labels": 1},
        {"inputs": "A door.", "documents": ["The door.", "Rain."]},
    ),
    "multiple-choice": (
        pyroberta.RobertaForMultipleChoice,
        {},
        {"inputs": "She opened", "choices": ["the door.", "the sea."]},
    ),
    "sentence-embedding": (pyroberta.RobertaModel, {}, "A house."),
    "feature-extraction": (pyroberta.RobertaModel, {}, "A house."),
    "text-generation": (pyroberta.RobertaForCausalLM, {}, "The king"),
}


@pytest.mark.parametrize("task", TASKS)
def test_each_task_answers_as_here(task, tmp_path):
    model_class, config, given = TASKS[task]
    config = {key: value for key, value in config.items() if key != "labels"}
    folder = save(model_class, tmp_path / "model", **config)
    made = bundle(folder, tmp_path / "out", task=task, compute_type="bfloat16")
    here = pipeline(task, folder, compute_type="bfloat16")
    expected = here(**given) if isinstance(given, dict) else here(given)
    done = run(made.folder, json.dumps(given) if isinstance(given, dict) else given)
    assert (done.returncode, done.stderr) == (0, "")
    near(json.loads(done.stdout), expected)


def test_a_packed_folder_is_taken_as_it_is(tmp_path):
    folder = save(pyroberta.RobertaModel, tmp_path / "model")
    pack(folder, tmp_path / "packed", compute_type="int8", embedding_type="int8")
    made = bundle(tmp_path / "packed", tmp_path / "out", task="sentence-embedding")
    packed = {file.name: file.read_bytes() for file in (tmp_path / "packed").iterdir()}
    assert packed == {file.name: file.read_bytes() for file in (made.folder / "model").iterdir()}
    with pytest.raises(ConfigError, match="must be left out for a packed MODEL"):
        bundle(tmp_path / "packed", tmp_path / "other", compute_type="int8")
    assert not (tmp_path / "other").exists()


def test_a_packed_folder_may_hold_the_new_one(tmp_path):
    folder = save(pyroberta.RobertaModel, tmp_path / "model")
    pack(folder, tmp_path / "packed")
    before = {file.name for file in (tmp_path / "packed").iterdir()}
    made = bundle(tmp_path / "packed", tmp_path / "packed" / "out", task="sentence-embedding")
    assert {file.name for file in (made.folder / "model").iterdir()} == before


def test_modules_of_sentence_transformers_come_along(tmp_path):
    folder = save(pyroberta.RobertaModel, tmp_path / "model")
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_P", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_P").mkdir()
    pooling = {"word_embedding_dimension": 24, "pooling_mode_cls_token": True}
    (folder / "1_P" / "config.json").write_text(json.dumps(pooling))
    expected = pipeline("sentence-embedding", folder)("A house.")
    pack(folder, tmp_path / "packed")
    for number, model in enumerate((folder, tmp_path / "packed")):
        made = bundle(model, tmp_path / f"out {number}")  # and a space in its name
        assert made.task == "sentence-embedding"
        near(json.loads(run(made.folder, "A house.").stdout), expected)


def test_the_process_and_where_it_stands_have_no_part_in_it(tmp_path, monkeypatch):
    """A tree without kernels, and packages that are none, in the working folder."""
    shutil.copytree(
        Path(pyroberta.__file__).parent, tmp_path / "pyroberta", ignore=lambda *_: ["_core.pyi"]
    )
    for file in (tmp_path / "pyroberta").glob("_core*"):
        file.unlink()
    for name in ("numpy", "tokenizers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    before = [*sys.path]
    made = bundle(None, "out", compute_type="int8")
    assert sys.path == before
    assert not [m for m in sys.modules.values() if ".partial" in (getattr(m, "__file__", "") or "")]
    assert run(Path(made.folder).absolute(), "A <mask>.").returncode == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_texts_are_no_matter_of_the_locale(locale, monkeypatch, tmp_path):
    folder = save(pyroberta.RobertaModel, tmp_path / "model")
    for name, value in (("LC_ALL", locale), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pyroberta.bundle.make._KEPT", ("PATH", "LC_ALL", "PYTHONUTF8"))
    assert bundle(folder, tmp_path / "out", task="sentence-embedding").parts["model"] > 0


@pytest.mark.skipif(not SMALL_BLAS, reason="the small BLAS is built on Linux alone")
@pytest.mark.parametrize(
    ("libraries", "kept"),
    [
        (["libgfortran-1.so.5", "libquadmath-2.so.0", "libscipy_openblas64_-3.so"], []),
        (["libgcc_s-1.so.1", "libscipy_openblas64_-3.so", "libstdc++-4.so.6"], [0, 2]),
        (["libgfortran-1.so.5", "libopenblas64_p-r0-3.so"], [0, 1]),  # as NumPy 1 has it
    ],
)
def test_only_the_blas_and_its_fortran_make_room(libraries, kept, tmp_path):
    (tmp_path / "numpy.libs").mkdir()
    (tmp_path / "numpy" / "linalg").mkdir(parents=True)
    (tmp_path / "numpy" / "linalg" / "_umath_linalg.so").write_text("")
    for name in libraries:
        (tmp_path / "numpy.libs" / name).write_text("")
    blas = [name for name in libraries if "scipy_openblas64_" in name]
    assert slim_numpy(tmp_path) is bool(blas)
    left = sorted(file.name for file in (tmp_path / "numpy.libs").iterdir())
    assert left == sorted({*(libraries[i] for i in kept), *blas})


def test_the_command_lists_the_parts(tmp_path, capsys):
    folder = save(pyroberta.RobertaForMaskedLM, tmp_path / "model")
    assert cli.main(["bundle", str(folder), str(tmp_path / "out"), "--embedding-type", "int8"]) == 0
    *parts, total = capsys.readouterr().out.splitlines()
    numbers = [int(line.split()[0].replace(",", "")) for line in (*parts, total)]
    assert sum(numbers[:-1]) == numbers[-1]
    assert total.endswith("which answers fill-mask")
    assert {"numpy", "model", "kernels"} <= {line.split()[1] for line in parts}
    assert cli.main(["bundle", str(folder), str(tmp_path / "out")]) == 2
    assert "OUT must be a new or empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"task": "text-classification"}, InputError, "must answer 'text-classification'"),
        ({"task": "no-task"}, ConfigError, "task must be one of .*, not 'no-task'"),
        ({"architecture": "no-class"}, ConfigError, "architecture must be"),
        ({"compute_type": "int4"}, ConfigError, "compute_type must be"),
        ({"embedding_type": "int4"}, ConfigError, "embedding_type must be"),
        ({"model": "no-such-folder"}, FileNotFoundError, "no-such-folder"),
    ],
)
def test_what_makes_no_bundle_leaves_nothing(change, error, message, tmp_path):
    given = {"model": SHIPPED, **change}
    with pytest.raises(error, match=message):
        bundle(given.pop("model"), tmp_path / "out", **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "lost", ["numpy/_core/multiarray.pyc", "model/tokenizer.json", "__main__.py"]
)
def test_a_bundle_that_would_not_answer_is_none(lost, tmp_path, monkeypatch):
    def lose(folder: Path) -> bool:
        (folder / lost).unlink()
        return False

    monkeypatch.setattr("pyroberta.bundle.make.slim_numpy", lose)
    with pytest.raises((InputError, FileNotFoundError), match=r"must answer|tokenizer\.json"):
        bundle(None, tmp_path / "out")
    assert not list(tmp_path.iterdir())
