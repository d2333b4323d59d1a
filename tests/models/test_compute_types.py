"""compute_types.py against plain definitions: bfloat16 by its bits, int8 by a matrix."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from pyroberta.compute_types import (
    COMPUTE_TYPES,
    INT8_GROUP,
    SIGNS,
    compute_type_of,
    quantise_columns,
    quantise_rows,
    rotate,
    rotation_width,
    round_bfloat16,
    round_split,
    rounded,
    rounded_weight,
)

CSRC = Path(__file__).parents[2] / "csrc"


def float32_of(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def nearest_bfloat16(bits: int) -> int:
    """The upper half of the bfloat16 nearest to the float32 with these bits, by distances."""
    x = float32_of(bits)
    if x != x:
        return bits >> 16 | 0x40  # a quiet NaN
    sign, below = bits >> 31, (bits & 0x7FFFFFFF) >> 16
    if below == 0x7F80:
        return bits >> 16

    def magnitude(half: int) -> float:
        return 2.0**128 if half == 0x7F80 else float32_of(half << 16)

    to_below, to_above = abs(x) - magnitude(below), magnitude(below + 1) - abs(x)
    up = to_above < to_below or (to_above == to_below and below % 2 == 1)
    return sign << 15 | (below + up)


def test_bfloat16_is_the_nearest_ties_to_even(rng):
    edges = [
        0x3F808000, 0x3F818000, 0xBF808000, 0xBF818000,  # ties, to even below and above
        0x3F807FFF, 0x3F808001, 0x3FFF8000, 0x3FFFFFFF,  # beside a tie; up to the next power
        0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0xFF7F8000, 0xFF7FFFFF,  # to the largest, to infinity
        0x7F800000, 0xFF800000, 0, 0x80000000, 1, 0x80000001, 0x8000, 0x8001, 0x18000, 0x007FFFFF,
        0x7F800001, 0xFF800001, 0x7F80FFFF, 0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FBFFFFF,  # NaN
    ]  # fmt: skip
    drawn = rng.integers(0, 1 << 32, 3000, dtype=np.uint32).tolist()
    ties = [bits & 0xFFFF0000 | 0x8000 for bits in drawn[:500]]
    bits = [*edges, *drawn, *ties]
    got = round_bfloat16(np.array(bits, np.uint32).view(np.float32)).view(np.uint32)
    assert not (got & 0xFFFF).any()
    assert (got >> 16).tolist() == [nearest_bfloat16(one) for one in bits]


def test_rounding_keeps_the_shape_and_leaves_the_input():
    x = np.arange(24, dtype=np.float32).reshape(4, 6).T / 7  # not contiguous
    before = x.copy()
    for function in (round_bfloat16, round_split):
        assert function(x).shape == x.shape
        assert function(x).dtype == np.float32
        np.testing.assert_allclose(function(x), x, rtol=2.0**-8)
    np.testing.assert_array_equal(x, before)


def test_a_split_number_is_within_a_17th_bit_and_made_of_two_bfloat16(rng):
    x = (rng.normal(size=20000) * 10.0 ** rng.integers(-20, 20, 20000)).astype(np.float32)
    split = round_split(x)
    assert np.all(np.abs(split.astype(np.float64) - x) <= 2.0**-17 * np.abs(x))
    np.testing.assert_array_equal(round_split(split), split)
    high = round_bfloat16(x)
    np.testing.assert_array_equal(round_split(high), high)
    low = split.astype(np.float64) - high
    np.testing.assert_array_equal(round_bfloat16(low.astype(np.float32)), low)
    assert np.isnan(round_split(np.array([np.nan], np.float32))).all()
    assert not np.isfinite(round_split(np.array([np.inf, -np.inf], np.float32))).any()


def sylvester(width: int) -> np.ndarray:
    """H of 1 is 1; of 2n it is [[H, H], [H, -H]]."""
    h = np.ones((1, 1))
    while len(h) < width:
        h = np.block([[h, h], [h, -h]])
    return h


@pytest.mark.parametrize(
    ("k", "width"),
    [(1, 1), (15, 1), (16, 16), (17, 1), (18, 1), (48, 16), (96, 32), (192, 64), (128, 128),
     (256, 128), (384, 128), (768, 128), (784, 16), (800, 32), (1000, 1), (3072, 128), (24, 1)],
)  # fmt: skip
def test_a_turn_is_sylvesters_matrix_and_its_product_the_same(rng, k, width):
    assert rotation_width(k) == width
    x = rng.integers(-99, 99, (5, k)).astype(np.float64)  # whole numbers: all sums are exact
    signs = SIGNS[:width] if width > 1 else np.ones(1)
    matrix = sylvester(width) * signs  # H s
    np.testing.assert_array_equal(matrix @ matrix.T, width * np.eye(width))
    want = (x.reshape(5, -1, width) @ matrix.T).reshape(5, k)
    np.testing.assert_array_equal(rotate(x), want)
    np.testing.assert_array_equal(rotate(x.astype(np.float32)), want)
    assert rotate(x.astype(np.float32)).dtype == np.float32
    weight = rng.integers(-99, 99, (7, k)).astype(np.float64)
    np.testing.assert_array_equal(rotate(x) @ rotate(weight).T, width * (x @ weight.T))


def test_the_signs_are_balanced_in_each_32():
    assert set(SIGNS.tolist()) == {1.0, -1.0}
    assert SIGNS.shape == (128,)
    assert not SIGNS.reshape(4, 32).sum(axis=1).any()


def test_types_groups_and_signs_are_those_of_the_kernels():
    header = (CSRC / "kernels.h").read_text()
    enum = re.search(r"enum class ComputeType : int \{(.*?)\}", header)
    assert enum
    assert (*COMPUTE_TYPES, "count") == tuple(re.findall(r"\w+", enum[1]))
    group = re.search(r"kInt8Group = (\d+);", header)
    assert group
    assert int(group[1]) == INT8_GROUP
    words = re.search(r"kSigns\[4\] = \{(.*?)\}", (CSRC / "kernels/rotation.inl").read_text())
    assert words
    bits = [int(word, 16) >> bit & 1 for word in words[1].split(",") for bit in range(32)]
    assert [1 - 2 * bit for bit in bits] == SIGNS.tolist()


@pytest.mark.parametrize("k", [0, 1, 17, 64, 100, 767, 768, 769, 1600, 3072])
def test_codes_are_the_nearest_and_the_largest_is_127(rng, k):
    x = (rng.normal(size=(9, k)) * 10.0 ** rng.integers(-9, 9, (9, 1))).astype(np.float32)
    x[3] = 0
    codes, scales = quantise_rows(x)
    groups = -(-k // INT8_GROUP)
    assert (codes.shape, scales.shape) == ((9, k), (9, groups))
    assert codes.dtype == scales.dtype == np.float32
    turned = rotate(x).astype(np.float64)
    for group in range(groups):
        part = slice(group * INT8_GROUP, (group + 1) * INT8_GROUP)
        scale = scales[:, group : group + 1].astype(np.float64)
        here = codes[:, part].astype(np.float64)
        np.testing.assert_array_equal(here, np.rint(here))
        assert np.abs(here).max(axis=1).tolist() == [127] * 3 + [0] + [127] * 5
        # Half a step, and the rounding of the scale and of its inverse at the code 127.
        off = np.abs(turned[:, part] - here * scale)
        assert np.all(off <= (0.5 + 127 * 2.0**-22) * scale)
    assert not codes[3].any()
    assert not scales[3].any()


@pytest.mark.parametrize("k", [17, 64, 800])
def test_codes_of_a_weight_have_one_scale_a_row_and_give_its_product(rng, k):
    weight = (rng.normal(size=(6, k)) * 10.0 ** rng.integers(-9, 9, (6, 1))).astype(np.float32)
    weight[2] = 0
    codes, scales = quantise_columns(weight)
    assert (codes.shape, scales.shape) == ((6, k), (6,))
    assert np.abs(codes).max(axis=1).tolist() == [127, 127, 0, 127, 127, 127]
    off = np.abs(rotate(weight.astype(np.float64)) - rotation_width(k) * scales[:, None] * codes)
    assert np.all(off <= (0.5 + 127 * 2.0**-22) * rotation_width(k) * scales[:, None])
    # What is turned on both sides is the product itself, but for the codes' half steps.
    x = rng.normal(size=(4, k))
    got = rotate(x) @ (codes.astype(np.float64) * scales[:, None]).T
    allowed = 0.51 * np.abs(rotate(x)).sum(axis=1, keepdims=True) * scales
    assert np.all(np.abs(got - x @ weight.T.astype(np.float64)) <= allowed)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinities_make_the_scale_of_their_group_nan(rng, value):
    x = rng.normal(size=(2, 1600)).astype(np.float32)
    clean = quantise_rows(x)[1]
    x[1, 800] = value
    codes, scales = quantise_rows(x)
    assert np.isnan(scales).tolist() == [[False] * 3, [False, True, False]]
    np.testing.assert_array_equal(scales[~np.isnan(scales)], clean[~np.isnan(scales)])
    assert np.isnan(quantise_columns(x)[1]).tolist() == [False, True]
    assert np.isfinite(codes[0]).all()


@pytest.mark.parametrize("largest", [1e-45, 1e-39, 2e-38, 3e-37, 1e-36])
def test_tiny_numbers_beside_zeros_stay_finite(largest):
    # 127 / largest is infinite below 3.7e-37, and that times 0 would be NaN.
    x = np.zeros((1, 17), np.float32)
    x[0, [3, 4]] = largest, -largest
    for function in (rounded, rounded_weight):
        np.testing.assert_allclose(function("int8", x), x, atol=1e-36)


@pytest.mark.parametrize("k", [768, 800, 801])
def test_one_large_number_costs_the_others_less_by_the_turn(rng, k):
    """As in activations of real models: one column of hundreds is 100 times the others."""
    x = rng.normal(size=(50, k))
    x[:, 77] *= 100
    weight = rng.normal(size=(40, k))
    exact = x @ weight.T

    def error(left, right):
        return np.abs(left @ right.T - exact).mean()

    step = np.abs(x).max(axis=1, keepdims=True) / 127
    plain = error(np.rint(x / step) * step, weight)
    ours = error(rounded("int8", x), rounded_weight("int8", weight))
    if rotation_width(k) == 1:
        assert ours > 0.9 * plain  # nothing is turned
    else:
        assert ours < 0.5 * plain


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounded_keeps_the_dtype_and_is_within_the_types_error(rng, compute_type, dtype):
    x = rng.normal(size=(6, 1600)).astype(dtype)
    weight = rng.normal(size=(20, 1600)).astype(dtype)
    left, right = rounded(compute_type, x), rounded_weight(compute_type, weight)
    assert left.dtype == right.dtype == dtype
    assert (left.shape, right.shape) == (x.shape, weight.shape)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    got = left.astype(np.float64) @ right.T.astype(np.float64)
    relative = {"float32": 0, "bfloat16x3": 2.0**-16, "bfloat16": 2.0**-7, "int8": 2.0**-6}
    size = np.abs(x).astype(np.float64) @ np.abs(weight).T.astype(np.float64)
    error = np.abs(got - exact)
    assert np.all(error <= relative[compute_type] * size + 1e-12)
    rounds = error.mean() > 1e-3 * relative[compute_type] * size.mean()
    assert rounds == (compute_type != "float32")


def test_what_heads_are_computed_in():
    assert [compute_type_of(one).head for one in COMPUTE_TYPES] == [
        "float32", "float32", "bfloat16", "bfloat16",
    ]  # fmt: skip
    assert compute_type_of("float64").head == "float64"
