"""linear_rows: each build against float64, within the error that kernels.h promises."""

import numpy as np
import pytest

from pyroberta import reference

U = 2.0**-24
SHAPES = [
    (0, 5, 7), (1, 1, 1), (2, 2, 768), (1, 5, 17), (7, 3, 8), (6, 4, 33), (13, 9, 31),
    (97, 300, 64), (5, 257, 100), (3, 70, 1000),
]  # fmt: skip


def inputs(rng, rows, n, k):
    x = rng.normal(size=(rows, k)).astype(np.float32)
    weight = rng.normal(size=(n, k)).astype(np.float32)
    return x, weight, rng.normal(size=n).astype(np.float32)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("rows", "n", "k"), SHAPES)
def test_agrees_with_reference(kernels, rng, rows, n, k, with_bias):
    x, weight, bias = inputs(rng, rows, n, k)
    bias = bias if with_bias else None
    got = kernels.linear_rows(x, weight, bias)
    exact = (x.astype(np.float64), weight.astype(np.float64))
    want = reference.linear_rows(*exact, bias)
    products = np.abs(exact[0]) @ np.abs(exact[1]).T + (np.abs(bias) if with_bias else 0)
    assert got.shape == (rows, n)
    assert np.all(np.abs(got - want) <= (k / 16 + 12) * U * products)


def test_bits_of_a_row_do_not_depend_on_the_other_rows(kernels, rng, threads):
    x, weight, bias = inputs(rng, 100, 300, 45)
    together = kernels.linear_rows(x, weight, bias)
    for row in [0, 5, 6, 95, 96, 99]:
        np.testing.assert_array_equal(
            together[row : row + 1], kernels.linear_rows(x[row : row + 1], weight, bias)
        )


def test_reads_a_weight_that_is_not_aligned(kernels, rng):
    # As in a mapped file: on a 4-byte boundary and no better.
    x, weight, bias = inputs(rng, 3, 6, 20)
    raw = np.zeros(weight.size + 1, np.float32)
    raw[1:] = weight.ravel()
    moved = raw[1:].reshape(weight.shape)
    np.testing.assert_array_equal(
        kernels.linear_rows(x, moved, bias), kernels.linear_rows(x, weight, bias)
    )


def test_wrong_shapes_are_named(kernels, rng):
    x, weight, bias = inputs(rng, 2, 8, 4)
    with pytest.raises(ValueError, match=r"x must be float32\[-1, 4\], not float32\[2, 3\]"):
        kernels.linear_rows(x[:, :3].copy(), weight, bias)
