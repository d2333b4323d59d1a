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


REFUSED = [
    (("a", []), {}, r"choices of questions\[0\] must be a list of texts"),
    (("a", "b"), {}, r"choices of questions\[0\] must be a list of texts, not 'b'"),
    (("a", ["b", 3]), {}, r"choices\[1\] of questions\[0\] must be a str, not 3"),
    ((3, ["b"]), {}, r"context of questions\[0\] must be a str, not 3"),
    (("a",), {}, r"questions\[0\] must be a context and its choices"),
    (([("a", ["b"]), "c"],), {}, r"questions\[1\] must be a context and its choices"),
    (({"context": "a"},), {}, r"questions\[0\] must have the keys context and choices"),
    (("a", ["b"]), {"stride": 3}, "stride must be left out for multiple-choice"),
]


@pytest.mark.parametrize(("arguments", "options", "message"), REFUSED)
def test_refusals(arguments, options, message, choose):
    with pytest.raises(InputError, match=message):
        choose(*arguments, **options)
