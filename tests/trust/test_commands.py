"""The commands ``trace``, ``compare``, ``digits``, ``golden`` and ``vectors``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trust.port import Port

import pyroberta
from pyroberta import ConfigError, InputError
from pyroberta.cli import main
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.trust import Trace, compare, digits, write_golden

TEXTS = ["The king lived in a tower.", "She opened the door, and nobody was there.", "Yes."]


@pytest.fixture
def texts(tmp_path: Path) -> str:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(TEXTS) + "\n")
    return str(file)


def test_trace_and_compare(tmp_path: Path, texts: str, capsys: Any) -> None:
    mine, theirs = str(tmp_path / "mine.safetensors"), str(tmp_path / "theirs.safetensors")
    assert main(["trace", "--texts", texts, "--output", mine]) == 0
    assert main(["trace", "--texts", texts, "--compute-type", "float32", "--output", theirs]) == 0
    trace = Trace.open(mine)
    assert trace["logits"].dtype == np.float64
    assert trace.metadata["compute_type"] == "float64"
    report = str(tmp_path / "report.json")
    assert main(["compare", mine, theirs, "--output", report]) == 0
    assert "differ by rounding alone, of float32" in capsys.readouterr().out
    assert json.loads(Path(report).read_text())["first"] is None


def test_compare_says_what_differs(tmp_path: Path, examples: Any, capsys: Any) -> None:
    example = examples["words"]
    mine, theirs = str(tmp_path / "mine.safetensors"), str(tmp_path / "theirs.npz")
    example.trace(output=mine)
    port = Port(example.sizes, example.tensors, "tanh gelu")
    np.savez(theirs, **port(example.ids, example.mask, example.types))
    plot = tmp_path / "plot.png"
    assert main(["compare", mine, theirs, "--output", "-", "--plot", str(plot)]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["causes"][0] == "gelu_tanh in place of gelu"
    assert err == "pyroberta: differs by more than rounding: block.0.intermediate.activation\n"
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main(["compare", mine, theirs, "--model", str(tmp_path / "nowhere")]) == 2
    assert "model must be the checkpoint of the trace" in capsys.readouterr().err
    assert main(["compare", mine, theirs, "--names", str(tmp_path / "none.json")]) == 2
    names = tmp_path / "names.json"
    for text, error in (("[]", "must be"), ('{"logits": 3}', "must be a name or a list of names")):
        names.write_text(text)
        assert main(["compare", mine, theirs, "--names", str(names)]) == 2
        assert error in capsys.readouterr().err


def test_a_trace_of_pairs_and_some_steps(tmp_path: Path, examples: Any) -> None:
    file, output = tmp_path / "pairs.jsonl", tmp_path / "t.safetensors"
    file.write_text(
        json.dumps({"text": "One text.", "text_pair": "Another."}) + "\n" + '{"text": "Yes."}\n'
    )
    command = ["trace", "--texts", str(file), "--output", str(output), "--layout", "ragged"]
    assert main([*command, "--steps", "block.0.*", "--limit", "1"]) == 0
    assert all(name.startswith("block.0.") for name in Trace.open(output))
    assert Trace.open(output).case.ragged.batch == 1


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["trace", "--texts", "{texts}", "--output", "x.npz"], "--output must end in .safetensors"),
        (["trace", "--texts", "{empty}", "--output", "{new}"], "--texts must have a text"),
        (
            ["trace", "--texts", "{texts}", "--output", "{new}", "--compute-type", "float8"],
            "compute_type must be",
        ),
        (
            ["trace", "--texts", "{texts}", "--output", "{new}", "--steps", "no.*"],
            "steps must be patterns",
        ),
        (["digits", "--texts", "{texts}", "--compute-type", "int9"], "compute_types must be of"),
        (["digits", "--texts", "{texts}", "--worst", "0"], "worst must be"),
        (["golden", "--output", "{texts}"], "output must be an empty folder"),
        (["vectors", "--output", "{texts}"], "output must be a folder"),
        (["vectors", "--output", "{new}", "--max-ulps", "3"], "--max-ulps must come with --check"),
        (["vectors", "--check", "{new}", "{texts}"], "vectors.safetensors"),
        (["compare", "{texts}", "{texts}"], "safetensors"),
    ],
)
def test_errors_in_one_line(
    tmp_path: Path, texts: str, capsys: Any, command: list[str], error: str
) -> None:
    (tmp_path / "empty.txt").write_text("")
    names = {
        "{texts}": texts,
        "{empty}": str(tmp_path / "empty.txt"),
        "{new}": str(tmp_path / "new.safetensors"),
    }
    assert main([names.get(word, word) for word in command]) == 2
    err = capsys.readouterr().err
    assert error in err
    assert err.count("\n") == 1


def test_digits_of_the_shipped_model(texts: str, tmp_path: Path, capsys: Any) -> None:
    output = tmp_path / "digits.json"
    assert main(["digits", "--texts", texts, "--worst", "2", "--output", str(output)]) == 0
    out = capsys.readouterr().out
    said = json.loads(output.read_text())
    assert said["texts"] == 3
    assert list(said["digits"]) == list(COMPUTE_TYPES)
    last = {name: values[-1] for name, values in said["digits"].items()}
    assert last["float32"] > 5 > last["bfloat16"] > 1
    assert last["bfloat16x3"] > 5 > last["int8"] > 1
    assert all(len(said["worst"][name]) == 2 for name in COMPUTE_TYPES)
    assert "Fewest digits in int8: text " in out
    assert "block.0.attention.scores" in out


def test_digits_are_of_the_errors_that_a_trace_shows(examples: Any) -> None:
    report = digits(None, TEXTS, compute_types=["bfloat16"])
    exact = pyroberta.from_pretrained(
        pyroberta.shipped.SHIPPED, backend="reference", compute_type="float64"
    )
    model = pyroberta.from_pretrained(pyroberta.shipped.SHIPPED, compute_type="bfloat16")
    from pyroberta.trust.of_texts import read_rows

    tokenizer, rows = read_rows(None, TEXTS)
    ids, mask = tokenizer.pad(rows)
    mine, theirs = (pyroberta.trace(one, ids, mask, layout="ragged") for one in (exact, model))
    for name, got in zip(report.steps, report.digits["bfloat16"], strict=True):
        with np.errstate(invalid="ignore"):
            off = np.linalg.norm(np.nan_to_num(theirs[name] - mine[name]))
        want = -np.log10(off / np.linalg.norm(mine[name])) if off else 17.0
        assert got == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("with_texts", [True, False])
def test_a_golden_run(
    tmp_path: Path, examples: Any, texts: str, with_texts: bool, capsys: Any
) -> None:
    output = tmp_path / "golden"
    model = [] if with_texts else [str(examples["words"].folder)]
    said = ["--texts", texts] if with_texts else []
    assert main(["golden", *model, *said, "--output", str(output)]) == 0
    for line in (output / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == digest
    inputs = json.loads((output / "inputs.json").read_text())
    trace = Trace.open(output / "trace.safetensors")
    assert (inputs["texts"] is not None) == with_texts
    path = model[0] if model else pyroberta.shipped.SHIPPED
    again = pyroberta.from_pretrained(path)
    logits = again(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"]).logits
    np.testing.assert_allclose(logits, trace["logits"], atol=1e-3)
    assert compare(trace, {"logits": logits}, model=again).first is None
    with pytest.raises(InputError, match="output must be an empty folder"):
        write_golden(None, output)


def test_vectors_by_command(tmp_path: Path, capsys: Any) -> None:
    folder = str(tmp_path / "vectors")
    assert main(["vectors", "--output", folder]) == 0
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    np.save(theirs / "relu6.float32.npy", np.ones(1))
    assert main(["vectors", "--check", folder, str(theirs)]) == 2
    from pyroberta.trust.vectors import all_cases, expected

    case = next(case for case in all_cases() if case.name == "relu6.float32")
    right = expected(case)
    np.save(theirs / "relu6.float32.npy", right)
    assert main(["vectors", "--check", folder, str(theirs), "--max-ulps", "0"]) == 0
    right[0, 1] += 1
    np.save(theirs / "relu6.float32.npy", right)
    assert main(["vectors", "--check", folder, str(theirs)]) == 0
    capsys.readouterr()
    check = ["vectors", "--check", folder, str(theirs), "--max-ulps", "2", "--json", "-"]
    assert main(check) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["name"] == "relu6.float32"
    assert "units in the last place, of which 2 are the most" in err


def test_models_that_read_more_than_a_text(tmp_path: Path) -> None:
    sizes = {"num_blocks": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = pyroberta.RobertaConfig(vocab_size=9, max_positions=20, **sizes)
    pyroberta.RobertaForMultipleChoice.from_config(config, seed=0).save_pretrained(tmp_path / "a")
    crossed = pyroberta.RobertaConfig(
        vocab_size=9, max_positions=20, use_cross_attention=True, **sizes
    )
    pyroberta.RobertaForCausalLM.from_config(crossed, seed=0).save_pretrained(tmp_path / "b")
    for name in ("a", "b"):
        with pytest.raises(ConfigError, match="checkpoint must be of a model that reads"):
            write_golden(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        ("abc", "texts must be a list of them, not a str"),
        ([], "texts must have a text"),
        ([{"txt": "a"}], r"texts\[0\] must be a str, or an object"),
        (["a", 3], r"texts\[1\] must be a str, or an object"),
        ([{"text": "a", "text_pair": 3}], r"text_pair of texts\[0\] must be a str"),
    ],
)
def test_texts_that_are_none(texts: Any, error: str, tmp_path: Path) -> None:
    for call in (lambda: digits(None, texts), lambda: write_golden(None, tmp_path / "g", texts)):
        with pytest.raises(InputError, match=error):
            call()
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("max_positions", [3, 4, 5, 6])
def test_golden_runs_of_models_for_few_tokens(tmp_path: Path, max_positions: int) -> None:
    config = pyroberta.RobertaConfig(
        num_blocks=1,
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=9,
        max_positions=max_positions,
    )
    model = pyroberta.RobertaForSequenceClassification.from_config(config, seed=0)
    model.save_pretrained(tmp_path / "model")
    found = write_golden(tmp_path / "model", tmp_path / "golden")
    assert found["logits"].shape == (5, 2)
