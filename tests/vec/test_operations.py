"""The float32 operations of each build, by the words of csrc/vec/vec.h.

What every set has to give alike is held to NumPy's bits, so that the sets agree with each other
too. Every lane holds another number: one that went astray is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vec.numbers import (
    HARD,
    RNG,
    any_bits,
    arguments,
    assert_bits,
    fma_of,
    from_bits,
    near,
    same_bits,
    wide,
)

SIGN = np.uint32(0x80000000)


def bits(a: np.ndarray) -> np.ndarray:
    return a.view(np.uint32)


def choose(condition: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """np.where that keeps the bits of NaN."""
    return from_bits(np.where(condition, bits(yes), bits(no)))


# In NumPy; and whether the bits of NaN are kept.
LANE_BY_LANE: dict[str, tuple[Callable[..., Any], int, bool]] = {
    "hold": (lambda a: a, 1, True),
    "add": (np.add, 2, False),
    "sub": (np.subtract, 2, False),
    "mul": (np.multiply, 2, False),
    "div": (np.divide, 2, False),
    "max": (lambda a, b: choose(a > b, a, b), 2, True),
    "min": (lambda a, b: choose(a < b, a, b), 2, True),
    "where_less": (lambda a, b, yes, no: choose(a < b, yes, no), 4, True),
    "abs": (lambda a: from_bits(bits(a) & ~SIGN), 1, True),
    "copysign": (lambda a, b: from_bits(bits(a) & ~SIGN | bits(b) & SIGN), 2, True),
}


@pytest.mark.parametrize("operation", LANE_BY_LANE)
def test_lane_by_lane(vectors, operation):
    function, count, keeps_nan = LANE_BY_LANE[operation]
    rows = vectors.rows(*arguments(count))
    got = vectors.give(operation, *rows)
    assert_bits(got, function(*rows), any_nan=not keeps_nan)


def test_fma(vectors):
    a, b, c = vectors.rows(*arguments(3, most=20000))
    c = np.where(RNG.random(a.shape) < 0.5, c, -(a * b) * np.float32(1 + 2.0**-23))  # cancels
    once, twice = fma_of(a, b, c), a * b + c
    assert np.mean(same_bits(once, twice, any_nan=True)) < 0.9
    want = once if vectors.fuses else twice
    assert_bits(vectors.give("fma", a, b, c), want, any_nan=True)


def test_fma_where_a_sum_in_double_would_round_twice(vectors):
    if not vectors.fuses:
        pytest.skip("the scalar set on x86 rounds twice")
    # (1 + d) (1 - d) is 1 - d^2, and d^2 so small that a sum in double does not see it: what stands
    # a little below half way between two floats would become the half way itself.
    rng = np.random.default_rng(3)
    d = rng.integers(1, 300, 4096) * 2.0**-23
    c = (1 + rng.integers(0, 2**23, d.shape) * 2.0**-23).astype(np.float32)
    a, b = (1 + d).astype(np.float32), ((1 - d) * 2.0**-24).astype(np.float32)
    a, b, c = vectors.rows(a, b, c)
    assert np.mean((a.astype(np.float64) * b + c).astype(np.float32) != fma_of(a, b, c)) > 0.3
    # And the same where the result is subnormal, or nearly infinite.
    for scale in (1.0, 2.0**-100, 2.0**-110, 2.0**-126, 2.0**-130, 2.0**127):
        rows = a, (b * np.float32(scale)), (c * np.float32(scale))
        assert_bits(vectors.give("fma", *rows), fma_of(*rows))


def test_max_magnitude(vectors):
    a, b = vectors.rows(*arguments(2))
    a = from_bits(bits(a) & ~SIGN)
    want = from_bits(np.maximum(bits(a), bits(b) & ~SIGN))
    assert_bits(vectors.give("max_magnitude", a, b), want)


def test_flip_signs(vectors):
    a = any_bits(200, vectors.lanes)
    minus = RNG.integers(0, 2**32, len(a), np.uint64)  # the bits beyond the lanes are ignored
    minus[: vectors.lanes] = 1 << np.arange(vectors.lanes, dtype=np.uint64)
    lane = np.arange(vectors.lanes, dtype=np.uint64)
    turned = ((minus[:, None] >> lane & 1) << 31).astype(np.uint32)
    got = vectors.give("flip_signs", a, numbers=[int(m) for m in minus])
    assert_bits(got, from_bits(bits(a) ^ turned))


def test_round(vectors):
    halves = np.arange(-1000, 1000, dtype=np.float32) / 4
    large = np.float32(RNG.uniform(-(2.0**22), 2.0**22, 4000))
    (a,) = vectors.rows(np.concatenate([HARD, halves, large, near(1000)]))
    got = vectors.give("round", a)
    small = (np.abs(a) < 2.0**22) | ~np.isfinite(a)
    np.testing.assert_array_equal(got[small], np.rint(a)[small])  # zeros of either sign are equal


def test_scale_by_power(vectors):
    whole = np.arange(-252, 255, dtype=np.float32)
    a, n = np.meshgrid(np.concatenate([HARD, near(40), wide(40)]), whole, indexing="ij")
    a, n = vectors.rows(a, n)
    got = vectors.give("scale_by_power", a, n)
    exact = np.ldexp(a.astype(np.float64), n.astype(int))
    want = exact.astype(np.float32)
    assert np.array_equal(np.isnan(got), np.isnan(a))
    assert np.array_equal(np.signbit(got), np.signbit(want) | np.isnan(a) & np.signbit(got))
    subnormal = np.abs(exact) < 2.0**-126
    assert_bits(got[~subnormal], want[~subnormal], any_nan=True)
    assert np.all(np.abs(got.astype(np.float64) - exact)[subnormal] <= 2.0**-149)


def test_scale_by_power_keeps_nan_whatever_the_power_but_infinity(vectors):
    powers = np.concatenate([HARD[~np.isinf(HARD)], np.float32([255, -253, 1e9, 0.3])])
    n, a = vectors.rows(powers, np.full(powers.shape, np.nan))
    assert np.all(np.isnan(vectors.give("scale_by_power", a, n))[a != 1])


def test_a_power_that_is_not_defined_leaves_the_other_lanes_right(vectors):
    for lane in range(vectors.lanes):
        a, n = near(50, vectors.lanes), np.float32(RNG.integers(-20, 20, (50, vectors.lanes)))
        n[:, lane] = np.resize(HARD, 50)
        others = np.arange(vectors.lanes) != lane
        got = vectors.give("scale_by_power", a, n)[:, others]
        want = np.ldexp(a[:, others], n[:, others].astype(int))
        assert_bits(got, want)


def whole_vectors(lanes: int) -> np.ndarray:
    """Rows of all magnitudes, of about 1, of small whole numbers, and of hard ones."""
    small = RNG.integers(-9, 10, (100, lanes)).astype(np.float32)
    hard = RNG.choice(HARD, (1000, lanes))
    # One hard number among others, in each lane.
    single = np.repeat(near(len(HARD), 1, lanes), lanes, axis=1)
    single[:, np.arange(lanes), np.arange(lanes)] = HARD[:, None]
    single = single.reshape(-1, lanes)
    return np.concatenate([wide(300, lanes), near(300, lanes), small, hard, single])


def test_sum(vectors):
    a = whole_vectors(vectors.lanes)
    want = a
    while want.shape[1] > 1:
        half = want.shape[1] // 2
        want = want[:, :half] + want[:, half:]
    assert_bits(vectors.give("sum", a, each=1), want, any_nan=True)


def test_sum_of_four(vectors):
    a = whole_vectors(vectors.lanes)
    four = [np.roll(a, shift, axis=0) for shift in range(4)]
    want = np.stack([vectors.give("sum", one, each=1)[:, 0] for one in four], axis=1)
    assert_bits(vectors.give("sum_of_four", *four, each=4), want, any_nan=True)


def test_largest(vectors):
    a = whole_vectors(vectors.lanes)
    a = a[~np.isnan(a).any(axis=1)]
    assert set(a.argmax(axis=1)) == set(range(vectors.lanes))
    got = vectors.give("largest", a, each=1)
    np.testing.assert_array_equal(got[:, 0], a.max(axis=1))  # zeros of either sign are equal


def test_hadamard(vectors):
    a = whole_vectors(vectors.lanes)
    want = a
    stride = vectors.lanes // 2
    while stride:
        pairs = want.reshape(len(a), -1, 2, stride)
        first, second = pairs[:, :, 0], pairs[:, :, 1]
        want = np.stack([first + second, first - second], axis=2).reshape(a.shape)
        stride //= 2
    assert_bits(vectors.give("hadamard", a), want, any_nan=True)


def test_hadamard_is_sylvesters_matrix(vectors):
    matrix = np.ones((1, 1))
    while len(matrix) < vectors.lanes:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    a = np.eye(vectors.lanes, dtype=np.float32)
    np.testing.assert_array_equal(vectors.give("hadamard", a), matrix)
