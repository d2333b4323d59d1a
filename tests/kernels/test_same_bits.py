"""float32 has one answer: each build that fuses multiply-adds gives the bits of every other one.

Inputs have any bits of numbers but NaN, whose own bits are not promised, and infinities, which make
NaN of anything; what overflows on the way is compared as "not a number there".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builds import ISAS, fuses
from hypothesis import given, settings
from hypothesis import strategies as st
from support import runs_here

from pyroberta.activations import ACTIVATIONS

_core = pytest.importorskip("pyroberta._core")

# The slowest first: what every CPU of a processor has is what the others are held to.
HERE = [_core.find_kernels(isa) for isa in ISAS if runs_here(isa) and fuses(isa)]

pytestmark = pytest.mark.skipif(len(HERE) < 2, reason="one build alone runs here")

# Sizes around vectors, tiles, runs of K and blocks of keys.
sizes = st.one_of(st.integers(1, 40), st.integers(120, 140), st.integers(250, 300))


def examples(number: int) -> Any:
    return settings(max_examples=number, deadline=None, derandomize=True)


def draw(seed: int, *shape: int, spread: int = 0) -> np.ndarray[Any, Any]:
    """Numbers of either sign; with ``spread`` their exponents differ by so many bits."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=shape)
    if spread:
        numbers = numbers * 2.0 ** rng.integers(-spread, spread + 1, shape)
    return numbers.astype(np.float32)


def assert_one(call: Any) -> None:
    """``call(kernels)`` has the same bits with each build."""
    want = call(HERE[0])
    for kernels in HERE[1:]:
        got = call(kernels)
        same = (got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
        assert same.all(), (
            f"{kernels.isa} and {HERE[0].isa} differ at {np.argwhere(~same)[0]}: "
            f"{got[~same][0].hex()} and {want[~same][0].hex()}"
        )


seeds = st.integers(0, 2**32 - 1)
spreads = st.sampled_from([0, 3, 20, 60])
# Those of the C library alone, whose own bits differ from one to the next, are the same here too.
activations = st.sampled_from(
    [i for i, name in enumerate(ACTIVATIONS) if name not in ("softmax", "log_softmax")]
)


@examples(60)
@given(seeds, st.integers(1, 20), sizes, sizes, spreads, activations)
def test_products(seed, rows, n, k, spread, activation):
    x, w = draw(seed, rows, k, spread=spread), draw(seed + 1, n, k, spread=spread)
    bias = draw(seed + 2, n)
    assert_one(lambda kernels: kernels.linear(x, _core.Packed(kernels, w), bias, activation))
    assert_one(lambda kernels: kernels.linear_rows(x, w, bias))


@examples(80)
@given(seeds, st.integers(1, 6), sizes, spreads, st.booleans())
def test_norms(seed, rows, cols, spread, with_residual):
    x, residual = draw(seed, rows, cols, spread=spread), draw(seed + 1, rows, cols)
    gamma, beta = draw(seed + 2, cols), draw(seed + 3, cols)
    add = residual if with_residual else None
    assert_one(lambda kernels: kernels.layer_norm(x, add, gamma, beta, 1e-5))
    ids = np.arange(rows, dtype=np.int64)
    assert_one(
        lambda kernels: kernels.embeddings(
            x, residual[:1], residual, ids, np.zeros_like(ids), ids, gamma, beta, 1e-12
        )
    )


@examples(60)
@given(seeds, st.integers(1, 4), sizes, activations, st.sampled_from([0, 3, 20]))
def test_activations(seed, rows, cols, activation, spread):
    x = draw(seed, rows, cols, spread=spread) * np.float32(4)
    assert_one(lambda kernels: kernels.activate(activation, x))


@examples(60)
@given(seeds, st.integers(1, 144), sizes, st.integers(1, 80), st.data())
def test_attention(seed, queries, keys, head_size, data):
    visible = data.draw(st.integers(0, keys))
    spread = data.draw(st.sampled_from([0, 2, 4]))
    q, k, v = (
        draw(seed + i, n, head_size, spread=spread) for i, n in enumerate((queries, keys, keys))
    )
    scale = float(np.float32(1 / np.sqrt(head_size)))
    assert_one(lambda kernels: kernels.attention(q, k, v, visible, scale, 1.0))
    assert_one(lambda kernels: kernels.attention_weights(q, k, visible, scale, 1.0))
