"""A decoder's blocks on both sides, with a cache and cross attention."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.blocks import HEADS, HIDDEN, WIDE

from pyroberta import reference
from pyroberta.activations import ACTIVATIONS
from pyroberta.compute_types import COMPUTE_TYPES

_core = pytest.importorskip("pyroberta._core")

SLOTS = 140


def make(rng, kernels, compute_type="float32", activation="gelu"):
    """One block with cross attention for the build, and the same for the reference in float64."""
    f = ACTIVATIONS.index(activation)
    shapes = {
        "query_key_value": (3 * HIDDEN, HIDDEN),
        "attention_output": (HIDDEN, HIDDEN),
        "intermediate": (WIDE, HIDDEN),
        "output": (HIDDEN, WIDE),
        "cross_query": (HIDDEN, HIDDEN),
        "cross_key_value": (2 * HIDDEN, HIDDEN),
        "cross_output": (HIDDEN, HIDDEN),
    }
    native = _core.Block(
        kernels, HIDDEN, WIDE, HEADS, f, 1e-5, True, COMPUTE_TYPES.index(compute_type)
    )
    fields = {}
    for name, (n, k) in shapes.items():
        weight = (rng.normal(size=(n, k)) * k**-0.5).astype(np.float32)
        bias = (rng.normal(size=n) * 0.1).astype(np.float32)
        native.set_linear(name, weight, bias)
        fields[name] = (weight.astype(np.float64), bias.astype(np.float64))
    for name in ("attention_norm", "output_norm", "cross_norm"):
        gamma, beta = (rng.normal(1, 0.2, HIDDEN).astype(np.float32) for _ in range(2))
        native.set_norm(name, gamma, beta)
        fields[name] = (gamma.astype(np.float64), beta.astype(np.float64))
    return native, reference.Block(HEADS, f, 1e-5, **fields, compute_type=compute_type)


def empty_cache(rows, dtype=np.float32):
    """Keys and values of one block; NaN shows what is read before it is written."""
    return [np.full((rows, SLOTS, HIDDEN), np.nan, dtype) for _ in range(2)]


def run_native(block, x, offsets, cache=None, cross=None, attentions=False):
    return _core.run_blocks(
        [block],
        x,
        offsets,
        _core.Workspaces(),
        causal=True,
        want_attentions=attentions,
        cache=cache,
        cross=cross,
    )
