"""activate: each build against float64, each function within a bound of its own."""

import numpy as np
import pytest

from pyroberta import reference
from pyroberta.activations import ACTIVATIONS

U = 2.0**-24
TINY = float(np.finfo(np.float32).tiny)

# The error allowed, in units of u = 2^-24, as a function of the exact x and the exact y. Where an
# argument of exp is rounded, the error grows with the argument.
BOUNDS = {
    "linear": lambda x, y: 0 * y,
    "gelu": lambda x, y: 8 * (1 + x * x / 2) * np.abs(y),
    "gelu_clipped": lambda x, y: 8 * (1 + x * x / 2) * np.abs(y),
    "gelu_tanh": lambda x, y: 4 * (3 + np.abs(x) + np.abs(x) ** 3 / 10) * np.abs(y),
    "quick_gelu": lambda x, y: 4 * (3 + 2 * np.abs(x)) * np.abs(y),
    "relu": lambda x, y: 0 * y,
    "relu_squared": lambda x, y: np.abs(y),
    "relu6": lambda x, y: 0 * y,
    "leaky_relu": lambda x, y: 2 * np.abs(y),
    "tanh": lambda x, y: 8 * np.abs(y),
    "sigmoid": lambda x, y: 4 * (3 + np.abs(x)) * np.abs(y),
    "silu": lambda x, y: 4 * (3 + np.abs(x)) * np.abs(y),
    "hard_sigmoid": lambda x, y: 2 * (np.abs(0.2 * x) + 1),
    "hard_silu": lambda x, y: 4 * (np.abs(0.2 * x) + 1) * np.abs(x),
    "hard_swish": lambda x, y: 4 * (np.abs(x) + 3) * np.abs(x) / 6,
    "hard_tanh": lambda x, y: 0 * y,
    "softsign": lambda x, y: 4 * np.abs(y),
    "exp": lambda x, y: 4 * np.abs(y),
    "elu": lambda x, y: 4 * np.abs(y),
    "selu": lambda x, y: 6 * np.abs(y),
    "softplus": lambda x, y: 4 * (np.abs(y) + np.abs(np.minimum(x, 0)) * np.abs(y)),
    "log_sigmoid": lambda x, y: 4 * (np.abs(y) + np.maximum(x, 0) * np.abs(y)),
    "sqrt_softplus": lambda x, y: 4 * (np.abs(y) + np.abs(np.minimum(x, 0)) * np.abs(y)),
    "mish": lambda x, y: 8 * (2 + np.abs(x)) * np.abs(y),
    "laplace": lambda x, y: 16 * (2 + 8 * (np.abs(x) + 1) ** 2) * np.abs(y),
    "softmax": lambda x, y: 4 * (3 + np.ptp(x, axis=-1, keepdims=True)) * y,
    "log_softmax": lambda x, y: 6 * (np.abs(y) + np.abs(x) + 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_agrees_with_reference(kernels, rng, name):
    spread = np.concatenate([rng.normal(size=4000), rng.normal(size=2000) * 10])
    edges = np.array([0.0, -0.0, 1e-30, -1e-30, 0.625, -0.625, 3, -3, 6, -6, 14, -14, 20, -20])
    flat = np.concatenate([spread, edges, np.linspace(-12, 12, 4001)])
    x = flat[: len(flat) // 27 * 27].reshape(-1, 27).astype(np.float32)
    got = kernels.activate(ACTIVATIONS.index(name), x)
    exact = x.astype(np.float64)
    want = reference.activate(ACTIVATIONS.index(name), exact)
    inside = np.abs(want) < 3e38
    error = np.abs(got - want)[inside]
    # A factor below the smallest normal number is flushed to 0, and the rest can be up to 16.
    allowed = (U * BOUNDS[name](exact, want) + 16 * TINY)[inside]
    worst = int(np.argmax(error / allowed))
    assert error[worst] <= allowed[worst], (name, x[inside][worst], error[worst], allowed[worst])


@pytest.mark.parametrize("cols", [1, 2, 7, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("name", ["gelu", "softmax", "log_softmax", "mish"])
def test_every_tail_length_is_computed_and_nothing_beyond(kernels, rng, name, cols):
    x = rng.normal(size=(3, cols)).astype(np.float32)
    index = ACTIVATIONS.index(name)
    got = kernels.activate(index, x)
    want = reference.activate(index, x.astype(np.float64))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "gelu", "silu", "relu", "gelu_tanh"])
def test_nan_stays_nan_and_infinity_has_its_limit(kernels, name):
    index = ACTIVATIONS.index(name)
    y = kernels.activate(index, np.array([[np.nan, np.inf, 100.0]], np.float32))[0]
    limit = {"exp": np.inf, "tanh": 1.0, "sigmoid": 1.0}.get(name, np.inf)
    assert np.isnan(y[0])
    assert y[1] == limit
    if name not in ("exp", "tanh", "sigmoid"):
        assert y[2] == 100.0


def test_exp_is_exactly_zero_below_the_log_of_the_smallest_normal(kernels):
    exp = ACTIVATIONS.index("exp")
    below = np.array([[-87.34, -90.0, -103.0, -200.0, -1e30, -np.inf]], np.float32)
    assert not kernels.activate(exp, below).any()
    assert kernels.activate(exp, np.array([[-87.33]], np.float32))[0, 0] >= TINY
    assert kernels.activate(exp, np.array([[88.8, 1e30]], np.float32)).tolist() == [[np.inf] * 2]
    assert np.isfinite(kernels.activate(exp, np.array([[88.7]], np.float32))[0, 0])


def test_softmax_of_scores_far_apart_has_no_subnormal_weight(kernels, rng):
    x = np.zeros((1, 64), np.float32)
    x[0, 1:] = rng.uniform(-104, -80, 63)
    y = kernels.activate(ACTIVATIONS.index("softmax"), x)
    assert not ((y > 0) & (y < TINY)).any()
