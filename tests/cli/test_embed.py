"""``pyroberta embed`` over rows: columns, parts, arrays that grow and go on."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from pyroberta import pipeline
from pyroberta.cli.command import main

pytest.importorskip("tokenizers")

TEXTS = [f"The king lived {i} " + "in a house " * (i % 9) for i in range(60)]


@pytest.fixture(scope="module")
def vectors():
    return pipeline("sentence-embedding")(TEXTS)


@pytest.fixture
def file(tmp_path):
    lines = [f'{i},"{text}"\n' for i, text in enumerate(TEXTS)]
    (tmp_path / "texts.csv").write_text("id,text\n" + "".join(lines))
    return str(tmp_path / "texts.csv")


def test_a_table_is_read_by_its_columns(file, tmp_path, vectors):
    array, lines = tmp_path / "v.npy", tmp_path / "v.jsonl"
    assert main(["embed", file, "--output", str(array)]) == 0
    np.testing.assert_array_equal(np.load(array), vectors)
    assert main(["embed", file, "--output", str(lines)]) == 0
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["id"] for row in rows] == [str(i) for i in range(60)]
    np.testing.assert_array_equal(np.array([r["embedding"] for r in rows], np.float32), vectors)


def test_an_array_goes_on_wherever_it_was_cut(file, tmp_path, vectors):
    out = tmp_path / "v.npy"
    assert main(["embed", file, "--output", str(out)]) == 0
    content = out.read_bytes()
    np.testing.assert_array_equal(np.load(out, mmap_mode="r"), vectors)
    places = [0, 5, 127, 128, 129, len(content) - 1, len(content)]
    for end in [*places, *random.Random(1).sample(range(len(content)), 10)]:
        out.write_bytes(content[:end])
        assert main(["embed", file, "--output", str(out), "--resume"]) == 0
        assert out.read_bytes() == content


def test_parts_joined_are_the_whole(file, tmp_path, vectors):
    parts = []
    for i in range(1, 5):
        name = tmp_path / f"{i}.npy"
        assert main(["embed", file, "--output", str(name), "--shard", f"{i}/4"]) == 0
        parts.append(np.load(name))
    np.testing.assert_array_equal(np.concatenate(parts), vectors)


@pytest.mark.parametrize("line", ["{", '{"txt": "a"}', '{"text": 5}'])
def test_what_was_before_a_bad_row_is_there(line, tmp_path, capsys, vectors):
    file, out = tmp_path / "t.jsonl", tmp_path / "v.npy"
    good = [json.dumps({"text": text}) for text in TEXTS]
    file.write_text("\n".join([*good[:20], line, *good[20:]]) + "\n")
    assert main(["embed", str(file), "--output", str(out)]) == 2
    assert "line 21, must" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(out), vectors[:20])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4), np.float64), "must be an array that this command began, not float64"),
        (np.zeros(3, np.float32), "must be an array that this command began, not float32"),
        (np.zeros((3, 5), np.float32), "must be of vectors as wide as these"),
    ],
)
def test_another_array_is_not_gone_on_with(array, message, file, tmp_path, capsys):
    out = tmp_path / "v.npy"
    np.save(out, array)
    assert main(["embed", file, "--output", str(out), "--resume"]) == 2
    assert message in capsys.readouterr().err
