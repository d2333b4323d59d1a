"""The causal model: its cache in any steps, ragged rows, cross attention, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyroberta
from pyroberta.compute_types import COMPUTE_TYPES

CONFIG = pyroberta.RobertaConfig(
    vocab_size=31,
    max_positions=42,
    max_token_types=1,
    hidden_size=18,
    num_blocks=2,
    num_attention_heads=3,
    intermediate_size=20,
    initializer_range=0.5,
)
CROSS = pyroberta.RobertaConfig(
    **{f: getattr(CONFIG, f) for f in CONFIG.__dataclass_fields__} | {"use_cross_attention": True}
)
PAD = CONFIG.pad_token_id


def make(config: pyroberta.RobertaConfig = CONFIG, **options: Any) -> pyroberta.RobertaForCausalLM:
    return pyroberta.RobertaForCausalLM.from_config(config, seed=1, **options)


def ragged_batch(rng: np.random.Generator, rows: int, tokens: int) -> tuple[Any, Any]:
    """Ids with padding on the left, on the right and in the middle, and their mask."""
    mask = rng.random((rows, tokens)) < 0.7
    mask[np.arange(rows), rng.integers(0, tokens, rows)] = True
    ids = rng.integers(2, CONFIG.vocab_size, (rows, tokens))
    ids[~mask] = PAD
    return ids, mask


def encoder_output(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    mask = np.arange(6) < rng.integers(1, 7, rows)[:, None]
    hidden = rng.normal(size=(rows, 6, CONFIG.hidden_size)).astype(np.float32)
    return {"encoder_hidden_state": hidden, "encoder_attention_mask": mask}


def in_steps(model: Any, ids: Any, mask: Any, cuts: list[int], **encoder: Any) -> tuple[Any, Any]:
    """Logits of the same ids, given in pieces that end at ``cuts``; and the last cache."""
    cache = model.init_cache(len(ids), 40)
    logits, at = [], 0
    for cut in [*cuts, ids.shape[1]]:
        if cut == at:
            continue
        output = model(ids[:, at:cut], mask[:, at:cut], cache=cache, **encoder)
        encoder = {}  # in the cache from now on
        cache, at = output.cache, cut
        logits.append(output.logits)
    return np.concatenate(logits, axis=1), cache


@settings(
    deadline=None,
    derandomize=True,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 999),
    rows=st.integers(1, 4),
    tokens=st.integers(1, 20),
    cuts=st.lists(st.integers(1, 20), max_size=6),
    cross=st.booleans(),
)
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_prefill_and_any_steps_give_the_bits_of_one_pass(
    isa, compute_type, seed, rows, tokens, cuts, cross
):
    rng = np.random.default_rng(seed)
    model = make(CROSS if cross else CONFIG, compute_type=compute_type)
    ids, mask = ragged_batch(rng, rows, tokens)
    encoder = encoder_output(rng, rows) if cross else {}
    whole = model(ids, mask, **encoder).logits
    cuts = sorted({cut for cut in cuts if cut < tokens})
    steps, cache = in_steps(model, ids, mask, cuts, **encoder)
    np.testing.assert_array_equal(steps, whole)
    np.testing.assert_array_equal(cache.lengths, mask.sum(axis=1))


def test_a_later_token_changes_no_bit_of_an_earlier_logit(isa):
    rng = np.random.default_rng(0)
    model = make()
    ids = rng.integers(2, 31, (2, 12))
    other = ids.copy()
    other[:, 7:] = rng.integers(2, 31, (2, 5))
    np.testing.assert_array_equal(model(ids).logits[:, :7], model(other).logits[:, :7])


def test_left_padding_gives_the_row_without_it(isa):
    model = make()
    alone = model([[5, 6, 7]]).logits[0]
    padded = model([[PAD, PAD, 5, 6, 7]], [[0, 0, 1, 1, 1]]).logits[0]
    np.testing.assert_array_equal(padded[2:], alone)
    assert not padded[:2].any()


def test_attentions_over_a_cache_are_those_of_one_pass(isa):
    model = make()
    ids = np.array([[5, 6, 7, 8], [9, 10, 11, PAD]])
    mask = ids != PAD
    whole = model(ids, mask, output_attentions=True).attentions
    cache = model(ids[:, :2], mask[:, :2], cache=model.init_cache(2, 10)).cache
    step = model(ids[:, 2:], mask[:, 2:], cache=cache, output_attentions=True).attentions
    for ours, expected in zip(step, whole, strict=True):
        assert ours.shape == (2, 3, 2, 4)
        np.testing.assert_allclose(ours, expected[:, :, 2:], atol=1e-6)


def test_native_agrees_with_the_reference_in_float64(isa):
    rng = np.random.default_rng(3)
    ids, mask = ragged_batch(rng, 3, 11)
    encoder = encoder_output(rng, 3)
    native = make(CROSS)(ids, mask, **encoder, output_attentions=True)
    exact = make(CROSS, backend="reference", compute_type="float64")
    want = exact(ids, mask, **encoder, output_attentions=True)
    np.testing.assert_allclose(native.logits, want.logits, atol=2e-4)
    for ours, theirs in zip(native.cross_attentions, want.cross_attentions, strict=True):
        assert ours.shape == (3, 3, 11, 6)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("rows", [[2, 0, 2], [1], [0, 1, 2, 1]])
def test_selected_rows_go_on_as_they_would_have(isa, rows):
    rng = np.random.default_rng(4)
    model = make(CROSS)
    ids, mask = ragged_batch(rng, 3, 5)
    encoder = encoder_output(rng, 3)
    cache = model(ids, mask, cache=model.init_cache(3, 12), **encoder).cache
    chosen = cache.select(rows)
    following = np.array([[4], [5], [6]])
    picked = model(following[rows], cache=chosen).logits
    straight = model(following, cache=cache).logits
    np.testing.assert_array_equal(picked, straight[rows])


def test_the_cache_counts_positions_by_tokens_that_are_not_pads(isa):
    # A masked word counts, a pad does not: as in one pass over the whole row.
    model = make()
    ids, mask = np.array([[5, 9, 6, 7]]), np.array([[1, 0, 1, 1]])
    steps, _ = in_steps(model, ids, mask, [2])
    np.testing.assert_array_equal(steps, model(ids, mask).logits)


def test_memory_is_stated_and_empty_batches_work():
    model = make()
    cache = model.init_cache(2, 7)
    assert cache.nbytes == 2 * 2 * 2 * 7 * 18 * 4
    output = model(np.zeros((0, 3), np.int64), cache=model.init_cache(0, 5))
    assert output.logits.shape == (0, 3, 31)
    assert output.cache.batch == 0


def test_a_step_may_give_a_row_no_token(isa):
    model = make()
    cache = model([[5], [6]], cache=model.init_cache(2, 5)).cache
    cache = model([[7], [PAD]], [[1], [0]], cache=cache).cache
    assert cache.lengths.tolist() == [2, 1]
    alone = make()([[6, 9]]).logits[0, 1]
    np.testing.assert_array_equal(model([[1], [9]], [[0], [1]], cache=cache).logits[1, 0], alone)


def refused(match: str) -> Any:
    return pytest.raises(pyroberta.InputError, match=match)


def test_an_older_cache_is_refused():
    model = make()
    old = model.init_cache(1, 5)
    new = model([[5]], cache=old).cache
    with refused("cache must be the newest of its calls .* 1 calls have appended"):
        model([[6]], cache=old)
    with refused("cache must be the newest"):
        old.select([0])
    model([[6]], cache=new)


def test_a_call_that_is_refused_leaves_the_cache_as_it_was():
    model = make()
    cache = model.init_cache(1, 5)
    with refused("input_ids must be in"):
        model([[99]], cache=cache)
    with refused("cache must have room for row 0: 6 tokens, not max_length 5"):
        model([[5] * 6], cache=cache)
    assert model([[5]], cache=cache).cache.lengths.tolist() == [1]


def test_a_cache_of_another_model_compute_type_or_batch_is_refused():
    model = make()
    with refused("cache must come from this model's init_cache"):
        model([[5]], cache=make().init_cache(1, 5))
    exact = make(backend="reference", compute_type="float64")
    with refused("not from that of another model or compute type"):
        model([[5]], cache=exact.init_cache(1, 5))
    with refused(r"cache must have the batch of input_ids \(2\), not 1"):
        model([[5], [6]], cache=model.init_cache(1, 5))
    with refused("cache must be a pyroberta cache, not dict"):
        model([[5]], cache={})


def test_steps_past_max_length_and_past_the_positions_are_refused():
    model = make()
    cache = model([[5, 6]], cache=model.init_cache(1, 2)).cache
    with refused("cache must have room for row 0: 3 tokens, not max_length 2"):
        model([[7]], cache=cache)
    with refused("max_length must be at most the model's 40, not 41"):
        model.init_cache(1, 41)
    with refused("input_ids must have at most 40 tokens a row .* not 41"):
        model([[5] * 41])
    for name, arguments in {"batch": (-1, 5), "max_length": (1, 0)}.items():
        with refused(f"{name} must be a whole number of at least"):
            model.init_cache(*arguments)


def test_encoder_outputs_that_do_not_fit_are_refused():
    rng = np.random.default_rng(0)
    model, plain = make(CROSS), make()
    encoder = encoder_output(rng, 1)
    with refused("encoder_hidden_state must be None for a model without cross attention"):
        plain([[5]], **encoder)
    with refused("encoder_hidden_state must be given to a model with cross attention"):
        model([[5]])
    with refused(r"encoder_hidden_state must be .* \[1, n, 18\], not of shape \[1, 6, 17\]"):
        model([[5]], encoder_hidden_state=encoder["encoder_hidden_state"][..., :17])
    with refused(r"encoder_hidden_state must be .* not of shape \[2, 6, 18\]"):
        model([[5]], encoder_hidden_state=np.repeat(encoder["encoder_hidden_state"], 2, axis=0))
    with refused("encoder_hidden_state must be floats, not int64"):
        model([[5]], encoder_hidden_state=np.zeros((1, 2, 18), np.int64))
    with refused(r"encoder_attention_mask must have the shape of .* \[1, 6\], not \[1, 5\]"):
        model([[5]], **encoder | {"encoder_attention_mask": [[1] * 5]})
    with refused("encoder_attention_mask must come with encoder_hidden_state"):
        model([[5]], encoder_attention_mask=[[1]])
    with refused("encoder_tokens must be None for a model without cross attention, not 3"):
        plain.init_cache(1, 5, encoder_tokens=3)
    with refused("cross_attention_head_mask must be None for a model without cross attention"):
        plain([[5]], cross_attention_head_mask=np.ones((2, 3)))


def test_the_cached_encoder_may_be_given_again_and_no_other():
    rng = np.random.default_rng(0)
    model = make(CROSS)
    encoder, other = encoder_output(rng, 1), encoder_output(rng, 1)
    cache = model([[5]], cache=model.init_cache(1, 9, encoder_tokens=6), **encoder).cache
    assert cache.has_encoder
    again = model([[6]], cache=cache, **encoder)
    with refused("encoder_hidden_state must be the one in the cache, or left out"):
        model([[7]], cache=again.cache, **other)
    model([[7]], cache=again.cache)


def test_training_with_a_cache_is_refused():
    model = make()
    with refused("cache must be None with training=True"):
        model([[5]], cache=model.init_cache(1, 5), training=True, rng=np.random.default_rng(0))


def test_a_saved_decoder_opens_with_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    model, encoder = make(CROSS), encoder_output(rng, 1)
    model.save_pretrained(tmp_path)
    loaded = pyroberta.from_pretrained(tmp_path)
    assert isinstance(loaded, pyroberta.RobertaForCausalLM)
    ours, theirs = loaded([[5, 6]], **encoder), model([[5, 6]], **encoder)
    np.testing.assert_array_equal(ours.logits, theirs.logits)


def test_an_encoder_of_another_width_than_the_cache_was_made_for_is_refused():
    model, encoder = make(CROSS), encoder_output(np.random.default_rng(0), 1)
    with refused(r"encoder_hidden_state must have the encoder_tokens of the cache \(5\), not 6"):
        model([[5]], cache=model.init_cache(1, 9, encoder_tokens=5), **encoder)
    model([[5]], cache=model.init_cache(1, 9, encoder_tokens=6), **encoder)


def test_a_call_in_training_leaves_the_caches_of_the_model_in_use():
    model = make()
    cache = model([[5]], cache=model.init_cache(1, 9)).cache
    model([[5]], training=True, rng=np.random.default_rng(0))
    assert model([[6]], cache=cache).cache.lengths.tolist() == [2]


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("again", [np.float16, np.float32, np.float64, list])
def test_an_encoder_s_output_given_again_in_another_dtype_is_accepted_when_equal(given, again):
    config = pyroberta.RobertaConfig(
        vocab_size=100,
        num_blocks=1,
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=16,
        max_positions=16,
        use_cross_attention=True,
    )
    model = pyroberta.RobertaForCausalLM.from_config(config, seed=0)
    state = np.random.default_rng(0).integers(-8, 8, (1, 3, 8)).astype(given)
    cache = model([[0, 5]], cache=model.init_cache(1, 8), encoder_hidden_state=state).cache
    same = state.tolist() if again is list else state.astype(again)
    cache = model([[6]], cache=cache, encoder_hidden_state=same).cache
    with pytest.raises(pyroberta.InputError, match="encoder_hidden_state"):
        model([[7]], cache=cache, encoder_hidden_state=np.asarray(same) + 1)
