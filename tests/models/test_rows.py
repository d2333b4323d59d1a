"""encode_rows: rows of any lengths give what a padded call gives, and no padded array is made."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CLASSES, FLOAT64, HEADS, MAX_TOKENS, TINY, main_output, make_folder

from pyroberta import InputError, RobertaConfig, RobertaForCausalLM, RobertaModel
from pyroberta.text.embedding import hidden_states
from pyroberta.text.pooling import pool

ROWS = [[0, 5, 6, 2], [7], [0, 9, 9, 1, 8, 3, 1, 2], [4, 1]]


def padded(rows):
    """Ids filled up with a word that is no pad, and the mask."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), 11)
    mask = np.zeros(ids.shape, bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, True
    return ids, mask


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {
        head: CLASSES[head].from_pretrained(make_folder(tmp_path_factory.mktemp(head), head))
        for head in HEADS
    }


@pytest.mark.parametrize("head", [head for head in HEADS if head != "for_multiple_choice"])
def test_rows_give_the_bits_of_a_padded_call(models, head):
    model = models[head]
    ids, mask = padded(ROWS)
    want = model(ids, mask, output_hidden_states=True)
    got = model.encode_rows(ROWS, output_hidden_states=True)
    assert got.offsets.tolist() == [0, 4, 5, 13, 15]
    by_token = head != "for_sequence_classification"
    expected = main_output(want)[mask] if by_token else main_output(want)
    np.testing.assert_array_equal(main_output(got), expected)
    for ours, theirs in zip(got.hidden_states, want.hidden_states, strict=True):
        np.testing.assert_array_equal(ours, theirs[mask])
    if head == "base":
        np.testing.assert_array_equal(got.pooler_output, want.pooler_output)


def test_choices_are_lists_of_rows(models):
    model = models["for_multiple_choice"]
    rows = [[ROWS[0], ROWS[1]], [ROWS[2], ROWS[3]]]
    ids, mask = padded(ROWS)
    want = model(ids.reshape(2, 2, -1), mask.reshape(2, 2, -1)).logits
    np.testing.assert_array_equal(model.encode_rows(rows).logits, want)


@pytest.mark.parametrize("kind", ["lists", "arrays", "tuples", "uint8"])
def test_rows_may_be_of_any_kind_of_integers(models, kind):
    make = {
        "lists": list,
        "arrays": np.array,
        "tuples": tuple,
        "uint8": lambda row: np.array(row, np.uint8),
    }[kind]
    model = models["base"]
    got = model.encode_rows([make(row) for row in ROWS])
    want = model.encode_rows(ROWS)
    np.testing.assert_array_equal(got.last_hidden_state, want.last_hidden_state)


def test_token_types_go_with_their_rows(models):
    types = [[1, 0, 1, 1], [1], [0] * 8, [0, 1]]
    model = models["base"]
    ids, mask = padded(ROWS)
    padded_types = np.zeros(ids.shape, int)
    for i, row in enumerate(types):
        padded_types[i, : len(row)] = row
    want = model(ids, mask, padded_types).last_hidden_state[mask]
    np.testing.assert_array_equal(model.encode_rows(ROWS, types).last_hidden_state, want)


def test_logits_of_some_places_alone(models):
    model = models["for_masked_language_modeling"]
    whole = model.encode_rows(ROWS).logits
    places = [[2, 7], [0, 1], [3, 0]]
    got = model.encode_rows(ROWS, logit_positions=places).logits
    np.testing.assert_array_equal(got, whole[[12, 1, 13]])
    with pytest.raises(InputError, match=r"must have a token in \[0, 1\) in row 1, not 1"):
        model.encode_rows(ROWS, logit_positions=[[1, 1]])


def test_a_causal_model_sees_no_later_token():
    config = RobertaConfig.from_hf(TINY)
    model = RobertaForCausalLM.from_config(config, seed=0)
    ids, mask = padded(ROWS)
    want = model(ids, mask).logits[mask]
    np.testing.assert_array_equal(model.encode_rows(ROWS).logits, want)
    crossed = RobertaConfig.from_hf(TINY | {"add_cross_attention": True})
    with pytest.raises(InputError, match="encode_rows must be asked of a model without cross"):
        RobertaForCausalLM.from_config(crossed, seed=0).encode_rows(ROWS)


def test_rows_are_cut_by_their_offsets(models):
    output = models["base"].encode_rows(ROWS)
    cut = output.of_rows(output.last_hidden_state)
    assert [len(row) for row in cut] == [4, 1, 8, 2]
    assert all(np.shares_memory(row, output.last_hidden_state) for row in cut)
    with pytest.raises(InputError, match="array must have the 15 places of the rows, not 4"):
        output.of_rows(output.pooler_output)
    with pytest.raises(InputError, match="output must come from encode_rows"):
        models["base"]([[0, 2]]).of_rows(output.last_hidden_state)


def test_no_rows_are_an_empty_result(models):
    output = models["base"].encode_rows([])
    assert output.last_hidden_state.shape == (0, TINY["hidden_size"])
    assert output.of_rows(output.last_hidden_state) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (5, "rows must be a list of rows of ids, not int"),
        ("text", "rows must be a list of rows of ids, not str"),
        ([[0], []], r"rows\[1\] must have at least one id, not none"),
        ([[0], 3], r"rows\[1\] must be \[tokens\], not of shape \[\]"),
        ([[0], [[1]]], r"rows\[1\] must be \[tokens\], not of shape \[1, 1\]"),
        ([[0.5]], r"rows\[0\] must be integers, not float64"),
        ([[True]], r"rows\[0\] must be integers, not bool"),
        ([["a"]], r"rows\[0\] must be integers, not <U1"),
        ([[2**70]], r"rows\[0\] must be integers, not object"),
        ([[0], [5, 37]], r"rows must be in \[0, vocab_size\) = \[0, 37\), not 37 at \[1, 1\]"),
        ([[0, -1]], r"rows must be in .* not -1 at \[0, 1\]"),
        ([[3] * (MAX_TOKENS + 1)], rf"rows\[0\] must have at most {MAX_TOKENS} tokens"),
    ],
)
def test_wrong_rows_are_refused_by_number(models, rows, message):
    with pytest.raises(InputError, match=message):
        models["base"].encode_rows(rows)


def test_wrong_types_and_choices_are_refused(models):
    with pytest.raises(InputError, match="token_type_ids must have the lengths of rows"):
        models["base"].encode_rows([[0, 2]], [[0]])
    with pytest.raises(InputError, match=r"token_type_ids must be in \[0, max_token_types\)"):
        models["base"].encode_rows([[0, 2]], [[0, 2]])
    choice = models["for_multiple_choice"]
    with pytest.raises(InputError, match=r"rows\[1\] must have as many choices as rows\[0\] \(2\)"):
        choice.encode_rows([[[0], [2]], [[0]]])
    with pytest.raises(InputError, match=r"rows\[0\] must be a list of rows, not int"):
        choice.encode_rows([0])


rows_of_any_length = st.lists(
    st.lists(st.integers(0, TINY["vocab_size"] - 1), min_size=1, max_size=MAX_TOKENS),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_any_length)
def test_any_rows_give_the_bits_of_a_padded_call(models, rows):
    ids, mask = padded(rows)
    model = models["base"]
    want = model(ids, mask)
    got = model.encode_rows(rows)
    np.testing.assert_array_equal(got.last_hidden_state, want.last_hidden_state[mask])
    np.testing.assert_array_equal(got.pooler_output, want.pooler_output)


def test_positions_are_the_references(tmp_path):
    model = RobertaModel.from_pretrained(make_folder(tmp_path, "base"), **FLOAT64)
    ids, mask = padded(ROWS)
    want = model(ids, mask).last_hidden_state[mask]
    np.testing.assert_array_equal(model.encode_rows(ROWS).last_hidden_state, want)


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(1, 40),
    hidden=st.sampled_from([1, 2, 63, 204, 205, 206, 256, 257, 410, 411, 600]),
    pooling=st.sampled_from(["mean", "cls", "max", "mean_sqrt_len"]),
)
def test_pooling_has_the_bits_of_a_copy_in_float64(tokens, hidden, pooling):
    x = np.random.default_rng(tokens).normal(size=(tokens, hidden)).astype(np.float32)
    whole = np.array(x, np.float64)
    want = {
        "cls": lambda: whole[0],
        "max": lambda: whole.max(axis=0),
        "mean": lambda: whole.sum(axis=0) / tokens,
        "mean_sqrt_len": lambda: whole.sum(axis=0) / np.sqrt(tokens),
    }[pooling]()
    np.testing.assert_array_equal(pool(x, [pooling]), want)


def test_texts_of_real_lengths_take_little_more_than_their_tokens():
    # 64 rows with the lengths of real texts: padded they would be twice their tokens.
    lengths = np.exp(np.random.default_rng(3).normal(3.5, 0.7, 64)).astype(int).clip(4, 157)
    config = RobertaConfig(
        num_blocks=1, hidden_size=256, num_attention_heads=4, vocab_size=50, max_positions=200
    )
    model = RobertaModel.from_config(config, seed=0, add_pooling_layer=False)
    rows = [[3] * n for n in lengths.tolist()]
    needed = int(lengths.sum()) * config.hidden_size * 4
    assert len(rows) * lengths.max() * config.hidden_size * 4 > 1.8 * needed

    def embed():
        for _, hidden in hidden_states(model, rows, 10**6):
            pool(hidden, ["mean"])

    embed()
    tracemalloc.start()
    try:
        embed()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 1.1 * needed
