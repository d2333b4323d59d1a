"""text-classification: shapes of answers, windows, what was cut, streams, and refusals."""

from __future__ import annotations

import json
import pickle
import threading
import warnings

import numpy as np
import pytest
from text.models import save

from pyroberta import (
    ConfigError,
    InputError,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    pipeline,
)
from pyroberta.logits import softmax

pytest.importorskip("tokenizers")

LONG = "The king lived in a large house. " * 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    labels = {0: "bad", 1: "good", 2: "mixed"}
    path = tmp_path_factory.mktemp("model")
    return save(RobertaForSequenceClassification, path, num_labels=3, id_to_label=labels)


@pytest.fixture(scope="module")
def classify(folder):
    return pipeline("text-classification", folder)


def test_scores_are_the_models(classify):
    text = "The king lived."
    logits = classify.model.encode_rows(classify.tokenizer.encode([text])).logits[0]
    scores = softmax(logits)
    assert classify(text, top_k=None) == [
        {"label": classify.model.config.labels[i], "score": scores[i]}
        for i in np.argsort(-scores).tolist()
    ]
    assert classify(text) == [classify(text, top_k=1)[0]]
    assert json.loads(json.dumps(classify(text))) == classify(text)
    assert pickle.loads(pickle.dumps(classify(text))) == classify(text)


@pytest.mark.parametrize(
    "inputs",
    [
        ["a", "b c"],
        ("a", "b c"),
        np.array(["a", "b c"]),
        np.array(["a", "b c"], object),
        (text for text in ("a", "b c")),
        {"a": 0, "b c": 1}.keys(),
    ],
    ids=["list", "tuple", "str", "object", "generator", "keys"],
)
def test_what_holds_several_texts(inputs, classify):
    assert classify(inputs) == [classify("a")[0], classify("b c")[0]]


def test_pairs(classify):
    pair = {"text": "The king", "text_pair": "a house"}
    one = classify(pair)
    assert [one, one, one] == classify([pair, ("The king", "a house"), ["The king", "a house"]])
    assert classify({"text": "The king"}) == classify("The king")[0]
    assert one != classify("The king")[0]


def test_what_is_cut_is_told_once(classify):
    with pytest.warns(UserWarning, match="2 texts were cut") as caught:
        answers = classify([LONG, "short", LONG])
    assert len(caught) == 1
    tokens = len(classify.tokenizer.encode_with_offsets(LONG))
    assert [one.truncation for one in answers] == [tokens - 96, 0, tokens - 96]
    with pytest.raises(
        InputError, match=r"texts\[1\] must have at most 96 tokens .* not \d+; trunc"
    ):
        classify(["short", LONG], truncation=False)


@pytest.mark.parametrize("stride", [0, 10, 50])
def test_windows(stride, classify):
    encoding = classify.tokenizer.encode_with_offsets(LONG)
    rows = [encoding.take(places).ids for places in encoding.windows(96, stride)]
    scores = softmax(np.stack([classify.model.encode_rows([row]).logits[0] for row in rows]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is cut
        for name, of in (("mean", scores.mean(0)), ("max", scores.max(0)), ("first", scores[0])):
            got = classify(LONG, stride=stride, window_aggregation=name, top_k=None)
            by_label = {one["label"]: one["score"] for one in got}
            assert [by_label[label] for label in classify.model.config.labels] == of.tolist()


def test_answers_do_not_depend_on_the_company(folder, classify):
    texts = [f"{'word ' * (i % 17)}{i}" for i in range(300)]
    alone = [classify(text)[0] for text in texts]
    for options in ({"batch_tokens": 64}, {"batch_tokens": 300}, {"batch_size": 7}):
        other = pipeline("text-classification", folder, **options)
        assert other(texts) == alone
        assert list(other.stream(iter(texts))) == alone
        assert list(other.stream(iter(texts), batch_size=1)) == alone


def test_a_stream_of_one_reads_nothing_ahead(classify):
    seen = []

    def texts():
        for i in range(5):
            seen.append((i, threading.current_thread()))
            yield f"text {i}"

    stream = classify.stream(texts(), batch_size=1)
    for i in range(3):
        next(stream)
        assert len(seen) == i + 1
    stream.close()
    assert len(list(classify.stream(texts()))) == 5
    assert {thread for _, thread in seen} == {threading.current_thread()}


def test_the_inputs_are_read_as_the_caller_has_set_numpy(classify):
    seen = []

    def texts():
        for i in range(3):
            seen.append(np.geterr()["divide"])
            yield f"text {i}"

    with np.errstate(divide="raise"):
        assert len(list(classify.stream(texts()))) == 3
        assert len(classify(texts())) == 3
    assert set(seen) == {"raise"}


def test_a_stream_without_end(classify):
    def texts():
        while True:
            yield "again"

    stream = classify.stream(texts())
    assert [next(stream) for _ in range(2000)] == classify(["again"]) * 2000
    stream.close()


REFUSED = [
    (3, {}, InputError, "texts must be one input or a list of them, not 3"),
    ([3], {}, InputError, r"texts\[0\] must be a str, a pair of them or .*, not 3"),
    (["a", None], {}, InputError, r"texts\[1\] must be a str, a pair"),
    (["a", ("b",)], {}, InputError, r"texts\[1\] must be a str, a pair"),
    ([("a", "b", "c")], {}, InputError, r"texts\[0\] must be a str, a pair"),
    (["a", ("b", 1)], {}, InputError, r"texts\[1\] must be a str, a pair"),
    ([{"txt": "a"}], {}, InputError, r"texts\[0\] must have the keys text and text_pair"),
    (np.zeros((2, 2)), {}, InputError, r"texts must be an array \[n\], not of shape \(2, 2\)"),
    ("a", {"top_k": 0}, InputError, "top_k must be"),
    ("a", {"function_to_apply": "relu"}, InputError, "function_to_apply must be None or one of"),
    ("a", {"function_to_apply": ["softmax"]}, InputError, "function_to_apply must be None or"),
    ("a", {"window_aggregation": "sum"}, InputError, "window_aggregation must be one of"),
    ("a", {"truncation": 3}, InputError, "truncation must be True, False or None, not 3"),
    ("a", {"stride": -1}, InputError, "stride must be"),
    ("a", {"max_length": 1}, InputError, "max_length must leave room"),
    (LONG, {"stride": 94}, InputError, "stride must be below the 94 tokens"),
    ("a", {"topk": 1}, TypeError, "topk must be an option of this task: truncation"),
    ("lone \ud800", {}, InputError, r"texts\[0\] must be text that UTF-8 can hold"),
]


@pytest.mark.parametrize(("inputs", "options", "error", "message"), REFUSED)
def test_refusals(inputs, options, error, message, classify):
    with pytest.raises(error, match=message):
        classify(inputs, **options)


@pytest.mark.parametrize("batch_size", [0, -1, "2"])
def test_a_stream_of_no_size(batch_size, classify):
    with pytest.raises(InputError, match="batch_size must be a whole number of at least 1"):
        list(classify.stream(["a"], batch_size=batch_size))


def test_devices(folder):
    for device in ("cpu", -1, None):
        pipeline("text-classification", folder, device=device, framework="pt", num_workers=2)
    for device in ("cuda", 0, "mps"):
        with pytest.raises(ConfigError, match="device must be 'cpu', not"):
            pipeline("text-classification", folder, device=device)


def test_another_head_is_named(tmp_path):
    save(RobertaForTokenClassification, tmp_path)
    with pytest.raises(ConfigError, match="RobertaForTokenClassification"):
        pipeline("text-classification", tmp_path)


def test_repr_tells_what_it_is(folder):
    shown = repr(pipeline("sentiment-analysis", folder, top_k=2))
    assert shown.startswith("TextClassification(RobertaForSequenceClassification, Tokenizer(BPE")
    assert shown.endswith(", top_k=2)")
