"""``pyroberta similarity`` and ``pyroberta search``: exact, over arrays and lines; refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyroberta import SentenceEncoder
from pyroberta.cli.command import main
from pyroberta.text import nearest as nearest_module
from pyroberta.text.nearest import nearest
from pyroberta.text.similarity import SIMILARITIES, similarity

pytest.importorskip("tokenizers")

TEXTS = ["The king lived in a house", "A dog runs", "It rained all night", "a dog ran"]


@pytest.fixture
def run(capsys):
    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def index(tmp_path, run):
    (tmp_path / "texts.txt").write_text("".join(text + "\n" for text in TEXTS))
    for ending in ("npy", "jsonl"):
        assert run("embed", tmp_path / "texts.txt", "--output", tmp_path / f"i.{ending}")[0] == 0
    return tmp_path


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


@given(
    n=st.integers(0, 40),
    top_k=st.integers(1, 12),
    name=st.sampled_from(sorted(SIMILARITIES)),
    seed=st.integers(0, 99),
)
def test_search_is_exact(n, top_k, name, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (n, 3)).astype(np.float32)  # with ties
    queries = rng.integers(-2, 3, (3, 3)).astype(np.float32)
    rows, nearest_module._ROWS = nearest_module._ROWS, 7
    try:
        places, scores = nearest(vectors, queries, top_k, name)
    finally:
        nearest_module._ROWS = rows
    all_scores = similarity(queries, vectors, name)
    want = np.argsort(-all_scores, axis=1, kind="stable")[:, :top_k]
    np.testing.assert_array_equal(places, want)
    np.testing.assert_array_equal(scores, np.take_along_axis(all_scores, want, axis=1))


@pytest.mark.parametrize("ending", ["npy", "jsonl"])
def test_search(ending, index, run):
    encoder = SentenceEncoder()
    want = encoder.similarity(encoder.encode("a dog"), encoder.encode(TEXTS))[0]
    order = np.argsort(-want)
    more = ["--texts", index / "texts.txt"] if ending == "npy" else []
    status, out, _ = run(
        "search", index / f"i.{ending}", "a dog", "--top-k", 3, "--output", "-", *more
    )
    assert status == 0
    got = rows_of(out)
    assert [one["row"] for one in got] == order[:3].tolist()
    assert [one["text"] for one in got] == [TEXTS[i] for i in order[:3]]
    np.testing.assert_allclose([one["score"] for one in got], want[order[:3]], atol=1e-6)
    status, out, _ = run("search", index / f"i.{ending}", "a dog", "rain", *more)
    assert out.splitlines()[0] == "a dog"
    assert len(out.splitlines()) == 10


def test_similarity(run):
    status, out, _ = run("similarity", "a dog", "a cat", "a dog", "--output", "-")
    assert status == 0
    got = rows_of(out)
    assert [one["other"] for one in got] == ["a cat", "a dog"]
    assert got[1]["score"] == pytest.approx(1, abs=1e-6)
    assert run("similarity", "a dog", "a cat")[1].split()[1:] == ["a", "cat"]


REFUSED = [
    (["no.npy", "a"], "no.npy"),
    (["no.jsonl", "a"], "FILE must be a file or -, not 'no.jsonl'"),
    (["wide.npy", "a"], "INDEX must have vectors as wide as the model's (128), not 4"),
    (["doubles.npy", "a"], "INDEX must be a float32 array [n, dimension], not float64 [3, 128]"),
    (["text.npy", "a"], "INDEX must be an array that embed wrote"),
    (["i.npy", "a", "--texts", "few.txt"], "--texts must have the 4 rows of INDEX, not 1"),
    (["i.npy", "a", "--top-k", "0"], "--top-k must be"),
    (["bad.jsonl", "a"], "bad.jsonl, line 2, must have the keys embedding"),
    (["ragged.jsonl", "a"], "ragged.jsonl must hold vectors of one width"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refusals(arguments, message, index, run, monkeypatch):
    monkeypatch.chdir(index)
    np.save("wide.npy", np.zeros((3, 4), np.float32))
    np.save("doubles.npy", np.zeros((3, 128)))
    (index / "text.npy").write_text("text")
    (index / "few.txt").write_text("one\n")
    (index / "bad.jsonl").write_text('{"embedding": [1]}\n{"text": "a"}\n')
    (index / "ragged.jsonl").write_text('{"embedding": [1]}\n{"embedding": [1, 2]}\n')
    status, _, err = run("search", *arguments)
    assert status == 2
    assert message in err
