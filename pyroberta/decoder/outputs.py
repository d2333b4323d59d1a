"""What a decoder's calls give; names are those of Hugging Face."""

from __future__ import annotations

import dataclasses

from ..arrays import Array
from ..models.outputs import ModelOutput
from .cache import Cache


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CausalLMOutput(ModelOutput):
    """What ``RobertaForCausalLM`` gives.

    Attributes:
        logits: ``[batch, tokens, vocab]`` of the next word, 0 where masked; ``[n, vocab]`` where
            the call named ``n`` ``logit_positions``.
        attentions: with a cache ``[batch, heads, tokens, longest]``: the keys are the attended
            tokens of the row from its first on, the cached ones before the call's.
        cross_attentions: ``num_blocks`` arrays ``[batch, heads, tokens, encoder tokens]``.
        cache: the cache for the next call, where this one had one.
    """

    logits: Array
    cross_attentions: tuple[Array, ...] | None = None
    cache: Cache | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EncoderDecoderOutput:
    """What a call of ``RobertaEncoderDecoder`` gives.

    Attributes:
        logits: of the decoder: ``[batch, decoder tokens, vocab]``, or ``[n, vocab]`` for ``n``
            ``logit_positions``.
        encoder_last_hidden_state: ``[batch, tokens, hidden of the decoder]``, as the decoder
            reads it; ``None`` where it came from the cache.
        decoder_hidden_states, decoder_attentions, cross_attentions: the decoder's, where asked.
        cache: for the next call, where this one had one.
    """

    logits: Array
    encoder_last_hidden_state: Array | None = None
    decoder_hidden_states: tuple[Array, ...] | None = None
    decoder_attentions: tuple[Array, ...] | None = None
    cross_attentions: tuple[Array, ...] | None = None
    cache: Cache | None = None
