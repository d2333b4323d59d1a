"""What a model call gives: frozen dataclasses of NumPy arrays.

Names are those of Hugging Face. What was not asked for, or does not exist, is ``None``. Arrays
have the dtype of the compute type's results: float32, or float64 from the float64 reference.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from .decoder import Cache

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelOutput:
    """What every model gives.

    Attributes:
        hidden_states: ``num_blocks + 1`` arrays ``[batch, tokens, hidden]``: the embeddings and
            each block's result; 0 at masked places. The last is ``last_hidden_state``, and where
            nothing is masked the two share their memory.
        attentions: ``num_blocks`` arrays ``[batch, heads, queries, keys]``: the attention weights
            after the head mask; 0 in masked rows and columns.
    """

    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BaseModelOutput(ModelOutput):
    """What ``RobertaModel`` gives.

    Attributes:
        last_hidden_state: ``[batch, tokens, hidden]``, the last block's result; 0 where masked.
        pooler_output: ``[batch, hidden]``, ``tanh`` of a linear layer of the first token, or
            ``None`` where the checkpoint has no pooler.
    """

    last_hidden_state: Array
    pooler_output: Array | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MaskedLMOutput(ModelOutput):
    """What ``RobertaForMaskedLM`` gives.

    Attributes:
        logits: ``[batch, tokens, vocab]``, 0 where masked; ``[n, vocab]`` where the call named
            ``n`` ``logit_positions``.
    """

    logits: Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SequenceClassifierOutput(ModelOutput):
    """What ``RobertaForSequenceClassification`` gives: ``logits [batch, num_labels]``."""

    logits: Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TokenClassifierOutput(ModelOutput):
    """What ``RobertaForTokenClassification`` gives: ``logits [batch, tokens, num_labels]``.

    The logits are 0 where masked.
    """

    logits: Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class QuestionAnsweringOutput(ModelOutput):
    """What ``RobertaForQuestionAnswering`` gives: start and end logits, each ``[batch, tokens]``.

    They are ``-inf`` where masked, so that a softmax over a row leaves masked places out.
    """

    start_logits: Array
    end_logits: Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MultipleChoiceOutput(ModelOutput):
    """What ``RobertaForMultipleChoice`` gives: ``logits [batch, choices]``.

    Its ``hidden_states`` and ``attentions`` have ``batch * choices`` rows.
    """

    logits: Array


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
