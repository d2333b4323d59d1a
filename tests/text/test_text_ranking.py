"""text-ranking: order and company change nothing, activations, and refusals."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from text.models import save

from pyroberta import ConfigError, InputError, RobertaForSequenceClassification, pipeline

pytest.importorskip("tokenizers")

DOCUMENTS = [f"{'word ' * (i % 13)}number {i}" for i in range(80)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(RobertaForSequenceClassification, tmp_path_factory.mktemp("model"), num_labels=1)


@pytest.fixture(scope="module")
def ranking(folder):
    return pipeline("text-ranking", folder)


def test_ranks_depend_on_no_batch_and_no_order(folder, ranking):
    want = ranking.rank("Who?", DOCUMENTS, return_documents=True)
    assert sorted(one["corpus_id"] for one in want) == list(range(80))
    scores = [one["score"] for one in want]
    assert scores == sorted(scores, reverse=True)
    order = list(range(80))
    random.Random(0).shuffle(order)
    mixed = ranking.rank("Who?", [DOCUMENTS[i] for i in order], return_documents=True)
    assert [(one["text"], one["score"]) for one in mixed] == [
        (one["text"], one["score"]) for one in want
    ]
    small = pipeline("text-ranking", folder, batch_tokens=60)
    assert small("Who?", np.array(DOCUMENTS), return_documents=True) == want
    assert ranking.rank("Who?", DOCUMENTS, top_k=3) == [
        {"corpus_id": one["corpus_id"], "score": one["score"]} for one in want[:3]
    ]
    pairs = [("Who?", document) for document in DOCUMENTS]
    predicted = ranking.predict(pairs)
    assert predicted.dtype == np.float32
    assert [predicted[one["corpus_id"]] for one in want] == scores
    assert ranking(pairs[4]) == predicted[4]
    assert ranking.predict(np.array(pairs)).tolist() == predicted.tolist()
    assert ranking.predict(pairs, convert_to_numpy=False) == predicted.tolist()


def said(folder, place, name):
    config = json.loads((folder / "config.json").read_text())
    full = f"torch.nn.modules.{'linear' if name == 'Identity' else 'activation'}.{name}"
    if place == "config_sentence_transformers.json":
        (folder / place).write_text(json.dumps({"activation_fn": full}))
        return
    if place == "sentence_transformers":
        config[place] = {"activation_fn": full}
    else:
        config[place] = full
    (folder / "config.json").write_text(json.dumps(config))


PLACES = [
    "config_sentence_transformers.json",
    "sentence_transformers",
    "sbert_ce_default_activation_function",
]


@pytest.mark.parametrize("place", PLACES)
def test_activations_that_a_folder_names(place, tmp_path):
    save(RobertaForSequenceClassification, tmp_path, num_labels=1)
    pair = ("a", "b")
    sigmoid = float(pipeline("text-ranking", tmp_path).predict(pair))
    said(tmp_path, place, "Identity")
    logit = float(pipeline("text-ranking", tmp_path).predict(pair))
    assert sigmoid == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
    said(tmp_path, place, "Tanh")
    task = pipeline("text-ranking", tmp_path)
    assert float(task.predict(pair)) == pytest.approx(math.tanh(logit), abs=1e-6)
    twice = task.predict([pair], activation_fn=lambda x: 2 * x)
    assert twice.tolist() == pytest.approx([2 * logit], abs=1e-6)
    said(tmp_path, place, "PReLU")
    with pytest.raises(ConfigError, match=r"activation_f.* must be a class of torch.nn among"):
        pipeline("text-ranking", tmp_path)


def test_several_labels(tmp_path):
    save(RobertaForSequenceClassification, tmp_path, num_labels=3)
    task = pipeline("text-ranking", tmp_path)
    pairs = [("a", "b"), ("c", "d"), ("e", "f")]
    logits = task.predict(pairs)
    assert logits.shape == (3, 3)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(task.predict(pairs, apply_softmax=True), softmax, atol=1e-6)
    with pytest.raises(InputError, match="model must have one label to rank by, not 3"):
        task.rank("a", ["b"])


def test_nothing_to_rank(ranking):
    assert ranking.rank("Who?", []) == []
    assert ranking.predict([]).shape == (0,)


@pytest.mark.parametrize("aggregation", ["max", "mean", "first"])
@pytest.mark.parametrize("length", [20, 41])
def test_a_long_document_is_read_by_windows_beside_the_whole_query(ranking, aggregation, length):
    query, document = "Who lived?", " ".join(f"word{i} of the king" for i in range(20))
    options = {"stride": 4, "max_length": length, "window_aggregation": aggregation}
    got = ranking.predict([(query, document), ("Who?", "The king.")], **options)
    whole = ranking.tokenizer.encode_with_offsets((query, document))
    rows = [whole.take(part).ids for part in whole.windows(length, 4, sequence=1)]
    assert len(rows) > 2
    logits = ranking.model.encode_rows(rows).logits[:, 0]
    logit = {"max": logits.max(), "mean": logits.mean(), "first": logits[0]}[aggregation]
    assert got[0] == pytest.approx(1 / (1 + np.exp(-float(logit))), rel=1e-6)
    assert got[1] == ranking.predict([("Who?", "The king.")])[0]
    (ranked,) = ranking.rank(query, [document], **options)
    assert (ranked["score"], ranked.truncation) == (float(got[0]), 0)


REFUSED = [
    (lambda task: task.rank(3, ["a"]), "query must be a str, not 3"),
    (lambda task: task.rank("a", ["b", None]), r"documents\[1\] must be a str, not None"),
    (lambda task: task.rank("a", "b"), "documents must be one input or a list of them"),
    (lambda task: task.rank("a", ["b"], top_k=0), "top_k must be"),
    (lambda task: task.predict(["a", "b", "c"]), r"pairs\[0\] must be a str, a pair"),
    (lambda task: task.predict([("a", "b"), ("c",)]), r"pairs\[1\] must be"),
    (lambda task: task.predict([{"text": "a"}]), r"pairs\[0\] must be two texts, not 'a'"),
    (lambda task: task.predict([("a", "b")], activation_fn=3), "activation_fn must be a function"),
    (
        lambda task: task.predict([("a", "b")], window_aggregation="min"),
        "window_aggregation must be one of mean, max, first",
    ),
    (lambda task: task.predict([("a " * 99, "b " * 99)], stride=3), "must leave room for a token"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refusals(call, message, ranking):
    with pytest.raises(InputError, match=message):
        call(ranking)
