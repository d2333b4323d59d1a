"""linear in int8 where its sums are largest, and where scales are none or very uneven."""

import numpy as np
import pytest
from kernels.products import LINEAR, check, index, inputs

from pyroberta.compute_types import (
    INT8_GROUP,
    SIGNS,
    quantise_columns,
    quantise_rows,
    rotation_width,
)

_core = pytest.importorskip("pyroberta._core")

K = 4096
CODES = {
    "all 127": lambda at: np.full(K, 127.0),
    "all -127": lambda at: np.full(K, -127.0),
    "127 and -127 in turn": lambda at: np.where(at % 2, -127.0, 127.0),
    "pairs of them": lambda at: np.where(at // 2 % 2, -127.0, 127.0),
    "a half of each": lambda at: np.where(at % INT8_GROUP < INT8_GROUP // 2, -127.0, 127.0),
}


def turned_to(codes):
    """The row that has these codes, all 127 or -127: whole numbers, so that the turn is exact."""
    width = rotation_width(len(codes))
    x = codes.reshape(-1, width).copy()
    stride = 1
    while stride < width:  # the Hadamard matrix is its own inverse, but for the factor `width`
        pairs = x.reshape(-1, width // (2 * stride), 2, stride)
        x = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        stride *= 2
    return (x.reshape(-1, width) * SIGNS[:width]).reshape(-1).astype(np.float32)


@pytest.mark.parametrize("k", [K, INT8_GROUP, 64])
def test_codes_that_are_all_at_their_largest_neither_saturate_nor_overflow(kernels, k):
    """A pair of products is up to 32,258 and with 128 added to x 64,770: no int16 holds that."""
    rows = np.stack([codes(np.arange(K))[:k] for codes in CODES.values()])
    x = np.stack([turned_to(row) for row in rows])
    codes, scales = quantise_rows(x)
    columns, column_scales = quantise_columns(x)
    np.testing.assert_array_equal(codes, rows)
    np.testing.assert_array_equal(columns, rows)
    got = kernels.linear(x, _core.Packed(kernels, x, index("int8")), None, LINEAR)
    # All groups have one scale here: the whole sum of the products of codes is an integer.
    assert (scales == scales[0, 0]).all()
    sums = rows.astype(np.int64) @ rows.astype(np.int64).T
    assert sums.max() == k * 127 * 127
    want = sums * (scales[0, 0].astype(np.float64) * column_scales)
    # Each group's sum is exact, and so is all that is added where sums cancel.
    groups = -(-k // INT8_GROUP)
    allowed = (2 * groups + 8) * 2.0**-24 * k * 127 * 127 * scales[0, 0] * column_scales
    assert np.all(np.abs(got - want) <= allowed)
    check(kernels, "int8", x, x, None)


def test_weights_and_rows_of_zeros_give_the_bias(kernels, rng):
    x, weight, bias = inputs(rng, 9, 70, 900)
    weight[[0, 33, 69]] = 0
    x[4] = 0
    x[5, :INT8_GROUP] = 0  # a group of zeros, and the next not
    got = kernels.linear(x, _core.Packed(kernels, weight, index("int8")), bias, LINEAR)
    np.testing.assert_array_equal(got[:, [0, 33, 69]], np.tile(bias[[0, 33, 69]], (9, 1)))
    np.testing.assert_array_equal(got[4], bias)
    check(kernels, "int8", x, weight, bias)


@pytest.mark.parametrize("size", [1e3, 1e6, 1e30])
@pytest.mark.parametrize("k", [96, 768, 801, 1600])
def test_one_huge_number_is_held_to_the_same_bound(kernels, rng, k, size):
    x, weight, bias = inputs(rng, 6, 40, k)
    x[2, k // 3] = size
    weight[7, k - 1] = -size
    check(kernels, "int8", x, weight, bias)


def test_a_huge_number_takes_the_codes_of_its_own_group_alone(kernels, rng):
    # Of two rows that are equal in their first group, one is huge in its second: what the first
    # group adds has the same bits.
    x, weight, _ = inputs(rng, 2, 40, 2 * INT8_GROUP)
    x[1] = x[0]
    x[:, INT8_GROUP:] = 0
    x[1, INT8_GROUP] = 1e20
    weight[:, INT8_GROUP:] = 0
    packed = _core.Packed(kernels, weight, index("int8"))
    small, large = kernels.linear(x, packed, None, LINEAR)
    np.testing.assert_array_equal(small, large)


@pytest.mark.parametrize("largest", [1e-45, 1e-39, 2e-38, 3e-37, 1e-36])
def test_tiny_rows_and_weights_give_tiny_products(kernels, rng, largest):
    x, weight, _ = inputs(rng, 3, 20, 50)
    x[1], x[2] = 0, 0
    x[1, [3, 4]] = largest, -largest
    weight[5], weight[6] = 0, 0
    weight[5, [3, 4]] = largest, -largest
    got = kernels.linear(x, _core.Packed(kernels, weight, index("int8")), None, LINEAR)
    assert np.abs(got[1]).max() <= 1e-30
    assert np.abs(got[:, 5]).max() <= 1e-30
    assert not got[2].any()
    assert not got[:, 6].any()
