"""linear: each build and compute type against float64, within the error that kernels.h promises."""

import numpy as np
import pytest
from kernels.products import GELU, LINEAR, check, index, inputs, splits

import pyroberta
from pyroberta import reference
from pyroberta.activations import ACTIVATIONS
from pyroberta.compute_types import COMPUTE_TYPES, INT8_GROUP, rounded

_core = pytest.importorskip("pyroberta._core")

# Rows around the register tile, AMX's blocks (16, 32) and the 96 rows of a task, columns around
# vectors, blocks and panels, K around the length of a run (128), of a stretch (768 words) and of a
# group (768 columns), around the pairs and fours of a word and their fill (32, 64), and the lengths
# of real models.
SHAPES = [
    (0, 5, 7), (1, 1, 1), (1, 64, 64), (2, 17, 3), (5, 63, 16), (6, 65, 33), (7, 16, 255),
    (13, 129, 128), (96, 31, 129), (97, 8, 300), (3, 130, 768), (2, 70, 1000), (1, 20, 3072),
    (8, 10, 0), (8, 100, 0), (4, 24, 2), (3, 9, 4), (5, 33, 5), (2, 40, 96), (3, 66, 1552),
    (2, 12, 1537),
    (15, 33, 40), (16, 34, 70), (17, 32, 64), (32, 97, 130), (33, 31, 31), (49, 160, 800),
]  # fmt: skip


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize(("rows", "n", "k"), SHAPES)
def test_agrees_with_reference(kernels, rng, rows, n, k, name):
    check(kernels, name, *inputs(rng, rows, n, k))


@pytest.mark.parametrize("name", COMPUTE_TYPES)
def test_agrees_with_reference_without_a_bias(kernels, rng, name):
    x, weight, _ = inputs(rng, 5, 33, 20)
    check(kernels, name, x, weight, None)


@pytest.mark.parametrize("name", COMPUTE_TYPES)
def test_agrees_with_reference_where_rows_and_columns_differ_in_size(kernels, rng, name):
    # A scale of another row or column, or of the whole array, would be far off.
    x, weight, bias = inputs(rng, 15, 70, 800)
    x *= 10.0 ** rng.integers(-9, 10, (15, 1)).astype(np.float32)
    x[:, INT8_GROUP:] *= 1000
    weight *= 10.0 ** rng.integers(-9, 10, (70, 1)).astype(np.float32)
    check(kernels, name, x, weight, bias)
    check(kernels, name, x, weight, None)


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize("k", [768, 4096])
def test_agrees_with_reference_where_all_products_are_alike(kernels, rng, k, name):
    # The worst that a sum can meet: it only grows, and each addition is rounded the same way.
    x = np.repeat(rng.uniform(1, 2, (33, 1)), k, axis=1).astype(np.float32)
    weight = np.repeat(rng.uniform(1, 2, (70, 1)), k, axis=1).astype(np.float32)
    check(kernels, name, x, weight, None)


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize("k", [1, 2, 3, 31, 33, 64, 65, 100, 130])
def test_each_number_of_k_meets_its_own(kernels, rng, k, name):
    # x is the identity: a product of the wrong two numbers of a pair or a four is in plain sight.
    weight = rng.normal(size=(19, k)).astype(np.float32)
    x = np.eye(k, dtype=np.float32)
    check(kernels, name, x, weight, None)
    if name == "bfloat16":
        got = kernels.linear(x, _core.Packed(kernels, weight, index(name)), None, LINEAR)
        np.testing.assert_array_equal(got, rounded(name, weight).T)


@pytest.mark.parametrize("name", COMPUTE_TYPES)
def test_activation_is_that_of_activate(kernels, rng, name):
    x, weight, bias = inputs(rng, 9, 70, 300)
    packed = _core.Packed(kernels, weight, index(name))
    plain = kernels.linear(x, packed, bias, LINEAR)
    for f, activation in enumerate(ACTIVATIONS):
        if "softmax" in activation:
            continue
        fused = kernels.linear(x, packed, bias, f)
        np.testing.assert_array_equal(fused, kernels.activate(f, plain), err_msg=activation)


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize("k", [64, 300, 768, 1000])
def test_bits_of_a_row_do_not_depend_on_the_other_rows(kernels, rng, threads, k, name):
    x, weight, bias = inputs(rng, 200, 150, k)
    packed = _core.Packed(kernels, weight, index(name))
    together = kernels.linear(x, packed, bias, GELU)
    for row in [0, 1, 5, 6, 15, 16, 31, 32, 95, 96, 191, 199]:
        alone = kernels.linear(x[row : row + 1], packed, bias, GELU)
        np.testing.assert_array_equal(together[row : row + 1], alone)


@pytest.mark.parametrize("rows", [1, 145, 433])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 70])
def test_every_column_is_computed_however_the_work_is_cut(
    kernels, rng, restored_threads, rows, count
):
    for n in [1, 65, 400, 1600]:
        x, weight, bias = inputs(rng, rows, n, 32)
        packed = _core.Packed(kernels, weight, index("float32"))
        pyroberta.set_num_threads(1)
        want = np.concatenate([kernels.linear(row[None], packed, bias, LINEAR) for row in x])
        x = np.ascontiguousarray(x[::-1])  # so that what the memory held before is not the answer
        pyroberta.set_num_threads(count)
        np.testing.assert_array_equal(kernels.linear(x, packed, bias, LINEAR), want[::-1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", COMPUTE_TYPES)
def test_nan_and_infinity_stay_in_their_row_and_in_their_column(kernels, rng, name, value):
    x, weight, bias = inputs(rng, 14, 70, 800)
    clean = kernels.linear(x, _core.Packed(kernels, weight, index(name)), bias, LINEAR)
    x[5, 700], weight[33, 20] = value, value
    got = kernels.linear(x, _core.Packed(kernels, weight, index(name)), bias, LINEAR)
    odd = np.zeros(got.shape, bool)
    odd[5] = odd[:, 33] = True
    assert not np.isfinite(got[odd]).any()
    assert np.isnan(got[odd]).all() or (name != "int8" and value == np.inf)
    np.testing.assert_array_equal(got[~odd], clean[~odd])


def test_bfloat16x3_is_float32_where_a_build_has_none(kernels, rng):
    if splits(kernels):
        pytest.skip(f"{kernels.isa} has bfloat16x3")
    x, weight, bias = inputs(rng, 7, 30, 200)
    whole, split = (
        kernels.linear(x, _core.Packed(kernels, weight, index(name)), bias, GELU)
        for name in ("float32", "bfloat16x3")
    )
    np.testing.assert_array_equal(split, whole)


def test_long_sums_are_closer_than_one_running_sum(kernels, rng):
    # What the runs are for: the error grows with their length, not with K.
    x, weight, bias = inputs(rng, 8, 64, 3072)
    got = kernels.linear(x, _core.Packed(kernels, weight), bias, LINEAR)
    want = reference.linear(*(a.astype(np.float64) for a in (x, weight, bias)), LINEAR)
    running = np.zeros_like(got)
    for i in range(3072):
        running += x[:, i : i + 1] * weight[:, i]
    running += bias
    assert np.abs(got - want).mean() < 0.4 * np.abs(running - want).mean()


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
