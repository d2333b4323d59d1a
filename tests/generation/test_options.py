"""What is refused, with both values in the message."""

from __future__ import annotations

import re

import numpy as np
import pytest
from generation.tiny import MAX_TOKENS, make_model, make_prompt

from pyroberta import InputError
from pyroberta.generation import GenerationOptions

REFUSED = [
    (
        {"strategy": "best"},
        "strategy must be one of greedy, sampling, beam, contrastive, not 'best",
    ),
    (
        {"max_new_tokens": 5, "max_length": 9},
        "max_new_tokens must be left out where max_length is given, not both: 5 and 9",
    ),
    (
        {"min_new_tokens": 2, "min_length": 3},
        "min_new_tokens must be left out where min_length is given, not both: 2 and 3",
    ),
    (
        {"min_new_tokens": 6, "max_new_tokens": 5},
        "min_new_tokens must be at most max_new_tokens (5), not 6",
    ),
    ({"min_length": 10, "max_length": 9}, "min_length must be at most max_length (9), not 10"),
    ({"max_new_tokens": 0}, "max_new_tokens must be a whole number of at least 1, not 0"),
    ({"max_new_tokens": 2.5}, "max_new_tokens must be a whole number of at least 1, not 2.5"),
    ({"min_length": -1}, "min_length must be a whole number of at least 0, not -1"),
    (
        {"temperature": 0.7},
        "temperature must be left out with strategy='greedy' (it is of sampling), not 0.7",
    ),
    (
        {"strategy": "sampling", "num_beams": 4},
        "num_beams must be left out with strategy='sampling' (it is of beam), not 4",
    ),
    ({"strategy": "beam", "seed": 3}, "seed must be left out with strategy='beam'"),
    ({"strategy": "beam", "top_k": 3}, "top_k must be left out with strategy='beam'"),
    ({"strategy": "sampling", "alpha": 0.5}, "alpha must be left out with strategy='sampling'"),
    ({"strategy": "beam", "num_beams": 1}, "num_beams must be a whole number of at least 2, not 1"),
    ({"strategy": "beam", "early_stopping": "soon"}, "early_stopping must be True, False or"),
    ({"strategy": "beam", "early_stopping": 1}, "early_stopping must be True, False or"),
    ({"strategy": ["beam"]}, "strategy must be one of greedy, sampling, beam, contrastive, not ['"),
    ({"strategy": "beam", "length_penalty": "long"}, "length_penalty must be a number that is fin"),
    ({"strategy": "sampling", "temperature": 0}, "temperature must be a number above 0, not 0"),
    ({"strategy": "sampling", "temperature": float("nan")}, "temperature must be a number above 0"),
    ({"strategy": "sampling", "top_p": 1.5}, "top_p must be a number in (0, 1], not 1.5"),
    ({"strategy": "sampling", "top_k": 0}, "top_k must be a whole number of at least 1, not 0"),
    ({"strategy": "contrastive", "alpha": -0.1}, "alpha must be a number in [0, 1], not -0.1"),
    ({"repetition_penalty": 0.0}, "repetition_penalty must be a number above 0, not 0.0"),
    ({"no_repeat_ngram_length": 0}, "no_repeat_ngram_length must be a whole number of at least 1"),
    ({"logits_processors": [3]}, "logits_processors must be a list of functions, not [3]"),
    ({"logits_processors": max}, "logits_processors must be a list of functions, not <built-in"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_options_out_of_range_or_at_odds_are_refused(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        GenerationOptions(**options)
    with pytest.raises(InputError, match=re.escape(message)):
        make_model().generate([[3, 4]], **options)


OF_MODEL = [
    ({"eos_token_id": 37}, "eos_token_id must be in [0, vocab_size) = [0, 37), not 37"),
    ({"eos_token_id": [2, -1]}, "eos_token_id must be a whole number of at least 0, not -1"),
    ({"eos_token_id": "</s>"}, "eos_token_id must be one or several ids, not '</s>'"),
    ({"pad_token_id": 99}, "pad_token_id must be in [0, vocab_size) = [0, 37), not 99"),
    ({"forced_bos_token_id": 99}, "forced_bos_token_id must be in [0, vocab_size)"),
    ({"suppressed_token_ids": [3, 50]}, "suppressed_token_ids must be in [0, vocab_size)"),
    (
        {"suppressed_token_ids": [3, 5], "forced_eos_token_id": 5},
        "suppressed_token_ids must not hold forced_eos_token_id (5), not (3, 5)",
    ),
    (
        {"suppressed_token_ids": range(36), "eos_token_id": 36, "min_new_tokens": 1},
        "suppressed_token_ids and eos_token_id must leave a token, not none",
    ),
    ({"strategy": "sampling", "top_k": 38}, "top_k must be at most vocab_size (37), not 38"),
    ({"strategy": "beam", "num_beams": 38}, "num_beams must be at most vocab_size (37), not 38"),
    (
        {"strategy": "sampling", "seed": [1, 2, 3]},
        "seed must be one number, or one for each of 2 rows, not [1, 2, 3]",
    ),
    ({"strategy": "sampling", "seed": -1}, "seed must be a whole number of at least 0, not -1"),
    ({"strategy": "sampling", "seed": [1, 0.5]}, "seed must be a whole number of at least 0, not"),
    # The prompts have 3 and 6 tokens.
    (
        {"max_length": 6},
        "input_ids must have fewer tokens than max_length (6), not 6 in row 1",
    ),
    (
        {"max_new_tokens": MAX_TOKENS - 5},
        (
            f"input_ids and new tokens must be at most the model's {MAX_TOKENS}, "
            f"not {MAX_TOKENS + 1} in row 1: 6 and {MAX_TOKENS - 5} new ones"
        ),
    ),
    (
        {"max_length": MAX_TOKENS + 1},
        (
            f"input_ids and new tokens must be at most the model's {MAX_TOKENS}, "
            f"not {MAX_TOKENS + 1} in row 0: 3 and {MAX_TOKENS - 2} new ones"
        ),
    ),
    (
        {"max_new_tokens": 4, "min_length": 8},
        "min_length must leave row 0 at most 7 tokens, not ask for 8 (min_length=8)",
    ),
    (
        {"max_length": 8, "min_new_tokens": 3},
        "min_new_tokens must leave row 1 at most 8 tokens, not ask for 9 (min_new_tokens=3)",
    ),
]


@pytest.mark.parametrize(("options", "message"), OF_MODEL)
def test_options_that_do_not_fit_the_model_or_the_prompt_are_refused(options, message):
    ids, mask = make_prompt([3, 6])
    with pytest.raises(InputError, match=re.escape(message)):
        make_model().generate(ids, mask, **options)


def test_new_tokens_may_fill_the_model_exactly():
    model = make_model()
    for limit in ({"max_new_tokens": MAX_TOKENS - 3}, {"max_length": MAX_TOKENS}):
        assert model.generate([[3, 4, 5]], eos_token_id=(), **limit).shape == (1, MAX_TOKENS)


PROMPTS = [
    ([[3, 4], [5, 6]], [[1, 1], [0, 0]], "attention_mask must attend to a token of every row, not"),
    ([[3, 37]], None, "input_ids must be in [0, vocab_size) = [0, 37), not 37"),
    ([[3], [4, 5]], None, "input_ids must be an array with rows of one length"),
    ([3, 4], None, "input_ids must be [batch, tokens], not of shape [2]"),
    ([[]], None, "input_ids must have at least one token a row, not [1, 0]"),
    ([[3.5]], None, "input_ids must be integers, not float64"),
    ([[3, 4]], [[1]], "attention_mask must have the shape of input_ids [1, 2], not [1, 1]"),
    ([[3] * 33], None, f"input_ids must have at most {MAX_TOKENS} tokens a row"),
    ([[3] * 32], None, "input_ids and new tokens must be at most the model's 32, not 33 in row 0"),
]


@pytest.mark.parametrize(("ids", "mask", "message"), PROMPTS)
def test_a_prompt_that_is_none_is_refused(ids, mask, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make_model().generate(ids, mask)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="penalty_alpha"):
        make_model().generate([[3]], penalty_alpha=0.6)


def test_cross_attention_needs_an_encoder_and_an_encoder_cross_attention():
    with pytest.raises(InputError, match="encoder_hidden_state must be given to a model with cros"):
        make_model(use_cross_attention=True).generate([[3]])
    with pytest.raises(InputError, match="encoder_hidden_state must be None for a model without c"):
        make_model().generate([[3]], encoder_hidden_state=[[[0.0] * 18]])
    with pytest.raises(InputError, match=r"\[1, n, 18\], not of shape \[2, 3, 18\]"):
        make_model(use_cross_attention=True).stream(
            [[3]], encoder_hidden_state=[[[0.0] * 18] * 3] * 2
        )


SPELLINGS = [
    ({}, "greedy", None),
    ({"num_beams": 1}, "greedy", None),
    ({"num_beams": 1, "do_sample": False}, "greedy", None),
    ({"num_beams": 4}, "beam", 4),
    ({"num_beams": 3, "do_sample": False}, "beam", 3),
    ({"do_sample": True}, "sampling", None),
    ({"do_sample": True, "num_beams": 1, "top_p": 0.9}, "sampling", None),
    ({"do_sample": True, "strategy": "sampling"}, "sampling", None),
    ({"num_beams": np.int64(2)}, "beam", 2),
    ({"num_beams": 1, "strategy": "contrastive"}, "contrastive", None),
]


@pytest.mark.parametrize(("given", "strategy", "num_beams"), SPELLINGS)
def test_strategies_as_others_spell_them(given, strategy, num_beams):
    options = GenerationOptions(**given)
    assert (options.strategy, options.num_beams) == (strategy, num_beams)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"do_sample": True, "num_beams": 4}, "do_sample must be left out or False with 'beam'"),
        ({"do_sample": True, "strategy": "greedy"}, "do_sample must be left out or False with str"),
        ({"do_sample": False, "strategy": "sampling"}, "do_sample must be left out or True with"),
        ({"do_sample": 1}, "do_sample must be True or False, not 1"),
        ({"num_beams": 1, "strategy": "beam"}, "num_beams must be"),
        ({"strategy": ["beam"]}, "strategy must be one of greedy"),
    ],
)
def test_strategies_that_contradict_each_other(given, message):
    with pytest.raises(InputError, match=message):
        GenerationOptions(**given)
