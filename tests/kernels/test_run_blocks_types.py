"""run_blocks in each compute type: which products round what, against reference.py in float64."""

import dataclasses
import itertools

import numpy as np
import pytest
from kernels import decoder_blocks as decoder
from kernels.blocks import make, ragged, run
from kernels.products import splits

from pyroberta import reference
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.run_options import CrossAttention, KeyValueCache, RunOptions

_core = pytest.importorskip("pyroberta._core")

ROUNDED = COMPUTE_TYPES[1:]
# Columns turned one by one, and by 16, 32 and 64; more than a group (768) in `wide`.
SIZES = [(36, 100, 4), (64, 96, 4), (48, 1568, 3)]
# Short rows: what one of them is off by does not reach the others.
LENGTHS = [1, 2, 3, 0, 1, 2, 4, 1, 1, 3, 2, 1, 5, 1, 2, 1, 1, 2, 3, 1]


def assert_agrees(kernels, compute_type, got, run_exact, offsets):
    """``got`` is what ``run_exact`` of ``compute_type`` gives, but where a number is on an edge.

    Where float32 and float64 differ in a number's last digits, they may round it to two neighbours:
    of 10,000 numbers about 1 to bfloat16, and fewer to codes. Such a row is off by a part of what
    the rounding itself does to the result; all others by float32's error. Over ten draws on four
    builds at least 0.84 of the rows were those, and the worst part was 0.28.
    """
    if compute_type == "bfloat16x3":
        want = run_exact(compute_type if splits(kernels) else "float32")
        # Where low * low is left out: 2^-17 of each sum, and there are six sums.
        np.testing.assert_allclose(got, want, atol=1e-4 if splits(kernels) else 1e-5)
        return
    want = run_exact(compute_type)
    rounding = np.abs(want - run_exact("float32")).max()
    assert rounding > 1e-3  # or this test would see nothing
    error = np.abs(got - want).max(axis=1)
    assert error.max() <= 0.6 * rounding
    rows = [slice(a, b) for a, b in itertools.pairwise(offsets) if b > a]
    assert np.mean([error[row].max() <= 1e-5 for row in rows]) >= 0.8


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "softmax"])
@pytest.mark.parametrize("compute_type", ROUNDED)
@pytest.mark.parametrize(("hidden", "wide", "heads"), SIZES)
def test_agrees_with_reference(kernels, rng, hidden, wide, heads, compute_type, activation, causal):
    native, exact = make(rng, kernels, activation, hidden, wide, heads, compute_type)
    x, offsets = ragged(rng, LENGTHS, hidden)
    mask = rng.uniform(0.5, 2, (1, heads)).astype(np.float32)

    def run_exact(of_type):
        block = dataclasses.replace(exact, compute_type=of_type)
        options = RunOptions(head_mask=mask, causal=causal)
        return reference.run_blocks([block], x.astype(np.float64), offsets, options)[0]

    got, *_ = run([native], x, offsets, mask, causal)
    assert_agrees(kernels, compute_type, got, run_exact, offsets)


@pytest.mark.parametrize("activation", ["gelu", "softmax"])
@pytest.mark.parametrize("compute_type", ROUNDED)
def test_cache_and_cross_attention_agree_with_reference(kernels, rng, compute_type, activation):
    native, exact = decoder.make(rng, kernels, compute_type, activation)
    x, offsets = ragged(rng, LENGTHS)
    rows, shape = len(LENGTHS), (len(LENGTHS), decoder.SLOTS, decoder.HIDDEN)
    before = rng.integers(0, 9, rows)
    keys, values = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    encoder, encoder_offsets = ragged(rng, [60, 4])
    sources = np.arange(rows) % 2
    kv = native.cross_key_values(encoder)

    def run_exact(of_type):
        block = dataclasses.replace(exact, compute_type=of_type)
        cache = KeyValueCache([keys.astype(float)], [values.astype(float)], before)
        # The kernel's own keys and values of the encoder: they are rounded once, for all rows.
        cross = CrossAttention([kv.astype(float)], encoder_offsets, sources, None)
        options = RunOptions(causal=True, cache=cache, cross=cross)
        return reference.run_blocks([block], x.astype(float), offsets, options)[0]

    cross = ([kv], encoder_offsets, sources, None)
    got, *_ = decoder.run_native(
        native, x, offsets, ([keys.copy()], [values.copy()], before), cross
    )
    assert_agrees(kernels, compute_type, got, run_exact, offsets)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_keys_and_values_of_an_encoder_are_a_product_of_the_type(kernels, rng, compute_type):
    native, exact = decoder.make(rng, kernels, compute_type)
    x, _ = ragged(rng, [130])
    weight, bias = (array.astype(np.float32) for array in exact.cross_key_value)
    packed = _core.Packed(kernels, weight, COMPUTE_TYPES.index(compute_type))
    np.testing.assert_array_equal(native.cross_key_values(x), kernels.linear(x, packed, bias, 0))


@pytest.mark.parametrize("compute_type", ROUNDED)
def test_attentions_agree_with_reference_and_change_no_bit(kernels, rng, compute_type):
    native, exact = make(rng, kernels, compute_type=compute_type)
    x, offsets = ragged(rng, LENGTHS)
    got, weights, _ = run([native], x, offsets, attentions=True)
    if compute_type == "bfloat16x3" and not splits(kernels):
        exact = dataclasses.replace(exact, compute_type="float32")
    options = RunOptions(want_attentions=True)
    _, want, _ = reference.run_blocks([exact], x.astype(float), offsets, options)
    # x is given, so no number is on an edge: queries and keys are off by float32's sums alone.
    np.testing.assert_allclose(weights, want, atol=1e-4 if splits(kernels) else 1e-6)
    np.testing.assert_array_equal(got, run([native], x, offsets)[0])


@pytest.mark.parametrize("compute_type", ROUNDED)
def test_two_blocks_in_one_call_are_two_calls(kernels, rng, threads, compute_type):
    blocks = [make(rng, kernels, compute_type=compute_type)[0] for _ in range(2)]
    x, offsets = ragged(rng, [90, 0, 41])
    once, *_ = run(blocks, x, offsets)
    middle, *_ = run(blocks[:1], x, offsets)
    np.testing.assert_array_equal(once, run(blocks[1:], middle, offsets)[0])


def test_blocks_of_different_types_in_one_call_are_as_many_calls(kernels, rng):
    types = ["int8", "float32", "bfloat16", "int8", "bfloat16x3", "bfloat16"]
    blocks = [make(rng, kernels, compute_type=one)[0] for one in types]
    x, offsets = ragged(rng, [90, 0, 41])
    once, *_ = run(blocks, x, offsets)
    for block in blocks:
        x, *_ = run([block], x, offsets)
    np.testing.assert_array_equal(once, x)


@pytest.mark.parametrize("activation", ["gelu", "softmax"])
@pytest.mark.parametrize("compute_type", ROUNDED)
def test_nan_in_a_row_of_the_batch_stays_in_it(kernels, rng, compute_type, activation):
    native, _ = make(rng, kernels, activation, 64, 800, 4, compute_type)
    x, offsets = ragged(rng, [3, 20, 7], 64)
    clean, *_ = run([native], x, offsets)
    x[10, 5] = np.nan
    got, *_ = run([native], x, offsets)
    others = np.r_[0:3, 23:30]
    np.testing.assert_array_equal(got[others], clean[others])
    assert np.isnan(got[3:23]).all()


def test_a_compute_type_that_is_none_is_refused(kernels):
    count = len(COMPUTE_TYPES)
    message = rf"compute_type must be in \[0, {count}\), not {count}"
    with pytest.raises(ValueError, match=message):
        _core.Block(kernels, 8, 16, 2, 0, 1e-5, False, count)
