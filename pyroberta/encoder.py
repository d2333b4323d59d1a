"""The blocks in order, over a ragged batch; what a block needs; hidden states and attentions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import BlockTensors, Source
from .config import RobertaConfig
from .kernels import Kernels
from .ragged import Ragged
from .reference import CrossAttention, Dropout, KeyValueCache

Array = NDArray[Any]
Shapes = dict[str, tuple[int, ...]]

# Rows of the batch go through the blocks in groups of about this many tokens. That bounds the
# workspace (63 MB at roberta-base size), lets Ctrl-C in between, and is far above what the
# products need to run at full speed. No bit depends on it.
_GROUP_TOKENS = 4096


def encoder_shapes(config: RobertaConfig, *, cross: bool = False) -> Shapes:
    """The tensors that ``Encoder`` reads; ``cross``: those of its cross attention too."""
    hidden, wide = config.hidden_size, config.intermediate_size
    linears = {"intermediate.dense": (wide, hidden), "output.dense": (hidden, wide)}
    norms = ["output.LayerNorm"]
    for attention in ("attention", "crossattention") if cross else ("attention",):
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            linears[f"{attention}.{name}"] = (hidden, hidden)
        norms.append(f"{attention}.output.LayerNorm")
    shapes: Shapes = {}
    for block in range(config.num_blocks):
        for name, (n, k) in linears.items():
            shapes[f"encoder.layer.{block}.{name}.weight"] = (n, k)
            shapes[f"encoder.layer.{block}.{name}.bias"] = (n,)
        for name in norms:
            shapes[f"encoder.layer.{block}.{name}.weight"] = (hidden,)
            shapes[f"encoder.layer.{block}.{name}.bias"] = (hidden,)
    return shapes


@dataclasses.dataclass(frozen=True)
class EncoderResult:
    """What a pass through the blocks gives, on the ragged run of tokens.

    Attributes:
        last: ``[total, hidden]``.
        hidden_states: the input and each block's result, or ``None``.
        attentions, cross_attentions: each block's weights as ``reference.run_blocks`` gives
            them, or ``None``.
    """

    last: Array
    hidden_states: list[Array] | None
    attentions: list[Array] | None
    cross_attentions: list[Array] | None


class Encoder:
    """The blocks of a model: of an encoder, or of a decoder.

    Args:
        config: their number and sizes.
        source: their weights, read once.
        kernels: what they are laid out for.
        cross: they have cross attention.
    """

    def __init__(
        self, config: RobertaConfig, source: Source, kernels: Kernels, *, cross: bool = False
    ) -> None:
        self._kernels = kernels
        self._blocks = [
            kernels.block(config, BlockTensors(source, n), cross) for n in range(config.num_blocks)
        ]

    def packed(self) -> dict[str, Array]:
        """Each block as the kernels use it, for a packed file."""
        return {f"encoder.layer.{n}": block.memory() for n, block in enumerate(self._blocks)}

    def cross_key_values(self, encoder_x: Array) -> list[Array]:
        """Each block's keys and values of an encoder's output ``[total, hidden]``."""
        return [block.cross_key_values(encoder_x) for block in self._blocks]

    def __call__(
        self,
        x: Array,
        ragged: Ragged,
        *,
        head_mask: Array | None,
        want_hidden_states: bool,
        want_attentions: bool,
        dropout: Dropout | None = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
        cross: CrossAttention | None = None,
    ) -> EncoderResult:
        """Run ``x [total, hidden]`` through all blocks.

        Args:
            x: the embeddings, overwritten with the result unless something is wanted of the
                blocks between.
            ragged: where its rows begin.
            head_mask: ``[num_blocks, heads]`` or ``None``.
            want_hidden_states: keep each block's result.
            want_attentions: keep each block's attention weights.
            dropout: for training.
            causal: no token attends to a later one.
            cache, cross: see ``reference.run_blocks``; of all blocks.
        """
        count = len(self._blocks)
        # Where nobody looks between the blocks, one call runs them all.
        looking = want_hidden_states or want_attentions
        runs = [(n, n + 1) for n in range(count)] if looking else [(0, count)]
        hidden_states, attentions, cross_attentions = [x], [], []
        for first, last in runs:
            result, weights, cross_weights = np.empty_like(x) if looking else x, [], []
            for rows, begin, end in _groups(ragged.offsets):
                _, w, cross_w = self._kernels.run_blocks(
                    self._blocks[first:last],
                    x[begin:end],
                    ragged.offsets[rows.start : rows.stop + 1] - begin,
                    None if head_mask is None else head_mask[first:last],
                    causal,
                    want_attentions,
                    dropout,
                    None if cache is None else _part_of_cache(cache, first, last, rows),
                    None if cross is None else _part_of_cross(cross, first, last, rows),
                    result[begin:end],
                )
                weights.append(w)
                cross_weights.append(cross_w)
            x = result
            hidden_states.append(x)
            attentions.append(_join(weights, x))
            cross_attentions.append(_join(cross_weights, x))
        return EncoderResult(
            last=x,
            hidden_states=hidden_states if want_hidden_states else None,
            attentions=attentions if want_attentions else None,
            cross_attentions=cross_attentions if want_attentions and cross is not None else None,
        )


def _join(weights: list[Array | None], x: Array) -> Array:
    found = [w for w in weights if w is not None]
    return np.concatenate(found) if found else np.empty(0, x.dtype)


def _part_of_cache(cache: KeyValueCache, first: int, last: int, rows: slice) -> KeyValueCache:
    return KeyValueCache(
        keys=[keys[rows] for keys in cache.keys[first:last]],
        values=[values[rows] for values in cache.values[first:last]],
        lengths=cache.lengths[rows],
    )


def _part_of_cross(cross: CrossAttention, first: int, last: int, rows: slice) -> CrossAttention:
    return CrossAttention(
        key_values=cross.key_values[first:last],
        offsets=cross.offsets,
        rows=cross.rows[rows],
        head_mask=None if cross.head_mask is None else cross.head_mask[first:last],
    )


def _groups(offsets: NDArray[np.int64]) -> Iterator[tuple[slice, int, int]]:
    """Whole rows, some ``_GROUP_TOKENS`` tokens at a time: the rows, and their tokens' span."""
    first, rows = 0, len(offsets) - 1
    if 0 < offsets[-1] <= _GROUP_TOKENS:
        yield slice(0, rows), 0, int(offsets[-1])
        return
    while first < rows:
        limit = offsets[first] + _GROUP_TOKENS
        last = max(first + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        begin, end = int(offsets[first]), int(offsets[last])
        if end > begin:
            yield slice(first, last), begin, end
        first = last
