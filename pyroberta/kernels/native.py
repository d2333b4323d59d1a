"""The backend that calls the compiled extension, on the build for this CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..activations import activation_index
from ..arrays import Array, IntArray
from ..checkpoint import BlockTensors, Table, block_layers
from ..compute_types import COMPUTE_TYPES, head_type
from ..config import RobertaConfig
from ..errors import CheckpointError, InputError
from ..run_options import RunOptions
from .contract import HeadLinear, RunResult
from .extension import chosen_isa, core


class NativeKernels:
    """The compiled extension, on the build for this CPU."""

    backend = "native"
    has_dropout = False

    def __init__(self, compute_type: str) -> None:
        self.compute_type = compute_type
        self.dtype = np.dtype(np.float32)
        self._core = core()
        self._kernels = self._core.find_kernels(chosen_isa())
        self._type = COMPUTE_TYPES.index(compute_type)
        self._workspaces = self._core.Workspaces()

    def block(self, config: RobertaConfig, tensors: BlockTensors, cross: bool) -> Any:
        packed = tensors.packed()
        try:
            block = self._core.Block(
                self._kernels,
                config.hidden_size,
                config.intermediate_size,
                config.num_attention_heads,
                activation_index(config.activation),
                config.layer_norm_epsilon,
                cross,
                self._type,
                packed,
            )
        except ValueError as error:  # of a packed file that says other sizes of itself than it has
            raise CheckpointError(
                f"{tensors.name} must be packed with hidden_size {config.hidden_size}, "
                f"intermediate_size {config.intermediate_size} and "
                f"{'a' if cross else 'no'} cross attention: {error}"
            ) from None
        if packed is not None:
            return block
        linears, norms = block_layers(cross)
        for field, names in linears.items():
            bias = tensors.joined(names, "bias", self.dtype)
            places = tensors.in_files(names)
            if places is None:
                block.set_linear(field, tensors.joined(names, "weight", self.dtype), bias)
                continue
            # Straight from the file into the packed layout: no copy of the weight in between.
            try:
                block.read_linear(field, places, bias)
            except OSError as error:
                raise CheckpointError(f"checkpoint must hold all of {names}: {error}") from None
        for field, name in norms.items():
            gamma = tensors.read(f"{name}.weight", self.dtype)
            block.set_norm(field, gamma, tensors.read(f"{name}.bias", self.dtype))
        return block

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        options: RunOptions,
        out: Array | None = None,
    ) -> RunResult:
        if options.dropout is not None:
            raise InputError("training must run on the reference kernels")
        cache, cross = options.cache, options.cross
        result: RunResult = self._core.run_blocks(
            list(blocks),
            x,
            offsets,
            _float32_mask(options.head_mask),
            options.causal,
            options.want_attentions,
            self._workspaces,
            None if cache is None else (list(cache.keys), list(cache.values), cache.lengths),
            None
            if cross is None
            else (
                list(cross.key_values),
                cross.offsets,
                cross.rows,
                _float32_mask(cross.head_mask),
            ),
            out,
        )
        return result

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
        words, ids = _float32_rows(word, ids)
        places, positions = _float32_rows(position, positions)
        y: Array = self._kernels.embeddings(
            words, type, places, ids, types, positions, gamma, beta, eps
        )
        return y

    def linear_rows(self, x: Array, weight: Array, bias: Array | None) -> Array:
        y: Array = self._kernels.linear_rows(x, weight, bias)
        return y

    def head_linear(self, weight: Table, bias: Array, packed: Array | None) -> HeadLinear:
        compute_type = head_type(self.compute_type)
        if compute_type == "float32":
            return HeadLinear(lambda x: self.linear_rows(x, weight.array(), bias))
        index = COMPUTE_TYPES.index(compute_type)
        if packed is None:
            matrix = self._core.Packed(self._kernels, weight.rows(slice(None)), index)
        else:
            try:
                matrix = self._core.Packed(self._kernels, packed, *weight.shape, index)
            except ValueError as error:
                raise CheckpointError(
                    f"the packed language-model head must be {list(weight.shape)}: {error}"
                ) from None

        def call(x: Array) -> Array:
            y: Array = self._kernels.linear(x, matrix, bias, 0)
            return y

        return HeadLinear(call, matrix.memory())

    @property
    def family(self) -> str:
        return layout_family(self._kernels, self.compute_type)

    def activate(self, activation: str, x: Array) -> Array:
        y: Array = self._kernels.activate(activation_index(activation), x)
        return y

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        y: Array = self._kernels.layer_norm(x, None, gamma, beta, eps)
        return y


def layout_family(build: Any, compute_type: str) -> str:
    """``NativeKernels.family`` of one of the extension's builds, in use or not."""
    whole = compute_type == "bfloat16x3" and not build.has_bfloat16x3
    return f"{'float32' if whole else compute_type} in panels of {build.panel}"


def _float32_mask(mask: Array | None) -> Array | None:
    return None if mask is None else np.ascontiguousarray(mask, np.float32)


def _float32_rows(table: Table, ids: IntArray) -> tuple[Array, IntArray]:
    """A float32 table and the indices into it that stand for ``ids``."""
    if table.is_float32:
        return table.array(), ids
    return table.rows(ids), np.arange(len(ids))
