"""The blocks in order, over a ragged batch; what a block needs; hidden states and attentions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Source
from .config import RobertaConfig
from .inputs import Ragged
from .kernels import Kernels
from .reference import Dropout

Array = NDArray[Any]
Shapes = dict[str, tuple[int, ...]]

# Rows of the batch go through the blocks in groups of about this many tokens. That bounds the
# workspace (63 MB at roberta-base size), lets Ctrl-C in between, and is far above what the
# products need to run at full speed. No bit depends on it.
_GROUP_TOKENS = 4096


def encoder_shapes(config: RobertaConfig) -> Shapes:
    """The tensors that ``Encoder`` reads."""
    hidden, wide = config.hidden_size, config.intermediate_size
    linears = {
        "attention.self.query": (hidden, hidden),
        "attention.self.key": (hidden, hidden),
        "attention.self.value": (hidden, hidden),
        "attention.output.dense": (hidden, hidden),
        "intermediate.dense": (wide, hidden),
        "output.dense": (hidden, wide),
    }
    shapes: Shapes = {}
    for block in range(config.num_blocks):
        for name, (n, k) in linears.items():
            shapes[f"encoder.layer.{block}.{name}.weight"] = (n, k)
            shapes[f"encoder.layer.{block}.{name}.bias"] = (n,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{block}.{name}.weight"] = (hidden,)
            shapes[f"encoder.layer.{block}.{name}.bias"] = (hidden,)
    return shapes


@dataclasses.dataclass(frozen=True)
class EncoderResult:
    """What a pass through the blocks gives, on the ragged run of tokens.

    Attributes:
        last: ``[total, hidden]``.
        hidden_states: the input and each block's result, or ``None``.
        attentions: each block's weights as ``reference.run_blocks`` gives them, or ``None``.
    """

    last: Array
    hidden_states: list[Array] | None
    attentions: list[Array] | None


class Encoder:
    """The blocks of a model.

    Args:
        config: their number and sizes.
        source: their weights, read once.
        kernels: what they are laid out for.
    """

    def __init__(self, config: RobertaConfig, source: Source, kernels: Kernels) -> None:
        self._kernels = kernels
        self._blocks = [
            kernels.block(config, lambda name, n=n: source.read(f"encoder.layer.{n}.{name}"))  # type: ignore[misc]
            for n in range(config.num_blocks)
        ]

    def __call__(
        self,
        x: Array,
        ragged: Ragged,
        *,
        head_mask: Array | None,
        want_hidden_states: bool,
        want_attentions: bool,
        dropout: Dropout | None = None,
    ) -> EncoderResult:
        """Run ``x [total, hidden]`` through all blocks.

        Args:
            x: the embeddings.
            ragged: where its rows begin.
            head_mask: ``[num_blocks, heads]`` or ``None``.
            want_hidden_states: keep each block's result.
            want_attentions: keep each block's attention weights.
            dropout: for training.
        """
        count = len(self._blocks)
        # Where nobody looks between the blocks, one call runs them all.
        looking = want_hidden_states or want_attentions
        runs = [(n, n + 1) for n in range(count)] if looking else [(0, count)]
        hidden_states, attentions = [x], []
        for first, last in runs:
            mask = None if head_mask is None else head_mask[first:last]
            blocks = self._blocks[first:last]
            result, weights = np.empty_like(x), []
            for begin, end, offsets in _groups(ragged.offsets):
                result[begin:end], w = self._kernels.run_blocks(
                    blocks, x[begin:end], offsets, mask, False, want_attentions, dropout
                )
                if w is not None:
                    weights.append(w)
            x = result
            if want_hidden_states:
                hidden_states.append(x)
            if want_attentions:
                attentions.append(np.concatenate(weights) if weights else x[:0].ravel())
        return EncoderResult(
            last=x,
            hidden_states=hidden_states if want_hidden_states else None,
            attentions=attentions if want_attentions else None,
        )


def _groups(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Whole rows, some ``_GROUP_TOKENS`` tokens at a time: begin, end, and offsets from 0."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        limit = offsets[first] + _GROUP_TOKENS
        last = max(first + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        begin, end = int(offsets[first]), int(offsets[last])
        if end > begin:
            yield begin, end, offsets[first : last + 1] - begin
        first = last
