"""The backend in NumPy: ``reference.py`` in float64, float32, or with a type's rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import reference
from ..activations import activation_index
from ..arrays import Array, IntArray
from ..checkpoint import BlockTensors, Table, block_layers
from ..compute_types import compute_type_of
from ..config import RobertaConfig
from ..run_options import RunOptions
from .contract import HeadLinear, RunResult


class ReferenceKernels:
    """``reference.py`` in float64, in float32, or in float32 with another type's rounding."""

    backend = "reference"
    has_dropout = True
    family = None

    def __init__(self, compute_type: str) -> None:
        self.compute_type = compute_type
        self.dtype = np.dtype("float64" if compute_type == "float64" else "float32")

    def block(self, config: RobertaConfig, tensors: BlockTensors, cross: bool) -> reference.Block:
        linears, norms = block_layers(cross)
        pairs = {
            field: (
                tensors.joined(names, "weight", self.dtype),
                tensors.joined(names, "bias", self.dtype),
            )
            for field, names in (linears | {f: (n,) for f, n in norms.items()}).items()
        }
        return reference.Block(
            heads=config.num_attention_heads,
            activation=activation_index(config.activation),
            eps=config.layer_norm_epsilon,
            compute_type=self.compute_type,
            **pairs,
        )

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        options: RunOptions,
        out: Array | None = None,
    ) -> RunResult:
        if options.head_mask is not None:
            mask = options.head_mask.astype(self.dtype)
            options = dataclasses.replace(options, head_mask=mask)
        return reference.run_blocks(blocks, x, offsets, options, out)

    def embeddings(
        self,
        word: Table,
        type: Array,
        position: Table,
        ids: IntArray,
        types: IntArray,
        positions: IntArray,
        gamma: Array,
        beta: Array,
        eps: float,
    ) -> Array:
        rows = np.arange(len(ids))
        w, t, p = word.rows(ids, self.dtype), type[types], position.rows(positions, self.dtype)
        return reference.embeddings(w, t, p, rows, rows, rows, gamma, beta, eps)

    def linear_rows(self, x: Array, weight: Array, bias: Array | None) -> Array:
        return reference.linear_rows(x, weight, bias)

    def head_linear(self, weight: Table, bias: Array, packed: Array | None) -> HeadLinear:
        rounding, rows = compute_type_of(self.compute_type).head, len(bias)

        def call(x: Array) -> Array:
            # Piece by piece: the table in this dtype can be two gigabytes.
            piece = max(1, 2**24 // max(1, x.shape[1]))
            y = np.empty((len(x), rows), self.dtype)
            for at in range(0, rows, piece):
                end = min(at + piece, rows)
                part = weight.rows(slice(at, end), self.dtype)
                y[:, at:end] = reference.linear(x, part, bias[at:end], 0, rounding)
            return y

        return HeadLinear(call)

    def linear(self, x: Array, weight: Array, bias: Array) -> Array:
        return reference.linear(x, weight, bias, 0, self.compute_type)

    def attention(
        self, q: Array, k: Array, v: Array, visible: int, scale: float, head_weights: Array
    ) -> Array:
        factors = head_weights.astype(self.dtype)[:, None, None]
        return reference.attention(q, k, v, visible, scale, factors, self.compute_type)

    def attention_weights(
        self, q: Array, k: Array, visible: int, scale: float, head_weights: Array
    ) -> Array:
        factors = head_weights.astype(self.dtype)[:, None, None]
        return reference.attention_weights(q, k, visible, scale, 1.0) * factors

    def activate(self, activation: str, x: Array) -> Array:
        return reference.activate(activation_index(activation), x)

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        return reference.layer_norm(x, None, gamma, beta, eps)
