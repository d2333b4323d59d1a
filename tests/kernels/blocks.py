"""Blocks on both sides, native and NumPy, and ragged rows to run through them."""

from __future__ import annotations

import numpy as np
import pytest

from pyroberta import reference
from pyroberta.activations import ACTIVATIONS
from pyroberta.compute_types import COMPUTE_TYPES

_core = pytest.importorskip("pyroberta._core")

HIDDEN, WIDE, HEADS = 36, 100, 4  # head size 9, no width a multiple of 8


def make(
    rng, kernels, activation="gelu", hidden=HIDDEN, wide=WIDE, heads=HEADS, compute_type="float32"
):
    """One block for the build, and the same for the reference in float64."""
    index = ACTIVATIONS.index(activation)
    shapes = {
        "query_key_value": (3 * hidden, hidden),
        "attention_output": (hidden, hidden),
        "intermediate": (wide, hidden),
        "output": (hidden, wide),
    }
    native = _core.Block(
        kernels, hidden, wide, heads, index, 1e-5, False, COMPUTE_TYPES.index(compute_type)
    )
    fields = {}
    for name, (n, k) in shapes.items():
        weight = (rng.normal(size=(n, k)) * k**-0.5).astype(np.float32)
        bias = (rng.normal(size=n) * 0.1).astype(np.float32)
        native.set_linear(name, weight, bias)
        fields[name] = (weight.astype(np.float64), bias.astype(np.float64))
    for name in ("attention_norm", "output_norm"):
        gamma, beta = (rng.normal(1, 0.2, hidden).astype(np.float32) for _ in range(2))
        native.set_norm(name, gamma, beta)
        fields[name] = (gamma.astype(np.float64), beta.astype(np.float64))
    return native, reference.Block(heads, index, 1e-5, **fields, compute_type=compute_type)


def ragged(rng, lengths, hidden=HIDDEN):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return rng.normal(size=(offsets[-1], hidden)).astype(np.float32), offsets


def run(blocks, x, offsets, mask=None, causal=False, attentions=False):
    return _core.run_blocks(
        blocks,
        x,
        offsets,
        _core.Workspaces(),
        head_mask=mask,
        causal=causal,
        want_attentions=attentions,
    )
