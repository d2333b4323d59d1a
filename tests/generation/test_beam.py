"""Beam search: against all texts that there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from generation.tiny import make_model, make_prompt, up_to_end

from pyroberta.logits import log_softmax

WORDS = 7


def all_texts(model, prompt, most, eos):
    """Each text of at most ``most`` new tokens that ended or is full, with its log-probability."""
    texts = {}
    for tokens in itertools.product(range(WORDS), repeat=most):
        own = tuple(up_to_end(tokens, eos))
        if own not in texts:
            ids = np.array([[*prompt, *own]])
            logits = model(ids, np.ones(ids.shape)).logits[0, len(prompt) - 1 : -1]
            texts[own] = log_softmax(logits)[np.arange(len(own)), own].sum()
    return texts


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.8, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_as_many_beams_as_words_find_the_best_of_all_texts_of_two_tokens(seed, length_penalty):
    model = make_model(seed, vocab_size=WORDS)
    eos = (2, 4)
    texts = all_texts(model, [3, 5], 2, eos)
    wanted = max(texts, key=lambda text: texts[text] / len(text) ** length_penalty)
    result = model.generate(
        [[3, 5]],
        max_new_tokens=2,
        eos_token_id=eos,
        strategy="beam",
        num_beams=WORDS,
        length_penalty=length_penalty,
        early_stopping="never",
    )
    assert tuple(up_to_end(result[0, 2:], eos)) == wanted


def test_more_beams_find_a_text_that_greedy_search_misses():
    better = 0
    for seed in range(8):
        model = make_model(seed, vocab_size=WORDS)
        texts = all_texts(model, [3, 5], 3, ())
        options = {"max_new_tokens": 3, "eos_token_id": ()}
        greedy = model.generate([[3, 5]], **options)[0, 2:]
        beam = model.generate([[3, 5]], strategy="beam", num_beams=7, **options)[0, 2:]
        scores = [texts[tuple(text.tolist())] for text in (greedy, beam)]
        best = max(texts.values())
        assert scores[1] >= scores[0] - 1e-12
        assert scores[1] > best - 1
        better += scores[1] > scores[0]
    assert better >= 2


def test_a_larger_length_penalty_gives_no_shorter_text():
    eos = (2, 4, 9, 17, 25)
    lengths = []
    for penalty in (-2.0, 0.0, 1.0, 4.0):
        total = 0
        for seed in range(8):
            ids, mask = make_prompt([3, 5])
            result = make_model(seed).generate(
                ids,
                mask,
                max_new_tokens=8,
                eos_token_id=eos,
                strategy="beam",
                length_penalty=penalty,
                early_stopping="never",
            )[:, 5:]
            total += sum(len(up_to_end(row, eos)) for row in result)
        lengths.append(total)
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_four_beams_are_the_default():
    model = make_model(0)
    ids, mask = make_prompt([3, 5])
    wanted = model.generate(
        ids, mask, strategy="beam", num_beams=4, length_penalty=1.0, early_stopping=False
    )
    np.testing.assert_array_equal(model.generate(ids, mask, strategy="beam"), wanted)


@pytest.mark.parametrize("words", [3, 4])
def test_a_vocabulary_as_small_as_the_beams_is_searched(words):
    model = make_model(0, vocab_size=words, eos_token_id=2)
    result = model.generate([[0]], max_new_tokens=5, strategy="beam", num_beams=words)
    assert result.shape[0] == 1
    assert (result < words).all()
