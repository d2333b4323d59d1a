"""layer_norm: each build against float64, within the error that kernels.h promises."""

import numpy as np
import pytest
from kernels.norms import EPS, bound

from pyroberta import reference

# Around the vector widths (1, 8, 16), so that every tail length of every build is taken,
# then the widths of real models.
COLS = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 768, 1024]


def inputs(rng, rows, cols, mean=0.0):
    x = rng.normal(mean, 1.0, (rows, cols)).astype(np.float32)
    residual = rng.normal(0.0, 1.0, (rows, cols)).astype(np.float32)
    gamma = rng.normal(1.0, 0.3, cols).astype(np.float32)
    beta = rng.normal(0.0, 0.3, cols).astype(np.float32)
    return x, residual, gamma, beta


@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize("rows", [0, 1, 3, 65])
@pytest.mark.parametrize("with_residual", [True, False])
def test_agrees_with_reference(kernels, rng, rows, cols, with_residual):
    x, residual, gamma, beta = inputs(rng, rows, cols)
    got = kernels.layer_norm(x, residual if with_residual else None, gamma, beta, EPS)
    # The sum is rounded to float32 before it is normalised: so is the reference's.
    z = x + residual if with_residual else x
    exact = (a.astype(np.float64) for a in (gamma, beta))
    want = reference.layer_norm(z.astype(np.float64), None, *exact, EPS)
    assert got.dtype == np.float32
    assert got.shape == (rows, cols)
    assert np.all(np.abs(got - want) <= bound(z, gamma, beta))


def test_keeps_its_digits_when_the_mean_dwarfs_the_spread(kernels, rng):
    x, residual, gamma, beta = inputs(rng, 4, 768, mean=1e4)
    got = kernels.layer_norm(x, residual, gamma, beta, EPS)
    want = reference.layer_norm((x + residual).astype(np.float64), None, gamma, beta, EPS)
    # The mean itself is known to half a float32 ulp of 1e4, about 5e-4 of a std.
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_a_constant_row_gives_beta(kernels, rng):
    _, _, gamma, beta = inputs(rng, 1, 20)
    got = kernels.layer_norm(np.full((1, 20), 3.0, np.float32), None, gamma, beta, 1e-12)
    np.testing.assert_allclose(got[0], beta, atol=1e-6)


def test_wrong_shape_is_named(kernels, rng):
    x, residual, gamma, beta = inputs(rng, 2, 8)
    with pytest.raises(ValueError, match=r"gamma must be float32\[8\], not float32\[7\]"):
        kernels.layer_norm(x, residual, gamma[:7].copy(), beta, EPS)
