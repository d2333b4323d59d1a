"""Contrastive search: the score of the paper, computed here by full passes."""

from __future__ import annotations

import numpy as np
import pytest
from generation.tiny import greedy_loop, make_model, make_prompt, up_to_end

from pyroberta.logits import softmax

EOS = (2, 4, 9)


def contrastive_loop(model, prompt, new, k, alpha):
    """The search as one writes it down: no cache, each candidate read with all before it."""
    ids = list(prompt)
    for _ in range(new):
        row = np.array([ids])
        p = softmax(model(row, np.ones(row.shape)).logits[:, -1])[0]
        scores = []
        candidates = np.argsort(-p, kind="stable")[:k].tolist()
        for token in candidates:
            row = np.array([[*ids, token]])
            output = model(row, np.ones(row.shape), output_hidden_states=True)
            states = output.hidden_states[-1][0]
            states = states / np.linalg.norm(states, axis=1, keepdims=True)
            scores.append((1 - alpha) * p[token] - alpha * (states[:-1] @ states[-1]).max())
        ids.append(candidates[int(np.argmax(scores))])
        if ids[-1] in EOS:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize(("k", "alpha"), [(4, 0.6), (2, 0.3), (6, 1.0), (37, 0.8)])
@pytest.mark.parametrize("seed", range(3))
def test_each_token_has_the_best_score_of_its_candidates(seed, k, alpha):
    model = make_model(seed)
    lengths = [1, 5, 3]
    ids, mask = make_prompt(lengths, seed)
    result = model.generate(
        ids,
        mask,
        max_new_tokens=6,
        eos_token_id=EOS,
        strategy="contrastive",
        top_k=k,
        alpha=alpha,
    )
    for row, n in enumerate(lengths):
        wanted = contrastive_loop(model, ids[row, -n:], 6, k, alpha)
        assert up_to_end(result[row, 5:], EOS) == wanted


@pytest.mark.parametrize("options", [{"top_k": 1}, {"alpha": 0.0}])
def test_one_candidate_or_no_weight_is_greedy_search(options):
    model = make_model(1)
    result = model.generate(
        [[5, 6]], max_new_tokens=8, eos_token_id=EOS, strategy="contrastive", **options
    )
    assert up_to_end(result[0, 2:], EOS) == greedy_loop(model, [5, 6], 8, EOS)


def test_the_defaults_are_four_candidates_and_six_tenths():
    model = make_model(1)
    wanted = model.generate([[5, 6]], strategy="contrastive", top_k=4, alpha=0.6)
    np.testing.assert_array_equal(model.generate([[5, 6]], strategy="contrastive"), wanted)


def test_a_forbidden_token_is_not_taken_for_being_unlike():
    model = make_model(1)
    result = model.generate(
        [[5, 6]],
        max_new_tokens=6,
        eos_token_id=(),
        strategy="contrastive",
        top_k=37,
        alpha=1.0,
        suppressed_token_ids=range(10, 37),
    )
    assert (result < 10).all()
