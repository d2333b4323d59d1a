"""The backend that calls the compiled extension, on the build for this CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..activations import activation_index
from ..arrays import Array, IntArray
from ..checkpoint import BlockTensors, Table, block_layers
from ..compute_types import COMPUTE_TYPES, compute_type_of
from ..config import RobertaConfig
from ..errors import CheckpointError, InputError
from ..run_options import RunOptions
from .contract import HeadLinear, RunResult
from .extension import chosen_isa

# The tokens whose rows of a table are widened to float32 at a time: those of all would be as much
# as their hidden states, for each table.
_WIDENED = 256


class NativeKernels:
    """The compiled extension, on the build for this CPU."""

    backend = "native"
    has_dropout = False

    def __init__(self, compute_type: str) -> None:
        self.compute_type = compute_type
        self.dtype = np.dtype(np.float32)
        isa = chosen_isa()
        # By the import statement and not by core(): so it is typed by its stub.
        from .. import _core

        kernels = _core.find_kernels(isa)
        assert kernels is not None  # chosen_isa names one that runs here
        self._kernels = kernels
        self._make_block, self._make_packed = _core.Block, _core.Packed
        self._run_blocks, self._workspaces = _core.run_blocks, _core.Workspaces()
        self._type = COMPUTE_TYPES.index(compute_type)
        self._queries = _core.attention_queries

    def block(self, config: RobertaConfig, tensors: BlockTensors, cross: bool) -> Any:
        packed = tensors.packed()
        try:
            block = self._make_block(
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
            except OSError:  # read again, which says of which tensor and file it is
                block.set_linear(field, tensors.joined(names, "weight", self.dtype), bias)
            tensors.check_unchanged(names)
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
        cache_arrays = cross_arrays = None
        if cache is not None:
            cache_arrays = list(cache.keys), list(cache.values), cache.lengths
        if cross is not None:
            mask = _float32_mask(cross.head_mask)
            cross_arrays = list(cross.key_values), cross.offsets, cross.rows, mask
        return self._run_blocks(
            list(blocks),
            x,
            offsets,
            self._workspaces,
            head_mask=_float32_mask(options.head_mask),
            causal=options.causal,
            want_attentions=options.want_attentions,
            cache=cache_arrays,
            cross=cross_arrays,
            out=out,
        )

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
        places, positions = _float32_span(position, positions)

        def embed(at: slice) -> Array:
            words, own_ids = _float32_rows(word, ids[at])
            return self._kernels.embeddings(
                words, type, places, own_ids, types[at], positions[at], gamma, beta, eps
            )

        if len(ids) <= _WIDENED or word.is_float32:
            return embed(slice(None))
        x = np.empty((len(ids), type.shape[1]), np.float32)
        for begin in range(0, len(ids), _WIDENED):
            x[begin : begin + _WIDENED] = embed(slice(begin, begin + _WIDENED))
        return x

    def linear_rows(self, x: Array, weight: Array, bias: Array | None) -> Array:
        return self._kernels.linear_rows(x, weight, bias)

    def head_linear(self, weight: Table, bias: Array, packed: Array | None) -> HeadLinear:
        compute_type, (rows, columns) = compute_type_of(self.compute_type).head, weight.shape
        if compute_type == "float32":
            return HeadLinear(lambda x: self.linear_rows(x, weight.array(), bias))
        index = COMPUTE_TYPES.index(compute_type)
        if packed is None:
            matrix = self._make_packed(self._kernels, weight.rows(slice(None)), index)
        else:
            try:
                matrix = self._make_packed(self._kernels, packed, rows, columns, index)
            except ValueError as error:
                raise CheckpointError(
                    f"the packed language-model head must be {[rows, columns]}: {error}"
                ) from None

        def call(x: Array) -> Array:
            return self._kernels.linear(x, matrix, bias, 0)

        return HeadLinear(call, matrix.memory())

    def linear(self, x: Array, weight: Array, bias: Array) -> Array:
        return self._kernels.linear(
            x, self._make_packed(self._kernels, weight, self._type), bias, 0
        )

    def attention(
        self, q: Array, k: Array, v: Array, visible: int, scale: float, head_weights: Array
    ) -> Array:
        y = np.empty(q.shape, np.float32)
        for head, some, sees in self._query_blocks(q, visible):
            own_q, own_k, own_v = map(np.ascontiguousarray, (q[head, some], k[head], v[head]))
            y[head, some] = self._kernels.attention(
                own_q, own_k, own_v, sees, scale, head_weights[head], self._type
            )
        return y

    def attention_weights(
        self, q: Array, k: Array, visible: int, scale: float, head_weights: Array
    ) -> Array:
        y = np.empty((*q.shape[:2], k.shape[1]), np.float32)
        for head, some, sees in self._query_blocks(q, visible):
            own_q, own_k = np.ascontiguousarray(q[head, some]), np.ascontiguousarray(k[head])
            y[head, some] = self._kernels.attention_weights(
                own_q, own_k, sees, scale, head_weights[head]
            )
        return y

    def _query_blocks(self, q: Array, visible: int) -> Iterator[tuple[int, slice, int]]:
        """Each head, the queries that the kernels take at once, and what the first of them sees."""
        for head in range(len(q)):
            for begin in range(0, q.shape[1], self._queries):
                yield head, slice(begin, begin + self._queries), visible + begin

    @property
    def family(self) -> str:
        return layout_family(self._kernels, self.compute_type)

    def activate(self, activation: str, x: Array) -> Array:
        return self._kernels.activate(activation_index(activation), x)

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        return self._kernels.layer_norm(x, None, gamma, beta, eps)


def layout_family(build: Any, compute_type: str) -> str:
    """``NativeKernels.family`` of one of the extension's builds, in use or not."""
    whole = compute_type == "bfloat16x3" and not build.has_bfloat16x3
    stored = "float32" if whole else compute_type
    by_two = stored in ("bfloat16", "int8") and build.together == 2
    return f"{stored} in panels of {build.panel}{', words by two' if by_two else ''}"


def _float32_mask(mask: Array | None) -> Array | None:
    return None if mask is None else np.ascontiguousarray(mask, np.float32)


def _float32_rows(table: Table, ids: IntArray) -> tuple[Array, IntArray]:
    """A float32 table and the indices into it that stand for ``ids``.

    Each row that is asked for is widened once: texts repeat their words.
    """
    if table.is_float32:
        return table.array(), ids
    unique, places = np.unique(ids, return_inverse=True)
    return table.rows(unique), places


def _float32_span(table: Table, ids: IntArray) -> tuple[Array, IntArray]:
    """The same for indices that are near each other, as the positions of many rows are."""
    if len(ids) and not table.is_float32:
        first, last = int(ids.min()), int(ids.max())
        if last - first < len(ids):
            return table.rows(slice(first, last + 1)), ids - first
    return _float32_rows(table, ids)
