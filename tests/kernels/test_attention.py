"""attention and attention_weights: each build against float64, within kernels.h's bounds."""

import numpy as np
import pytest

from pyroberta import reference
from pyroberta.compute_types import COMPUTE_TYPES

_core = pytest.importorskip("pyroberta._core")

TINY = float(np.finfo(np.float32).tiny)
# Queries around the register tile, keys around the block of 128, head sizes around vectors.
SHAPES = [
    (1, 1, 1), (1, 5, 8), (2, 63, 7), (3, 64, 16), (6, 65, 17), (7, 128, 64), (13, 129, 32),
    (144, 200, 24), (5, 300, 96), (4, 70, 128), (9, 127, 16), (6, 257, 64),
]  # fmt: skip
ALL = 1 << 40
TYPES = range(len(COMPUTE_TYPES))


def inputs(rng, queries, keys, head_size):
    q = rng.normal(size=(queries, head_size)).astype(np.float32)
    k = rng.normal(size=(keys, head_size)).astype(np.float32)
    v = rng.normal(size=(keys, head_size)).astype(np.float32)
    return q, k, v


def spread(q, k, scale):
    """S of kernels.h: the largest sum of absolute products of a score."""
    return (np.abs(q * scale).astype(np.float64) @ np.abs(k).astype(np.float64).T).max()


@pytest.mark.parametrize("visible", [ALL, 0, 1, 3, 60, 125])
@pytest.mark.parametrize(("queries", "keys", "head_size"), SHAPES)
def test_attention_agrees_with_reference(kernels, rng, queries, keys, head_size, visible):
    q, k, v = inputs(rng, queries, keys, head_size)
    scale = head_size**-0.5
    got = kernels.attention(q, k, v, visible, scale, 0.7)
    exact = [a.astype(np.float64) for a in (q, k, v)]
    want = reference.attention(*exact, visible, scale, 0.7)
    allowed = (8 + spread(q, k, scale) / 2) * 1e-6 * np.abs(v).max(axis=0) * 0.7 + TINY
    assert got.shape == want.shape
    assert np.all(np.abs(got - want) <= allowed)


@pytest.mark.parametrize("visible", [ALL, 0, 1, 3, 60, 125])
@pytest.mark.parametrize("compute_type", ["bfloat16", "int8"])
@pytest.mark.parametrize(("queries", "keys", "head_size"), SHAPES)
def test_rounded_attention_agrees_with_reference(
    kernels, rng, queries, keys, head_size, compute_type, visible
):
    q, k, v = inputs(rng, queries, keys, head_size)
    scale = head_size**-0.5
    got = kernels.attention(q, k, v, visible, scale, 0.7, COMPUTE_TYPES.index(compute_type))
    exact = [a.astype(np.float64) for a in (q, k, v)]
    want = reference.attention(*exact, visible, scale, 0.7, compute_type)
    allowed = (8 + spread(q, k, scale) / 2) * 1e-6 * np.abs(v).max(axis=0) * 0.7 + TINY
    error = np.abs(got - want)
    # A weight that float32 and float64 round to two neighbours is off by 2^-7 of itself at most,
    # and then it is at most half of all: about 1 in 10,000 is.
    assert np.all(error <= allowed + 2.0**-8 * np.abs(v).max(axis=0) * 0.7)
    assert np.sum((error > allowed).any(axis=1)) <= max(1, queries // 10)
    unrounded = reference.attention(*exact, visible, scale, 0.7)
    if visible and min(queries, keys) > 1:
        assert np.abs(got - unrounded).max() > 10 * error.mean()


@pytest.mark.parametrize("visible", [ALL, 0, 1, 60])
@pytest.mark.parametrize(("queries", "keys", "head_size"), SHAPES)
def test_attention_weights_agree_with_reference(kernels, rng, queries, keys, head_size, visible):
    q, k, _ = inputs(rng, queries, keys, head_size)
    scale = head_size**-0.5
    got = kernels.attention_weights(q, k, visible, scale, 1.5)
    exact = [a.astype(np.float64) for a in (q, k)]
    want = reference.attention_weights(*exact, visible, scale, 1.5)
    assert np.all(np.abs(got - want) <= (8 + spread(q, k, scale) / 2) * 1e-6 * want + TINY)


@pytest.mark.parametrize("compute_type", TYPES)
def test_no_key_gives_zeros(kernels, rng, compute_type):
    q, k, v = inputs(rng, 3, 0, 8)
    assert not kernels.attention(q, k, v, ALL, 1.0, 1.0, compute_type).any()


@pytest.mark.parametrize("compute_type", TYPES)
def test_a_later_key_changes_no_bit_of_an_earlier_query(kernels, rng, compute_type):
    # What lets a cache that grows step by step give what one pass gives.
    q, k, v = inputs(rng, 90, 150, 24)

    def attend(q, k, v, visible):
        return kernels.attention(q.copy(), k.copy(), v.copy(), visible, 0.2, 1.0, compute_type)

    whole = attend(q, k, v, 1)
    for keys in [1, 7, 64, 65, 89]:
        part = attend(q[:keys], k[:keys], v[:keys], 1)
        np.testing.assert_array_equal(part, whole[:keys])
    for first in [1, 5, 63, 64, 80]:
        np.testing.assert_array_equal(attend(q[first:], k, v, first + 1), whole[first:])


@pytest.mark.parametrize("compute_type", TYPES)
def test_large_scores_do_not_overflow(kernels, rng, compute_type):
    q, k, v = inputs(rng, 8, 130, 16)
    got = kernels.attention(q * 100, k * 100, v, ALL, 1.0, 1.0, compute_type)
    assert np.isfinite(got).all()
    assert (np.abs(got).max(axis=0) <= np.abs(v).max(axis=0) * 1.01).all()


@pytest.mark.parametrize("compute_type", TYPES)
def test_nan_in_one_query_stays_in_it(kernels, rng, compute_type):
    q, k, v = inputs(rng, 8, 70, 16)
    clean = kernels.attention(q, k, v, ALL, 0.25, 1.0, compute_type)
    q[3] = np.nan
    got = kernels.attention(q, k, v, ALL, 0.25, 1.0, compute_type)
    assert np.isnan(got[3]).all()
    others = [0, 1, 2, 4, 5, 6, 7]
    np.testing.assert_array_equal(got[others], clean[others])


def test_more_queries_than_a_call_takes_are_refused(kernels, rng):
    q, k, v = inputs(rng, _core.attention_queries + 1, 3, 8)
    with pytest.raises(ValueError, match="q must have at most 144 rows, not 145"):
        kernels.attention(q, k, v, ALL, 1.0, 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("compute_type", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize(("queries", "keys", "head_size"), [(7, 7, 16), (40, 300, 24), (9, 140, 7)])
def test_what_is_not_finite_reaches_no_query_that_does_not_see_it(
    kernels, rng, queries, keys, head_size, compute_type, value
):
    """Bit for bit what it is without; the queries that see it are not finite."""
    q, k, v = inputs(rng, queries, keys, head_size)
    visible = keys - queries + 1
    index = COMPUTE_TYPES.index(compute_type)
    wanted = kernels.attention(q, k, v, visible, 0.3, 1.0, index)
    for at in (keys - 1, keys - queries // 2, keys - queries + 1):
        bad_k, bad_v = k.copy(), v.copy()
        bad_k[at], bad_v[at] = value, value
        first = at - visible + 1  # the first query that sees it
        got = kernels.attention(q, bad_k, bad_v, visible, 0.3, 1.0, index)
        assert np.array_equal(got[:first], wanted[:first])
        assert not np.isfinite(got[first:]).any()
        exact = [a.astype(np.float64) for a in (q, bad_k, bad_v)]
        with np.errstate(invalid="ignore"):
            reached = reference.attention(*exact, visible, 0.3, 1.0, compute_type)
        assert np.isfinite(reached[:first]).all()
