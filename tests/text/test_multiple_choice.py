"""multiple-choice: scores are the model's, for any number of choices; refusals."""

from __future__ import annotations

import numpy as np
import pytest
from text.models import save

from pyroberta import InputError, RobertaForMultipleChoice, pipeline
from pyroberta.logits import softmax

pytest.importorskip("tokenizers")

CHOICES = ["the door.", "the sea", "", "a very long answer of many words"]


@pytest.fixture(scope="module")
def choose(tmp_path_factory):
    return pipeline("multiple-choice", save(RobertaForMultipleChoice, tmp_path_factory.mktemp("m")))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_scores_are_the_models(count, choose):
    choices = CHOICES[:count]
    rows = choose.tokenizer.encode([("She opened", one) for one in choices])
    want = softmax(choose.model.encode_rows([rows]).logits[0]).tolist()
    got = choose("She opened", choices)
    assert got == want
    assert all(type(score) is float for score in got)
    assert choose({"context": "She opened", "choices": choices}) == want
    assert choose("She opened", np.array(choices)) == want


def test_contexts_of_different_numbers_of_choices(choose):
    questions = [(f"Text {i}", CHOICES[: 1 + i % 4]) for i in range(20)]
    alone = [choose(*question) for question in questions]
    assert choose(questions) == alone
    assert list(choose.stream(iter(questions))) == alone
    assert [len(scores) for scores in alone] == [1 + i % 4 for i in range(20)]


def test_what_is_cut_is_told(choose):
    with pytest.warns(UserWarning, match="1 text was cut"):
        assert choose("word " * 200, CHOICES).truncation > 0


@pytest.mark.parametrize("aggregation", ["max", "mean", "first"])
@pytest.mark.parametrize("length", [20, 33])
def test_a_long_context_is_read_by_windows_that_are_the_same_for_each_choice(
    choose, aggregation, length
):
    context = " ".join(f"word{i} of the king" for i in range(20))
    choices = ["door.", "a house by the sea", "it"]
    got = choose(context, choices, stride=5, max_length=length, window_aggregation=aggregation)
    assert got.truncation == 0
    # Each window as a context of its own: its tokens, beside the choices with nothing cut.
    tokenizer, model = choose.tokenizer, choose.model
    whole = [tokenizer.encode_with_offsets((context, one)) for one in choices]
    longest = max(len(one.places_of(1)) for one in whole)
    logits = []
    for one in whole:
        own = len(one.places_of(1))
        parts = one.windows(length - (longest - own), 5, sequence=0)
        logits.append([model.encode_rows([[one.take(p).ids]]).logits[0, 0] for p in parts])
    assert len({len(of_choice) for of_choice in logits}) == 1
    assert len(logits[0]) > 2
    table = np.array(logits).T
    best = {"max": table.max(axis=0), "mean": table.mean(axis=0), "first": table[0]}[aggregation]
    want = np.exp(best.astype(np.float64))
    np.testing.assert_allclose(got, want / want.sum(), rtol=1e-6)
    assert sum(got) == pytest.approx(1)


def test_what_fits_has_no_windows(choose):
    assert choose("Text", CHOICES, stride=3) == choose("Text", CHOICES)


REFUSED = [
    (("a", []), {}, r"choices of questions\[0\] must be a list of texts"),
    (("a", "b"), {}, r"choices of questions\[0\] must be a list of texts, not 'b'"),
    (("a", ["b", 3]), {}, r"choices\[1\] of questions\[0\] must be a str, not 3"),
    ((3, ["b"]), {}, r"context of questions\[0\] must be a str, not 3"),
    (("a",), {}, r"questions\[0\] must be a context and its choices"),
    (([("a", ["b"]), "c"],), {}, r"questions\[1\] must be a context and its choices"),
    (({"context": "a"},), {}, r"questions\[0\] must have the keys context and choices"),
    (("a", ["b"]), {"window_aggregation": "min"}, "window_aggregation must be one of mean, max"),
    (("a " * 99, ["b " * 99]), {"stride": 3}, "must leave room for a token"),
]


@pytest.mark.parametrize(("arguments", "options", "message"), REFUSED)
def test_refusals(arguments, options, message, choose):
    with pytest.raises(InputError, match=message):
        choose(*arguments, **options)
