"""The commands over texts: every form of rows, what is kept, resuming, parts, and errors."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from support import needs_core
from text.models import TAGS, save

import pyroberta
from pyroberta.cli.command import main

pytest.importorskip("tokenizers")

TEXTS = ["The king lived.", 'It rained, and "rained"', "naïve 東京 🙂", "", "last"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    classes = {
        "classify": (pyroberta.RobertaForSequenceClassification, {"num_labels": 3}),
        "ner": (
            pyroberta.RobertaForTokenClassification,
            {"num_labels": 5, "id_to_label": dict(enumerate(TAGS))},
        ),
        "answer": (pyroberta.RobertaForQuestionAnswering, {}),
        "zero-shot": (
            pyroberta.RobertaForSequenceClassification,
            {"num_labels": 2, "id_to_label": {0: "contradiction", 1: "entailment"}},
        ),
        "rank": (pyroberta.RobertaForSequenceClassification, {"num_labels": 1}),
        "choose": (pyroberta.RobertaForMultipleChoice, {}),
    }
    return {
        name: str(save(model_class, path / name, **config))
        for name, (model_class, config) in classes.items()
    }


@pytest.fixture
def classify(folders, capsys):
    """Runs ``pyroberta classify``; gives its exit status, stdout and stderr."""

    def call(*arguments, command="classify"):
        status = main([command, "--model", folders[command], *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


def write_rows(path, kind, texts=TEXTS):
    """A file with an id beside each text, and another column."""
    rows = [{"id": str(i), "text": text, "other": f"o{i}"} for i, text in enumerate(texts)]
    file = path / f"texts.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif kind == "parquet":
        arrow = pytest.importorskip("pyarrow")
        importlib.import_module("pyarrow.parquet").write_table(
            arrow.Table.from_pylist(rows), file, row_group_size=2
        )
    elif kind == "txt":
        file.write_text("".join(text + "\n" for text in texts), "utf-8")
    else:
        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(
                out, ["id", "text", "other"], delimiter="\t" if kind == "tsv" else ","
            )
            writer.writeheader()
            writer.writerows(rows)
    return file


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "tsv", "parquet"])
def test_every_form_of_rows(kind, folders, classify, tmp_path):
    want = [
        dict(one) for one in pyroberta.pipeline("text-classification", folders["classify"])(TEXTS)
    ]
    file = write_rows(tmp_path, kind)
    status, out, err = classify(file)
    assert (status, err) == (0, "")
    got = rows_of(out)
    own = (
        {"text": TEXTS}
        if kind == "txt"
        else {"id": [str(i) for i in range(5)], "text": TEXTS, "other": [f"o{i}" for i in range(5)]}
    )
    assert got == [
        {**{name: values[i] for name, values in own.items()}, **one} for i, one in enumerate(want)
    ]
    for ending in ("jsonl", "csv", "tsv"):
        name = tmp_path / f"out.{ending}"
        assert classify(file, "--output", name)[0] == 0
        if ending == "jsonl":
            assert rows_of(name.read_text("utf-8")) == got
        else:
            with name.open(newline="", encoding="utf-8") as lines:
                mark = "\t" if ending == "tsv" else ","
                read = list(csv.DictReader(lines, delimiter=mark))
            assert read == [{key: str(value) for key, value in one.items()} for one in got]


def test_texts_as_arguments(classify):
    status, out, _ = classify("The king lived.", "last")
    assert status == 0
    assert [one["text"] for one in rows_of(out)] == ["The king lived.", "last"]
    status, out, _ = classify("one text alone")
    assert rows_of(out)[0]["text"] == "one text alone"


def test_other_columns(classify, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("id,review,title\n1,good,a\n2,bad,b\n")
    out = rows_of(classify(file, "--text-column", "review")[1])
    assert [one["review"] for one in out] == ["good", "bad"]
    pair = rows_of(classify(file, "--text-column", "review", "--pair-column", "title")[1])
    assert [one["score"] for one in pair] != [one["score"] for one in out]
    assert set(pair[0]) == {"id", "review", "title", "label", "score"}


COMMANDS = [
    ("ner", {"text": "Ann lives"}, ["Ann lives"], {"entities"}),
    (
        "answer",
        {"question": "Who?", "context": "Ann sang."},
        ["Who?", "Ann sang."],
        {"answer", "score", "start", "end"},
    ),
    (
        "zero-shot",
        {"text": "It rains."},
        ["It rains.", "--candidate-labels", "a, b"],
        {"labels", "scores"},
    ),
    ("rank", {"query": "Who?", "document": "Ann sang."}, ["Who?", "Ann sang."], {"score"}),
    ("choose", {"context": "She", "choices": ["a", "b"]}, ["She", "a", "b"], {"choice", "scores"}),
]


@pytest.mark.parametrize(("command", "row", "arguments", "names"), COMMANDS)
def test_every_command(command, row, arguments, names, classify, tmp_path):
    status, out, _ = classify(*arguments, command=command)
    assert status == 0
    by_hand = rows_of(out)[0]
    options = arguments[1:] if command == "zero-shot" else []
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    status, out, _ = classify(file, *options, command=command)
    assert status == 0
    assert rows_of(out) == [{**row, **{name: by_hand[name] for name in names}}]
    table = tmp_path / "rows.csv"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(row)
    writer.writerow([v if isinstance(v, str) else json.dumps(v) for v in row.values()])
    table.write_text(text.getvalue())
    got = rows_of(classify(table, *options, command=command)[1])[0]
    assert {name: got[name] for name in names} == {name: by_hand[name] for name in names}


BAD = [
    ('{"text": 3}\n', r"line 2, must be a str"),
    ("{text}\n", "line 2, must be JSON"),
    ("[1]\n", r"line 2, must be an object, not \[1\]"),
    ('{"txt": "a"}\n', "line 2, must have the keys text"),
    ('{"text": "\\ud800"}\n', "line 2, must be text that UTF-8 can hold"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_row(line, message, classify, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a"}\n' + line + '{"text": "c"}\n')
    out = tmp_path / "out.jsonl"
    status, _, err = classify(file, "--output", out)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert re.search(message, err)
    assert [one["text"] for one in rows_of(out.read_text())] == ["a"]  # what was before it
    status, _, err = classify(file, "--output", tmp_path / "b.jsonl", "--on-error", "skip")
    assert status == 1
    assert re.search(message, err)
    rows = rows_of((tmp_path / "b.jsonl").read_text("utf-8", "surrogatepass"))
    assert ["error" in one for one in rows] == [False, True, False]
    assert [one["text"] for one in rows if "label" in one] == ["a", "c"]


REFUSED = [
    (["no.csv"], "FILE must be a file or -"),
    (["a.csv", "--text-column", "no"], "must have a column 'no', not only"),
    (["a.csv", "--shard", "0/2"], "--shard must be a part of how many"),
    (["a.csv", "--shard", "3/2"], "--shard must be a part of how many"),
    (["a.csv", "--shard", "x"], "--shard must be a part of how many"),
    (["-", "--shard", "1/2"], "--shard must be of a file"),
    (["a.csv", "--resume"], "--resume must be given with an --output"),
    (["a.csv", "--output", "a.csv"], "--output must be another file"),
    (["a.csv", "--output", "a.txt"], "--output must"),
    (["bad.csv"], "bad.csv, line 3, must have 2 cells as its header, not 1"),
    (["empty.csv"], "must begin with a row of column names"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refusals(arguments, message, classify, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("text,b\na,b\n")
    (tmp_path / "bad.csv").write_text("text,b\na,b\na\n")
    (tmp_path / "empty.csv").write_text("")
    status, _, err = classify(*arguments)
    assert status == 2
    assert message in err


def test_a_model_is_needed(capsys):
    assert main(["classify", "a text"]) == 2
    assert "--model must be given" in capsys.readouterr().err


MANY = [
    f"row {i} " + "word " * (i % 23) + ('"quoted",\nline' if i % 7 == 0 else "") for i in range(400)
]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv"])
def test_parts_joined_are_the_whole(ending, classify, tmp_path):
    file = write_rows(tmp_path, "csv", MANY)
    whole, joined = tmp_path / f"whole.{ending}", b""
    assert classify(file, "--output", whole)[0] == 0
    for part in ("1/3", "2/3", "3/3"):
        out = tmp_path / f"part{part[0]}.{ending}"
        assert classify(file, "--output", out, "--shard", part)[0] == 0
        text = out.read_bytes()
        if ending != "jsonl" and part != "1/3":
            text = text[text.index(b"\n") + 1 :]  # its own header
        joined += text
    assert joined == whole.read_bytes()


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv"])
def test_a_run_goes_on_wherever_it_was_cut(ending, classify, tmp_path):
    file = write_rows(tmp_path, "jsonl", MANY[:60])
    whole = tmp_path / f"whole.{ending}"
    assert classify(file, "--output", whole)[0] == 0
    content = whole.read_bytes()
    out = tmp_path / f"out.{ending}"
    places = {
        0,
        1,
        len(content) - 1,
        len(content),
        *random.Random(0).sample(range(len(content)), 25),
    }
    for end in places:
        out.write_bytes(content[:end])
        assert classify(file, "--output", out, "--resume")[0] == 0
        assert out.read_bytes() == content


@needs_core
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_run_is_resumed(folders, tmp_path):
    file = write_rows(tmp_path, "csv", MANY * 5)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "pyroberta.cli", "classify", "--model", folders["classify"]]
    assert main([*command[3:], str(file), "--output", str(whole)]) == 0
    for delay in (0.45, 0.6, 0.75):
        process = subprocess.Popen([*command, str(file), "--output", str(out), "--resume"])
        time.sleep(delay)
        process.kill()
        process.wait()
    assert main([*command[3:], str(file), "--output", str(out), "--resume"]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert os.path.getsize(out) > 0
