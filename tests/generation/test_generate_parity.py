"""The same ids as transformers' generate, on random tiny models in float64.

Its own generate feeds positions 0, 1, 2, ... to this family, and so disagrees with an argmax loop
over its own forward pass. Without ``position_ids`` and without a cache it does not.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

pytest.importorskip("torch", reason="the parity suite compares with transformers on torch")
pytest.importorskip("transformers", reason="the parity suite compares with transformers")

from generation.tiny import FLOAT64, make_prompt
from parity.peer import randomise, torch, transformers

import pyroberta

pytestmark = pytest.mark.parity

SIZES = {
    "vocab_size": 37,
    "max_position_embeddings": 34,
    "type_vocab_size": 2,
    "hidden_size": 18,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "layer_norm_eps": 1e-5,
}
# Several ends, so that many rows meet one.
EOS = [2, 4, 9, 17, 25]
WIDTH = 7


def make_pair(folder, seed):
    """transformers' model in float64, its positions mended, and ours from its files."""
    config = transformers.RobertaConfig(
        **SIZES, is_decoder=True, tie_word_embeddings=seed % 2 == 0, attn_implementation="eager"
    )
    peer = transformers.RobertaForCausalLM(config).eval()
    randomise(peer, seed)
    # An untied output has a bias of its own beside one that is not read.
    peer.lm_head.bias.data.copy_(peer.lm_head.decoder.bias.data)
    peer.save_pretrained(folder)
    prepare = peer.prepare_inputs_for_generation

    @functools.wraps(prepare)
    def without_positions(*args, **kwargs):
        inputs = prepare(*args, **kwargs)
        inputs.pop("position_ids", None)
        return inputs

    peer.prepare_inputs_for_generation = without_positions
    return peer.double(), pyroberta.RobertaForCausalLM.from_pretrained(folder, **FLOAT64)


def ask_peer(peer, ids, mask, **options):
    options = {"max_new_tokens": 10, "eos_token_id": EOS} | options
    return peer.generate(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask),
        use_cache=False,
        do_sample=False,
        **options,
    ).numpy()


def ask_ours(model, ids, mask, **options):
    if "num_beams" in options:
        options["strategy"] = "beam"
    options = {"max_new_tokens": 10, "eos_token_id": EOS} | options
    return model.generate(ids, mask, **options)


def make_ragged(seed):
    lengths = np.random.default_rng(seed).integers(1, WIDTH + 1, 3).tolist()
    return make_prompt([*lengths, WIDTH], seed)


@pytest.mark.parametrize("seed", range(50))
def test_greedy_and_beam_search_give_the_same_ids(seed, tmp_path):
    peer, model = make_pair(tmp_path, seed)
    ids, mask = make_ragged(seed)
    np.testing.assert_array_equal(ask_ours(model, ids, mask), ask_peer(peer, ids, mask))
    for penalty, early in itertools.product((0.8, 1.0, 1.2), (True, False)):
        options = {"num_beams": 4, "length_penalty": penalty, "early_stopping": early}
        np.testing.assert_array_equal(
            ask_ours(model, ids, mask, **options),
            ask_peer(peer, ids, mask, **options),
            str(options),
        )


def test_what_these_models_write_is_worth_comparing(tmp_path):
    """Rows end at many lengths, hold several words, and beams find other texts than greedy."""
    lengths, words, other = set(), [], 0
    for seed in range(10):
        _, model = make_pair(tmp_path / str(seed), seed)
        ids, mask = make_ragged(seed)
        greedy = ask_ours(model, ids, mask)[:, WIDTH:]
        beam = ask_ours(model, ids, mask, num_beams=4)[:, WIDTH:]
        lengths |= set((greedy != 1).sum(axis=1).tolist())
        words += [len(set(row.tolist())) for row in greedy]
        other += greedy.shape != beam.shape or bool((greedy != beam).any())
    assert len(lengths) >= 6
    assert np.mean(words) >= 3
    assert other >= 5


# Hugging Face's names and ours, where they differ.
OPTIONS = [
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6},
    {"min_new_tokens": 5},
    {"suppress_tokens": [2, 5, 6, 20], "min_new_tokens": 3},
    {"forced_eos_token_id": 3},
    {"eos_token_id": 9, "forced_eos_token_id": 9, "min_new_tokens": 10},
    {"early_stopping": "never", "num_beams": 3, "length_penalty": 2.0},
    {"early_stopping": "never", "num_beams": 3, "length_penalty": -1.0},
    {"num_beams": 2, "length_penalty": 0.0},
    {"num_beams": 7, "repetition_penalty": 1.2, "min_new_tokens": 4},
]
NAMES = {
    "suppress_tokens": "suppressed_token_ids",
    "no_repeat_ngram_size": "no_repeat_ngram_length",
}


def compare(folder, options, ids, mask, seed):
    peer, model = make_pair(folder, seed)
    both = [options] if "num_beams" in options else [options, options | {"num_beams": 4}]
    for asked in both:
        ours = {NAMES.get(name, name): value for name, value in asked.items()}
        np.testing.assert_array_equal(
            ask_ours(model, ids, mask, **ours), ask_peer(peer, ids, mask, **asked), str(asked)
        )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_options_give_the_same_ids(options, tmp_path):
    for seed in range(6):
        compare(tmp_path / str(seed), options, *make_ragged(seed), seed)


# What transformers counts with the padding, and we without: only rows of one length agree.
ONE_LENGTH = [
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 1, "eos_token_id": 3},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 0.5, "forced_eos_token_id": 30},
    {"max_new_tokens": None, "max_length": 9, "min_length": 7},
    {"forced_bos_token_id": 8, "forced_eos_token_id": 30},
]


@pytest.mark.parametrize("options", ONE_LENGTH, ids=str)
def test_options_that_count_a_rows_tokens_give_the_same_ids_for_rows_of_one_length(
    options, tmp_path
):
    for seed in range(6):
        length = 1 if "forced_bos_token_id" in options else 4
        ids, mask = make_prompt([length] * 3, seed)
        compare(tmp_path / str(seed), options, ids, mask, seed)
