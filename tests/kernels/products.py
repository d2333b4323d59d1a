"""What the tests of the products share: inputs, the exact result, and the error allowed of it."""

from __future__ import annotations

import numpy as np
import pytest

from pyroberta.activations import ACTIVATIONS
from pyroberta.compute_types import COMPUTE_TYPES, INT8_GROUP, rounded, rounded_weight

_core = pytest.importorskip("pyroberta._core")

U = 2.0**-24
RUN = 128  # kRun of kernels.h
LINEAR, GELU = ACTIVATIONS.index("linear"), ACTIVATIONS.index("gelu")


def index(name):
    return COMPUTE_TYPES.index(name)


def splits(kernels):
    """Whether the build has bfloat16x3; the others do float32 in its place."""
    x = np.full((1, 1), 1 + 2.0**-20, np.float32)
    return not np.array_equal(kernels.to_operand(index("bfloat16x3"), x), x)


def exact(kernels, name, x, weight, bias):
    """The result in float64 for the rounded ``x`` and ``weight``, and the error allowed of it."""
    if name == "bfloat16x3" and not splits(kernels):
        name = "float32"
    bias = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    x, weight = rounded(name, x.astype(np.float64)), rounded_weight(name, weight.astype(np.float64))
    total = np.abs(x) @ np.abs(weight).T + np.abs(bias)
    k = x.shape[1]
    runs = min(k, RUN) + k / RUN + 8
    allowed = {
        "float32": runs * U,
        "bfloat16x3": (3 * k + 8) * U + 2.0**-17,
        "bfloat16": (k + 8) * U,
        "int8": (2 * -(-k // INT8_GROUP) + 8) * U,
    }
    return x @ weight.T + bias, allowed[name] * total + 1e-45


def inputs(rng, rows, n, k):
    x = rng.normal(size=(rows, k)).astype(np.float32)
    weight = rng.normal(size=(n, k)).astype(np.float32)
    return x, weight, rng.normal(size=n).astype(np.float32)


def check(kernels, name, x, weight, bias):
    """Compute, and hold the result to the exact one."""
    got = kernels.linear(x, _core.Packed(kernels, weight, index(name)), bias, LINEAR)
    want, allowed = exact(kernels, name, x, weight, bias)
    assert got.dtype == np.float32
    assert got.shape == want.shape
    assert np.all(np.abs(got - want) <= allowed)
