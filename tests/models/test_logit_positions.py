"""``logit_positions``: the masked-LM head at some places only."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from support import CLASSES, make_folder

from pyroberta import InputError

IDS = np.array([[0, 5, 6, 7, 2], [0, 8, 9, 2, 1]])
MASK = IDS != 1


@pytest.fixture
def model(isa: str, tmp_path: Any) -> Any:
    name = "for_masked_language_modeling"
    return CLASSES[name].from_pretrained(make_folder(tmp_path, name))


@pytest.mark.parametrize(
    "places", [[[0, 0]], [[1, 3], [0, 4], [0, 0]], [[0, 2], [0, 2]], [[1, 0], [0, 0], [1, 2]]]
)
def test_logits_of_some_places_are_the_bits_of_all(model, places):
    full = model(IDS, MASK).logits
    some = model(IDS, MASK, logit_positions=places).logits
    rows, tokens = np.array(places).T
    assert some.tobytes() == full[rows, tokens].tobytes()


def test_logits_of_no_place_are_empty(model):
    places = np.zeros((0, 2), np.int64)
    assert model(IDS, MASK, logit_positions=places).logits.shape == (0, 37)
    empty = model(IDS[:0], MASK[:0], logit_positions=places, output_hidden_states=True)
    assert empty.logits.shape == (0, 37)
    assert empty.hidden_states[0].shape == (0, 5, 18)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([[2, 0]], "logit_positions must have a row in [0, 2), not 2"),
        ([[0, 0], [-1, 0]], "logit_positions must have a row in [0, 2), not -1"),
        ([[0, 5]], "logit_positions must have a token in [0, 5), not 5"),
        ([[0, -1]], "logit_positions must have a token in [0, 5), not -1"),
        ([[0, 0], [1, 4]], "logit_positions must be attended places, not (1, 4), which is masked"),
        ([0, 1], "logit_positions must be [n, 2] (row, token), not of shape [2]"),
        ([[0, 1, 2]], "logit_positions must be [n, 2] (row, token), not of shape [1, 3]"),
        ([[0.0, 1.0]], "logit_positions must be integers, not float64"),
    ],
)
def test_what_is_no_attended_place_is_refused(model, places, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        model(IDS, MASK, logit_positions=places)


def test_every_place_is_masked_where_nothing_is_attended(model):
    with pytest.raises(InputError, match=r"not \(0, 0\), which is masked"):
        model(IDS, np.zeros_like(MASK), logit_positions=[[0, 0]])
