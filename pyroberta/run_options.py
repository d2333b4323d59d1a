"""How a run of blocks is run: what every backend's ``run_blocks`` is told besides its arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .arrays import Array, IntArray

# Classes that hold arrays are not compared: arrays are not equal or unequal as a whole. Python
# makes each method of a dataclass when it is imported, which is a good part of a start.


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dropout:
    """Sets entries to 0 at random and scales the others (Srivastava et al. 2014).

    Args:
        rng: where the draws come from.
        rate: of the embeddings and of each sub-layer's result.
        attention_rate: of the attention weights.
        classifier_rate: of a head's input.
    """

    rng: np.random.Generator
    rate: float
    attention_rate: float
    classifier_rate: float

    def __call__(self, x: Array, rate: float) -> Array:
        """``x``, each entry 0 with probability ``rate`` and else divided by ``1 - rate``."""
        if rate == 0:
            return x
        kept = self.rng.random(x.shape) >= rate
        return np.where(kept, x / (1 - rate), 0).astype(x.dtype, copy=False)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class KeyValueCache:
    """The keys and values of the tokens before, for some blocks and rows.

    Attributes:
        keys, values: for each block ``[rows, slots, hidden]``; the new tokens' are written to
            the slots from ``lengths`` on.
        lengths: int64 ``[rows]``: the slots filled before.
    """

    keys: Sequence[Array]
    values: Sequence[Array]
    lengths: IntArray

    def part(self, blocks: slice, rows: slice) -> KeyValueCache:
        """The same for some of the blocks and rows: nothing is copied."""
        return KeyValueCache(
            keys=[keys[rows] for keys in self.keys[blocks]],
            values=[values[rows] for values in self.values[blocks]],
            lengths=self.lengths[rows],
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CrossAttention:
    """What a decoder's rows attend to in an encoder's output.

    Attributes:
        key_values: for each block ``[encoder tokens, 2 hidden]``: its ``cross_key_values``.
        offsets: int64 ``[encoder rows + 1]``.
        rows: int64 ``[rows]``: the encoder row of each row.
        head_mask: ``[blocks, heads]`` or ``None``.
    """

    key_values: Sequence[Array]
    offsets: IntArray
    rows: IntArray
    head_mask: Array | None

    def part(self, blocks: slice, rows: slice) -> CrossAttention:
        """The same for some of the blocks and rows: nothing is copied."""
        return CrossAttention(
            key_values=self.key_values[blocks],
            offsets=self.offsets,
            rows=self.rows[rows],
            head_mask=None if self.head_mask is None else self.head_mask[blocks],
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunOptions:
    """How blocks are run; ``RunOptions`` of ``csrc/blocks/run_blocks.h``, and dropout.

    Attributes:
        head_mask: ``[blocks, heads]``, multiplies the heads' results, or ``None``.
        causal: a token attends to itself and those before it in its row, else to all of its row.
        want_attentions: give the attention weights too; for a single block.
        dropout: for training, on the reference kernels alone.
        cache: the tokens before these, which come first in each row; for causal blocks.
        cross: an encoder's output, attended to between a block's two halves.
    """

    head_mask: Array | None = None
    causal: bool = False
    want_attentions: bool = False
    dropout: Dropout | None = None
    cache: KeyValueCache | None = None
    cross: CrossAttention | None = None

    def part(self, blocks: slice, rows: slice) -> RunOptions:
        """The same for some of the blocks and rows."""
        return dataclasses.replace(
            self,
            head_mask=None if self.head_mask is None else self.head_mask[blocks],
            cache=None if self.cache is None else self.cache.part(blocks, rows),
            cross=None if self.cross is None else self.cross.part(blocks, rows),
        )
