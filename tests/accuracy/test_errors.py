"""The accuracy report on what it cannot use: each message, and one line of it on the shell."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from accuracy.cases import TEXTS, write

from pyroberta import ConfigError, InputError
from pyroberta.accuracy import Measurement, Thresholds, compare

pytest.importorskip("tokenizers")

LABELLED = {"text": "a", "label": 0}
SCORED = {"text": "a", "text_pair": "b", "score": 1}


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "texts must hold at least one text, not none"),
        ("a text", {}, "texts must be a list of them, not a str"),
        (LABELLED, {}, "texts must be a list of them, not a dict"),
        (3, {}, "texts must be a list of them, not a int"),
        ([SCORED, SCORED], {}, "score must be different numbers, not 1 for every text"),
        ([3], {}, r'texts\[0\] must be a str, or an object with a str under "text", not 3'),
        ([{"txt": "a"}], {}, r"texts\[0\] must be a str, or an object with a str under"),
        ([{"text": "a", "text_pair": 3}], {}, r"text_pair of texts\[0\] must be a str, not 3"),
        ([SCORED | {"score": "x"}], {}, r"score of texts\[0\] must be a finite number, not 'x'"),
        ([SCORED | {"score": True}], {}, r"score of texts\[0\] must be a finite number, not True"),
        ([SCORED | {"score": np.inf}], {}, r"score of texts\[0\] must be a finite number, not inf"),
        ([SCORED, "a"], {}, r"score must be given for every text or for none: texts\[1\] is not"),
        (["a", LABELLED], {}, r"label must be given for every text or for none: texts\[1\] is not"),
        ([SCORED | {"label": 1}], {}, "label must be left out beside a score, not 1"),
        ([{"text": "a", "score": 1}], {}, r"text_pair of texts\[0\] must be given, not left out"),
        (["\ud800"], {}, r"texts\[0\] must be text that UTF-8 can hold"),
        (["a"], {"compute_types": []}, r"compute_types must name types, each once, not \[\]"),
        (["a"], {"compute_types": ["float32"] * 2}, "compute_types must name types, each once"),
        (["a"], {"compute_types": ["int3"]}, "compute_types must be of float32.*, not 'int3'"),
        (["a"], {"compute_types": "float32"}, "compute_types must be a list of names, not 'float"),
        (["a"], {"against": "int8"}, "against must be one of float64, float32, not 'int8'"),
        (["a"], {"limit": 0}, "limit must be a whole number of at least 1, not 0"),
        (["a"], {"batch_tokens": 0}, "batch_tokens must be a whole number of at least 1, not 0"),
        (["a"], {"architecture": "x"}, "architecture must be one of base, .*, not 'x'"),
        (
            ["a"],
            {"pooling": "x"},
            "pooling must be one or several of mean, cls, max, mean_sqrt_len, weigh",
        ),
        (
            ["a"],
            {"pooling": "cls"},
            "pooling must be left out for this RobertaForMaskedLM, whose texts are not made into",
        ),
        (
            ["a"],
            {"architecture": "base", "thresholds": Thresholds(min_agreement=1)},
            "min_agreement must be left out for this RobertaModel, whose result is no choice",
        ),
        (
            ["a"],
            {"thresholds": Thresholds(max_score_drop=0.5)},
            "max_score_drop must be left out where the texts have neither labels nor scores, not 0",
        ),
        ([LABELLED], {"architecture": "base"}, "label must be left out for this RobertaModel"),
        ([LABELLED], {}, r"texts\[0\] must hold the mask token '<mask>' within its 3 tokens"),
        (
            [{"text": "a <mask>", "label": 3}],
            {},
            r"label of texts\[0\] must be a word or a list of them, not 3",
        ),
        (
            [{"text": "a <mask>", "label": ["b", "c"]}],
            {},
            r"label of texts\[0\] must be a word for each of the 1 masks, not \['b', 'c'\]",
        ),
        (
            [{"text": "a <mask>.", "label": "hippopotamuses"}],
            {},
            r"label of texts\[0\] must be one token at each mask, not 'hippopotamuses'",
        ),
    ],
)
def test_what_is_wrong_is_named(texts, options, message):
    with pytest.raises((InputError, ConfigError), match=message):
        compare(None, texts, **options)


MULTI_LABEL = {"problem_type": "multi_label_classification"}
REGRESSION = {"num_labels": 1, "id_to_label": {}}


@pytest.mark.parametrize(
    ("kind", "changes", "line", "message"),
    [
        (
            "SequenceClassification",
            {},
            {"label": "fine"},
            r"label of texts\[0\] must be a label of the model \(bad, so so, good\) or its num",
        ),
        ("SequenceClassification", {}, {"label": 3}, r"or its number, not 3"),
        ("SequenceClassification", {}, {"label": "3"}, r"or its number, not '3'"),
        ("SequenceClassification", {}, {"label": True}, r"or its number, not True"),
        (
            "SequenceClassification",
            {},
            {"score": 3},
            "score must be left out for this .*, which gives neither vectors nor one number .* 3",
        ),
        (
            "SequenceClassification",
            REGRESSION,
            {"label": 3},
            "label must be left out for this .*, not 3; numbers stand under score",
        ),
        (
            "SequenceClassification",
            MULTI_LABEL,
            {"label": 1},
            r"label of texts\[0\] must be a list of labels, not 1",
        ),
        (
            "TokenClassification",
            {},
            {"label": ["bad"]},
            r"label of texts\[0\] must be a list of 3 labels, one for each token .*, not \['bad'\]",
        ),
        (
            "TokenClassification",
            {},
            {"label": [None, -100, None]},
            "label must be known of at least one token, not null for all",
        ),
        ("QuestionAnswering", {}, {"label": "a"}, "label must be left out for this RobertaForQ"),
        ("QuestionAnswering", {}, {"score": 1}, "score must be left out for this RobertaForQ"),
        ("MultipleChoice", {}, {}, "model must read one text at a time, not several choices"),
    ],
    ids=str,
)
def test_what_a_head_cannot_use_is_named(make_model, kind, changes, line, message):
    folder = make_model(f"RobertaFor{kind}", **changes)
    with pytest.raises((InputError, ConfigError), match=message):
        compare(folder, [{"text": "a", **line}])


def test_a_missing_library_is_told_with_its_extra(run_accuracy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    # Before a text is read, let alone computed.
    status, out, err = run_accuracy("--texts", "none.txt", "--plot", tmp_path / "plot.png")
    assert (status, out) == (2, "")
    assert 'a plot needs the matplotlib library: pip install "pyroberta[plot]"' in err
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    status, _, err = run_accuracy("--texts", write(tmp_path / "t.txt", TEXTS))
    assert status == 2
    assert 'pip install "pyroberta[text]"' in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--texts", "none.txt"], "--texts must be a file or -, not 'none.txt'"),
        (["none", "--texts", "t.txt"], "path must be a checkpoint's folder, not 'none'"),
        (["--texts", "empty.txt"], "texts must hold at least one text, not none"),
        (["--texts", "bad.jsonl"], "bad.jsonl, line 2, must be JSON, not what it holds"),
        (["--texts", "t.jsonl"], 't.jsonl, line 1, must be an object with a str under "text"'),
        (["--texts", "t.txt", "--labels", "-"], "--labels must be a file, not '-'"),
        (
            ["--texts", "t.txt", "--labels", "l.txt"],
            "--labels must have a line for each text (2), n",
        ),
        (["--texts", "l.txt", "--labels", "t.txt"], "line for each text (1), not 2 lines"),
        (
            ["--texts", "own.jsonl", "--labels", "l.txt"],
            "--labels must be left out where texts[0] has a label of its own",
        ),
        (["--texts", "t.txt", "--limit", "0"], "--limit must be a whole number of at least 1"),
        (["--texts", "t.txt", "--batch-tokens", "0"], "batch_tokens must be a whole number"),
        (["--texts", "t.txt", "--threads", "0"], "--threads must be a whole number"),
        (["--texts", "t.txt", "--compute-type", "int3"], "compute_types must be of float32"),
        (["--texts", "t.txt", "--against", "int3"], "against must be one of float64, float32, not"),
        (["--texts", "t.txt", "--output", "a.txt"], "--output must be - or end in .json, not 'a.t"),
        (["--texts", "t.txt", "--plot", "-"], "--plot must end in .png or .svg, not '-'"),
        (["--texts", "t.txt", "--plot", "no/a.png"], "--plot must be in a folder that exists, not"),
        (
            ["--texts", "own.json", "--jsonl", "--output", "own.json"],
            "--output must be another file than 'own.json'",
        ),
        (["--texts", "t.txt", "--max-error", "-1"], "max_error must be a number of at least 0"),
        (["--texts", "t.txt", "--min-agreement", "99"], "min_agreement must be a number in [0, 1]"),
        (
            ["--texts", "t.txt", "--max-score-drop", "0"],
            "max_score_drop must be left out where the",
        ),
        (
            ["--texts", "own.jsonl"],
            "texts[0] must hold the mask token '<mask>' within its 3 tokens",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_of_the_user_is_one_line_and_exits_with_2(
    run_accuracy, tmp_path, monkeypatch, argv, message
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.txt", ["a", "b"])
    write(tmp_path / "l.txt", ["bad"])
    write(tmp_path / "empty.txt", [])
    write(tmp_path / "bad.jsonl", [{"text": "a"}, "{"])
    write(tmp_path / "t.jsonl", [{"txt": "a"}])
    write(tmp_path / "own.jsonl", [LABELLED])
    write(tmp_path / "own.json", [LABELLED])
    status, out, err = run_accuracy(*argv)
    assert (status, out) == (2, "")
    assert err.startswith("pyroberta: error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: --texts"),
        (["--texts", "t", "--max-error", "much"], "argument --max-error: invalid float value"),
    ],
)
def test_a_wrong_command_line_exits_with_2(run_accuracy, capsys, argv, message):
    with pytest.raises(SystemExit) as exit:
        run_accuracy(*argv)
    assert exit.value.code == 2
    err = capsys.readouterr().err
    assert "usage: pyroberta accuracy" in err
    assert message in err


def test_a_path_is_one():
    with pytest.raises(InputError, match="path must be a folder's path, not 3"):
        compare(3, ["a"])


def test_a_wrong_label_is_told_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(Measurement, "add", None)
    lines = [{"text": "A <mask>.", "label": word} for word in ("dog", "cat", 7)]
    with pytest.raises(InputError, match=r"label of texts\[2\] must be a word"):
        compare(None, lines)
