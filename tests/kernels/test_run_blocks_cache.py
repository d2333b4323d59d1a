"""run_blocks with a cache and with cross attention: against float64, and bit by bit in steps."""

import numpy as np
import pytest
from kernels.blocks import HEADS, HIDDEN, WIDE, ragged, run
from kernels.decoder_blocks import SLOTS, empty_cache, make, run_native

from pyroberta import reference
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.run_options import CrossAttention, KeyValueCache, RunOptions

_core = pytest.importorskip("pyroberta._core")


def steps(rng, native, x, offsets, cuts):
    """The rows of x, appended to a cache in pieces that end at `cuts` of each row's length."""
    rows = len(offsets) - 1
    keys, values = empty_cache(rows)
    lengths = np.zeros(rows, np.int64)
    results = [[] for _ in range(rows)]
    for cut in [*cuts, 1.0]:
        ends = np.maximum(lengths, np.floor(np.diff(offsets) * cut).astype(np.int64))
        pieces = [x[offsets[r] + lengths[r] : offsets[r] + ends[r]] for r in range(rows)]
        at = np.concatenate([[0], np.cumsum(ends - lengths)])
        y, _, _ = run_native(native, np.concatenate(pieces), at, ([keys], [values], lengths))
        for r in range(rows):
            results[r].append(y[at[r] : at[r + 1]])
        lengths = ends
    return np.concatenate([piece for row in results for piece in row])


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_steps_give_the_bits_of_one_pass(kernels, rng, threads, compute_type):
    native, _ = make(rng, kernels, compute_type)
    x, offsets = ragged(rng, [1, 70, 9, 130])
    whole, _, _ = run_native(native, x, offsets)
    for cuts in [[], [0.5], [0.1, 0.11, 0.99], np.linspace(0, 1, 20)]:
        np.testing.assert_array_equal(steps(rng, native, x, offsets, cuts), whole)


def test_cache_and_cross_attention_agree_with_reference(kernels, rng):
    native, exact = make(rng, kernels)
    x, offsets = ragged(rng, [3, 0, 17])
    before = np.array([5, 2, 70])
    keys, values = (rng.normal(size=(3, SLOTS, HIDDEN)).astype(np.float32) for _ in range(2))
    encoder, encoder_offsets = ragged(rng, [66, 4])
    sources = np.array([1, 0, 0])
    mask = rng.uniform(0, 2, (1, HEADS)).astype(np.float32)

    kv64 = exact.cross_key_values(encoder.astype(np.float64))
    kv = native.cross_key_values(encoder)
    np.testing.assert_allclose(kv, kv64, atol=1e-5)
    want = reference.run_blocks(
        [exact],
        x.astype(np.float64),
        offsets,
        RunOptions(
            causal=True,
            want_attentions=True,
            cache=KeyValueCache([keys.astype(float)], [values.astype(float)], before),
            cross=CrossAttention([kv64], encoder_offsets, sources, mask),
        ),
    )
    got = run_native(
        native,
        x,
        offsets,
        ([keys], [values], before),
        ([kv], encoder_offsets, sources, mask),
        attentions=True,
    )
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_only_the_slots_of_the_new_tokens_are_written(kernels, rng):
    native, _ = make(rng, kernels)
    x, offsets = ragged(rng, [2, 1])
    keys, values = (rng.normal(size=(2, SLOTS, HIDDEN)).astype(np.float32) for _ in range(2))
    copies = keys.copy(), values.copy()
    run_native(native, x, offsets, ([keys], [values], np.array([4, 0])))
    for array, copy in zip((keys, values), copies, strict=True):
        changed = np.argwhere((array != copy).any(axis=2)).tolist()
        assert changed == [[0, 4], [0, 5], [1, 0]]


def test_a_row_with_an_empty_encoder_gets_the_bias_of_the_output(kernels, rng):
    native, exact = make(rng, kernels)
    x, offsets = ragged(rng, [2])
    kv = np.zeros((0, 2 * HIDDEN), np.float32)
    got, _, _ = run_native(native, x, offsets, None, ([kv], np.array([0, 0]), np.array([0]), None))
    cross = CrossAttention([kv.astype(float)], np.array([0, 0]), np.array([0]), None)
    options = RunOptions(causal=True, cross=cross)
    want, _, _ = reference.run_blocks([exact], x.astype(float), offsets, options)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": np.array([-1])}, "lengths must leave room"),
        ({"lengths": np.array([SLOTS - 1])}, "lengths must leave room"),
        ({"lengths": np.array([0, 0])}, r"lengths must be int64\[1\]"),
        ({"keys": []}, "cache must have keys and values for each block"),
        ({"keys": [np.zeros((1, SLOTS, 3), np.float32)]}, "keys must be"),
    ],
)
def test_a_cache_that_does_not_fit_is_refused(kernels, rng, change, message):
    native, _ = make(rng, kernels)
    x, offsets = ragged(rng, [2])
    keys, values = empty_cache(1)
    parts = {"keys": [keys], "values": [values], "lengths": np.array([0])} | change
    with pytest.raises(ValueError, match=message):
        run_native(native, x, offsets, tuple(parts.values()))


@pytest.mark.parametrize(
    ("offsets", "rows", "message"),
    [
        ([0, 9], [0], "offsets must end within key_values"),
        ([0, 3, 2], [0], "offsets must not fall"),
        ([0, 2], [1], r"rows must be in \[0, 1\), not 1"),
        ([0, 2], [0, 0], r"rows must be int64\[1\]"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(kernels, rng, offsets, rows, message):
    native, _ = make(rng, kernels)
    x, own = ragged(rng, [2])
    kv = np.zeros((4, 2 * HIDDEN), np.float32)
    cross = ([kv], np.array(offsets, np.int64), np.array(rows, np.int64), None)
    with pytest.raises(ValueError, match=message):
        run_native(native, x, own, None, cross)


def test_a_cache_is_never_copied_behind_the_callers_back(kernels, rng):
    # A float64 cache would have to be copied, and what was written to the copy would be lost.
    native, _ = make(rng, kernels)
    x, offsets = ragged(rng, [2])
    keys, values = empty_cache(1, np.float64)
    with pytest.raises(TypeError):
        run_native(native, x, offsets, ([keys], [values], np.array([0])))


def test_a_block_without_cross_attention_is_refused_it(kernels, rng):
    block = _core.Block(kernels, HIDDEN, WIDE, HEADS, 0, 1e-5)
    x, offsets = ragged(rng, [2])
    with pytest.raises(ValueError, match="block must have cross attention"):
        block.cross_key_values(x)
    kv = np.zeros((4, 2 * HIDDEN), np.float32)
    with pytest.raises(ValueError, match="block must have cross attention"):
        run_native(block, x, offsets, None, ([kv], np.array([0, 4]), np.array([0]), None))
    with pytest.raises(ValueError, match="linear layer of the block, not cross_query"):
        block.set_linear("cross_query", kv, kv[0])


def test_run_is_the_same_without_options(kernels, rng):
    native, _ = make(rng, kernels)
    x, offsets = ragged(rng, [5])
    np.testing.assert_array_equal(
        run([native], x, offsets, causal=True)[0], run_native(native, x, offsets)[0]
    )
