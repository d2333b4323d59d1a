"""linear: each build against float64, within the error that kernels.h promises."""

import numpy as np
import pytest

from pyroberta import _core, reference
from pyroberta.activations import ACTIVATIONS

U = 2.0**-24
RUN = 128  # kRun of kernels.h
LINEAR, GELU = ACTIVATIONS.index("linear"), ACTIVATIONS.index("gelu")
# Rows around the register tile and the 96 rows of a task, columns around vectors and panels,
# K around the length of a run (128) and of a stretch (768), and the lengths of real models.
SHAPES = [
    (0, 5, 7), (1, 1, 1), (1, 64, 64), (2, 17, 3), (5, 63, 16), (6, 65, 33), (7, 16, 255),
    (13, 129, 128), (96, 31, 129), (97, 8, 300), (3, 130, 768), (2, 70, 1000), (1, 20, 3072),
    (8, 10, 0),
]  # fmt: skip


def bound(x, weight, bias):
    products = np.abs(x.astype(np.float64)) @ np.abs(weight.astype(np.float64)).T + np.abs(bias)
    k = x.shape[1]
    return (min(k, RUN) + k / RUN + 8) * U * products + 1e-45


def inputs(rng, rows, n, k):
    x = rng.normal(size=(rows, k)).astype(np.float32)
    weight = rng.normal(size=(n, k)).astype(np.float32)
    return x, weight, rng.normal(size=n).astype(np.float32)


@pytest.mark.parametrize(("rows", "n", "k"), SHAPES)
def test_agrees_with_reference(kernels, rng, rows, n, k):
    x, weight, bias = inputs(rng, rows, n, k)
    got = kernels.linear(x, _core.Packed(kernels, weight), bias, LINEAR)
    want = reference.linear(*(a.astype(np.float64) for a in (x, weight, bias)), LINEAR)
    assert got.dtype == np.float32
    assert got.shape == (rows, n)
    assert np.all(np.abs(got - want) <= bound(x, weight, bias))


def test_agrees_with_reference_without_a_bias(kernels, rng):
    x, weight, bias = inputs(rng, 5, 33, 20)
    got = kernels.linear(x, _core.Packed(kernels, weight), None, LINEAR)
    want = reference.linear(x.astype(np.float64), weight.astype(np.float64), None, LINEAR)
    assert np.all(np.abs(got - want) <= bound(x, weight, 0 * bias))


def test_activation_is_that_of_activate(kernels, rng):
    x, weight, bias = inputs(rng, 9, 70, 300)
    packed = _core.Packed(kernels, weight)
    for index, name in enumerate(ACTIVATIONS):
        if "softmax" in name:
            continue
        plain = kernels.linear(x, packed, bias, LINEAR)
        fused = kernels.linear(x, packed, bias, index)
        np.testing.assert_array_equal(fused, kernels.activate(index, plain), err_msg=name)


@pytest.mark.parametrize("k", [64, 300, 768])
def test_bits_of_a_row_do_not_depend_on_the_other_rows(kernels, rng, threads, k):
    x, weight, bias = inputs(rng, 200, 150, k)
    packed = _core.Packed(kernels, weight)
    together = kernels.linear(x, packed, bias, GELU)
    for row in [0, 1, 5, 6, 95, 96, 199]:
        alone = kernels.linear(x[row : row + 1], packed, bias, GELU)
        np.testing.assert_array_equal(together[row : row + 1], alone)


def test_long_sums_are_closer_than_one_running_sum(kernels, rng):
    # What the runs are for: the error grows with their length, not with K.
    x, weight, bias = inputs(rng, 8, 64, 3072)
    got = kernels.linear(x, _core.Packed(kernels, weight), bias, LINEAR)
    exact = reference.linear(*(a.astype(np.float64) for a in (x, weight, bias)), LINEAR)
    running = np.zeros_like(got)
    for i in range(3072):
        running += x[:, i : i + 1] * weight[:, i]
    running += bias
    assert np.abs(got - exact).mean() < 0.4 * np.abs(running - exact).mean()


def test_wrong_shapes_are_named(kernels, rng):
    x, weight, bias = inputs(rng, 2, 8, 4)
    packed = _core.Packed(kernels, weight)
    with pytest.raises(ValueError, match=r"x must be float32\[-1, 4\], not float32\[2, 3\]"):
        kernels.linear(x[:, :3].copy(), packed, bias, LINEAR)
    with pytest.raises(ValueError, match=r"bias must be float32\[8\], not float32\[7\]"):
        kernels.linear(x, packed, bias[:7].copy(), LINEAR)
    with pytest.raises(ValueError, match="activation must be element-wise"):
        kernels.linear(x, packed, bias, ACTIVATIONS.index("softmax"))
    with pytest.raises(ValueError, match=r"activation must be in \[0, 27\), not 99"):
        kernels.linear(x, packed, bias, 99)
