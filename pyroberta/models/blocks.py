"""The blocks of a model in order, over a ragged batch: an encoder's, or a decoder's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ..arrays import Array, IntArray
from ..checkpoint import BlockTensors, Source
from ..config import RobertaConfig
from ..kernels import Kernels
from ..run_options import RunOptions

# Rows of the batch go through the blocks in groups of about this many tokens. That bounds the
# workspace (63 MB at roberta-base size), lets Ctrl-C in between, and is far above what the
# products need to run at full speed. No bit depends on it.
_GROUP_TOKENS = 4096


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BlocksResult:
    """What a pass through the blocks gives, on the ragged run of tokens.

    Attributes:
        last: ``[total, hidden]``.
        hidden_states: the input and each block's result, each ``[total, hidden]``, or ``None``.
        attentions, cross_attentions: each block's weights, flat, as ``reference.run_blocks``
            gives them, or ``None``.
    """

    last: Array
    hidden_states: list[Array] | None
    attentions: list[Array] | None
    cross_attentions: list[Array] | None


class Blocks:
    """The weights of all blocks, laid out for one kind of kernels.

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
        """Each block's bytes as the kernels use it, for a packed file."""
        return {f"encoder.layer.{n}": block.memory() for n, block in enumerate(self._blocks)}

    def cross_key_values(self, encoder_x: Array) -> list[Array]:
        """Each block's keys and values ``[total, 2 hidden]`` of ``[total, hidden]``."""
        return [block.cross_key_values(encoder_x) for block in self._blocks]

    def __call__(
        self,
        x: Array,
        offsets: IntArray,
        options: RunOptions,
        *,
        want_hidden_states: bool,
    ) -> BlocksResult:
        """Run ``x [total, hidden]`` through all blocks.

        Args:
            x: the embeddings, overwritten with the result unless something is wanted of the
                blocks between.
            offsets: int64 ``[rows + 1]``: where its rows begin.
            options: of all blocks and rows.
            want_hidden_states: keep each block's result.
        """
        count = len(self._blocks)
        # Where nobody looks between the blocks, one call runs them all.
        looking = want_hidden_states or options.want_attentions
        runs = [slice(n, n + 1) for n in range(count)] if looking else [slice(0, count)]
        hidden_states, attentions, cross_attentions = [x], [], []
        for run in runs:
            result, weights, cross_weights = np.empty_like(x) if looking else x, [], []
            for rows, begin, end in _groups(offsets):
                _, w, cross_w = self._kernels.run_blocks(
                    self._blocks[run],
                    x[begin:end],
                    offsets[rows.start : rows.stop + 1] - begin,
                    options.part(run, rows),
                    result[begin:end],
                )
                weights.append(w)
                cross_weights.append(cross_w)
            x = result
            hidden_states.append(x)
            attentions.append(_join(weights, x))
            cross_attentions.append(_join(cross_weights, x))
        wanted, crossed = options.want_attentions, options.cross is not None
        return BlocksResult(
            last=x,
            hidden_states=hidden_states if want_hidden_states else None,
            attentions=attentions if wanted else None,
            cross_attentions=cross_attentions if wanted and crossed else None,
        )


def _join(weights: list[Array | None], x: Array) -> Array:
    found = [w for w in weights if w is not None]
    return np.concatenate(found) if found else np.empty(0, x.dtype)


def _groups(offsets: IntArray) -> Iterator[tuple[slice, int, int]]:
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
