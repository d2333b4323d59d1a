"""Draws: by the processed probabilities, each row from its own stream."""

from __future__ import annotations

import numpy as np
import pytest
from generation.tiny import VOCAB, last_logits, make_model, make_prompt

from pyroberta.generation import processors
from pyroberta.generation.rows import Rows
from pyroberta.generation.steps import Draw
from pyroberta.logits import softmax

DRAWS = 20_000
# The normal quantile of 1 - 0.001.
Z = 3.0902


def chi_square_limit(freedom):
    """What a chi-square number exceeds with a probability of 0.001 (Wilson and Hilferty 1931)."""
    return freedom * (1 - 2 / (9 * freedom) + Z * np.sqrt(2 / (9 * freedom))) ** 3


def assert_drawn_by(tokens, probabilities):
    """The counts of ``tokens`` fit; tokens that are rarer than 5 are taken as one."""
    expected = len(tokens) * probabilities
    counts = np.bincount(tokens, minlength=len(probabilities))
    assert (counts[probabilities == 0] == 0).all()
    common = expected >= 5
    counts = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    counts, expected = counts[expected > 0], expected[expected > 0]
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < chi_square_limit(max(len(counts) - 1, 1))


def test_the_limit_is_that_of_the_tables():
    for freedom, limit in ((1, 10.83), (5, 20.52), (30, 59.70)):
        assert abs(chi_square_limit(freedom) - limit) < 0.04 * limit


OPTIONS = [
    {},
    {"temperature": 0.7},
    {"temperature": 2.0, "top_k": 9},
    {"top_p": 0.8},
    {"temperature": 1.5, "top_k": 12, "top_p": 0.9, "suppressed_token_ids": [3, 20]},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_thousand_draws_fit_the_processed_probabilities(options, seed):
    model = make_model(initializer_range=0.2)
    logits = last_logits(model, [5, 9, 4])[None]
    if "suppressed_token_ids" in options:
        logits = processors.forbid(logits, options["suppressed_token_ids"])
    logits = logits / options.get("temperature", 1)
    if "top_k" in options:
        logits = processors.keep_top_k(logits, options["top_k"])
    if "top_p" in options:
        logits = processors.keep_top_p(logits, options["top_p"])
    wanted = softmax(logits)[0]
    assert wanted.max() < 0.9
    batch = 500  # rows of a call; the streams of the others are made without the model
    ids = np.tile([5, 9, 4], (batch, 1))
    result = model.generate(ids, max_new_tokens=1, strategy="sampling", seed=seed, **options)[:, -1]
    draw = Draw(seed, DRAWS)
    rows = Rows(np.zeros((DRAWS, 1), np.int64), *np.zeros((3, DRAWS), np.int64))
    tokens = draw(rows, np.broadcast_to(logits, (DRAWS, VOCAB)))
    np.testing.assert_array_equal(tokens[:batch], result)
    assert_drawn_by(tokens, wanted)


def test_later_draws_of_one_row_fit_too():
    """One stream's successive numbers are as good as the first ones of many."""
    p = np.array([[0.5, 0.25, 0.15, 0.1, 0.0]])
    draw = Draw([7], 1)
    row = Rows(np.zeros((1, 1), np.int64), *np.zeros((3, 1), np.int64))
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    tokens = np.array([draw(row, logits)[0] for _ in range(DRAWS)])
    assert_drawn_by(tokens, p[0])


def test_a_row_with_its_own_seed_gives_one_text_whatever_the_batch():
    model = make_model(0)
    options = {"strategy": "sampling", "max_new_tokens": 9, "temperature": 1.3}
    ids, mask = make_prompt([3, 6, 2, 4])
    wanted = model.generate(ids, mask, seed=[11, 12, 13, 14], **options)[:, 6:]
    order = [2, 0, 3, 1]
    result = model.generate(ids[order], mask[order], seed=[13, 11, 14, 12], **options)[:, 6:]
    width = min(wanted.shape[1], result.shape[1])
    np.testing.assert_array_equal(result[:, :width], wanted[order][:, :width])
    alone = model.generate(ids[3:], mask[3:], seed=np.array([14]), **options)[0, 6:]
    np.testing.assert_array_equal(alone, wanted[3, : len(alone)])


def test_one_seed_gives_each_row_a_stream_by_its_number():
    model = make_model(0)
    options = {"strategy": "sampling", "max_new_tokens": 9, "eos_token_id": ()}
    same = np.tile([5, 9, 4], (4, 1))
    result = model.generate(same, seed=3, **options)
    assert len({tuple(row) for row in result}) > 1
    np.testing.assert_array_equal(model.generate(same, seed=3, **options), result)
    np.testing.assert_array_equal(model.generate(same[:2], seed=3, **options), result[:2])
    assert (model.generate(same, seed=4, **options) != result).any()


def test_no_seed_gives_another_text_each_time():
    model = make_model(0)
    options = {"strategy": "sampling", "max_new_tokens": 20, "temperature": 3.0}
    assert len({model.generate([[5, 9, 4]], **options).tobytes() for _ in range(5)}) > 1


def test_top_k_of_one_is_greedy_search():
    model = make_model(0)
    ids, mask = make_prompt([3, 6, 2])
    wanted = model.generate(ids, mask, max_new_tokens=9)
    for options in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-4}):
        result = model.generate(ids, mask, max_new_tokens=9, strategy="sampling", seed=1, **options)
        np.testing.assert_array_equal(result, wanted)
