"""zero-shot-classification: each text encoded once, sums, windows, and refusals."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text.models import save

from pyroberta import InputError, RobertaForSequenceClassification, pipeline

pytest.importorskip("tokenizers")

LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}
LONG = "The king lived in a large house. " * 60


@pytest.fixture(scope="module")
def guess(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    save(RobertaForSequenceClassification, path, num_labels=3, id_to_label=LABELS)
    return pipeline("zero-shot-classification", path)


@given(st.text(max_size=30), st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_a_pair_put_together_is_the_pair_encoded(guess, first, second, third):
    tokenizer = guess.tokenizer
    pair = tokenizer.encode_with_offsets((first, second))
    other = tokenizer.encode_with_offsets(("", third))
    if pair.places_of(1) and other.places_of(1):
        assert pair.with_second(other) == tokenizer.encode_with_offsets((first, third))


@given(
    text=st.text(max_size=8),
    labels=st.lists(st.text(min_size=1, max_size=6).filter(str.strip), min_size=2, max_size=6),
)
def test_scores_sum_to_one_where_one_label_is_right(guess, text, labels):
    found = guess(text, candidate_labels=labels)
    assert sum(found["scores"]) == pytest.approx(1, abs=1e-12)
    assert sorted(found["labels"]) == sorted(labels)
    assert found["scores"] == sorted(found["scores"], reverse=True)
    assert found["sequence"] == text
    several = guess(text, labels, multi_label=True)
    assert all(0 <= score <= 1 for score in several["scores"])
    for label in labels[:2]:  # each is judged by itself
        alone = guess(text, [label])["scores"][0]
        assert several["scores"][several["labels"].index(label)] == alone


def test_an_order_of_labels_changes_no_score(guess):
    labels = ["weather", "sport", "a city", "the sea"]
    want = guess("It rains.", labels)
    assert guess("It rains.", labels[::-1]) == want
    assert guess("It rains.", ", ".join(labels)) == want
    assert guess(["It rains.", "It rains."], labels) == [want, want]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("aggregation", ["mean", "max", "first"])
def test_windows(aggregation, multi_label, guess):
    labels = ["weather", "a very long label of many words in a row", "sea"]
    options = {"multi_label": multi_label, "window_aggregation": aggregation}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = guess(LONG, labels, stride=10, **options)
    assert found.truncation == 0
    if not multi_label and aggregation == "mean":
        assert sum(found["scores"]) == pytest.approx(1, abs=1e-12)


def test_only_the_text_is_cut(guess):
    with pytest.warns(UserWarning, match="1 text was cut"):
        found = guess(LONG, ["weather", "sport"])
    assert found.truncation > 0
    with pytest.raises(InputError, match="must leave room for the tokens that are not cut"):
        guess("It rains", ["label " * 100])


REFUSED = [
    ({}, "candidate_labels must be given"),
    ({"candidate_labels": []}, "candidate_labels must hold at least one label, not none"),
    ({"candidate_labels": " , "}, "candidate_labels must hold at least one label"),
    ({"candidate_labels": ["a", 3]}, r"candidate_labels\[1\] must be a label, not 3"),
    ({"candidate_labels": ["a", " "]}, r"candidate_labels\[1\] must be a label, not ' '"),
    ({"candidate_labels": 3}, "candidate_labels must be a list of str, not 3"),
    ({"candidate_labels": "a", "hypothesis_template": "It is."}, "hypothesis_template must be"),
    ({"candidate_labels": "a", "hypothesis_template": "{} {}"}, "hypothesis_template must be"),
    ({"candidate_labels": "a", "hypothesis_template": "{"}, "hypothesis_template must be"),
    ({"candidate_labels": "a", "hypothesis_template": 3}, "hypothesis_template must be"),
    ({"candidate_labels": "a", "window_aggregation": "sum"}, "window_aggregation must be one of"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refusals(options, message, guess):
    with pytest.raises(InputError, match=message):
        guess("It rains.", **options)


@pytest.mark.parametrize(
    ("labels", "ids"),
    [
        ({0: "ENTAILMENT", 1: "neutral", 2: "contradiction"}, (0, 2)),
        ({0: "contradiction", 1: "Entail", 2: "neutral"}, (1, 0)),
        ({0: "no", 1: "yes"}, (1, 0)),
    ],
)
def test_the_label_of_entailment(labels, ids, tmp_path):
    save(RobertaForSequenceClassification, tmp_path, num_labels=len(labels), id_to_label=labels)
    task = pipeline("zero-shot-classification", tmp_path)
    assert (task.entailment_id, task.contradiction_id) == ids


def test_a_model_of_one_label_is_refused(tmp_path):
    save(RobertaForSequenceClassification, tmp_path, num_labels=1)
    with pytest.raises(InputError, match="one for contradiction, not 1"):
        pipeline("zero-shot-classification", tmp_path)
