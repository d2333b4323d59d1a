"""What is handed from step to step of a call: its checked arguments, and the encoded batch."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from ..arrays import Array, IntArray
from ..checks import check_flag
from ..config import RobertaConfig
from ..errors import InputError
from ..kernels import Kernels
from ..run_options import Dropout
from .blocks import Blocks, BlocksResult
from .embeddings import Embeddings
from .ragged import Ragged

# What the logits of an architecture choose: the word at a place, or the one after it; a label (or
# a number) of a row, or of each token; where an answer begins and ends; one of several texts.
Decides = Literal["nothing", "words", "next words", "label", "token labels", "span", "choice"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Parts:
    """A model's weights, laid out for one kind of kernels.

    Attributes:
        kernels: that compute with them.
        embeddings: ids to ``[total, hidden]``.
        blocks: ``[total, hidden]`` to the same.
        head: what the architecture's ``_load_head`` gave: ``[n, hidden]`` to logits, or ``None``.
    """

    kernels: Kernels
    embeddings: Embeddings
    blocks: Blocks
    head: Any


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Call:
    """The checked arguments of a call.

    Attributes:
        ragged: its tokens.
        head_mask: float64 ``[num_blocks, heads]`` or ``None``.
        want_hidden_states, want_attentions: what it asks for besides.
        first: int64 ``[batch]``, where each row's first token stands, for heads that read it.
        dropout: for training.
    """

    ragged: Ragged
    head_mask: Array | None
    want_hidden_states: bool
    want_attentions: bool
    first: IntArray | None
    dropout: Dropout | None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Encoded:
    """An encoded batch, and what a head needs to go on from it.

    Attributes:
        result: what the blocks gave, on the run of tokens of ``ragged``.
        first: int64 ``[batch]``, where each row's first token stands, for heads that read it.
    """

    config: RobertaConfig
    parts: Parts
    ragged: Ragged
    result: BlocksResult
    dropout: Dropout | None
    first: IntArray | None

    @property
    def first_hidden(self) -> Array:
        """The hidden state of each row's first token, ``[batch, hidden]``."""
        assert self.first is not None
        return np.ascontiguousarray(self.result.last[self.first])

    def looks(self) -> dict[str, Any]:
        """What every output has: hidden states and attentions, padded or ragged as the call was."""
        hidden, attentions = self.result.hidden_states, self.result.attentions
        heads = self.config.num_attention_heads
        scatter = self.ragged.scatter_attentions
        return {
            "offsets": self.ragged.offsets if self.ragged.places is None else None,
            "hidden_states": None if hidden is None else tuple(map(self.ragged.scatter, hidden)),
            "attentions": attentions and tuple(scatter(a, heads) for a in attentions),
        }


def read_dropout(
    config: RobertaConfig, training: bool, rng: np.random.Generator | None
) -> Dropout | None:
    """The dropout of a call in training, drawn from ``rng``. Raises InputError."""
    if not check_flag("training", training):
        if rng is not None:
            raise InputError("rng must be given with training=True, not without")
        return None
    if not isinstance(rng, np.random.Generator):
        raise InputError(f"rng must be a numpy.random.Generator for training, not {rng!r}")
    rate = config.classifier_dropout_rate
    return Dropout(
        rng,
        config.dropout_rate,
        config.attention_dropout_rate,
        config.dropout_rate if rate is None else rate,
    )
