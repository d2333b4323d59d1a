"""The masked language model: the words at masked places."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, IntArray
from ..kernels.arithmetic import in_usual_arithmetic
from .call import Encoded
from .inputs import read_logit_positions
from .language_model import LanguageModel
from .outputs import ModelOutput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MaskedLMOutput(ModelOutput):
    """What ``RobertaForMaskedLM`` gives.

    Attributes:
        logits: ``[batch, tokens, vocab]``, 0 where masked; ``[n, vocab]`` where the call named
            ``n`` ``logit_positions``.
    """

    logits: Array


class RobertaForMaskedLM(LanguageModel[MaskedLMOutput]):
    """Logits of every word at every place, as in pre-training."""

    architecture = "for_masked_language_modeling"
    decides = "words"

    @in_usual_arithmetic
    def __call__(  # one argument more than the others have
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        logit_positions: ArrayLike | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        training: bool = False,
        rng: np.random.Generator | None = None,
    ) -> MaskedLMOutput:
        """Compute the logits of a batch. The arguments are those of every model, and one more.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids, attention_head_mask: see
                ``RobertaModel``, and so the keywords but the next.
            logit_positions: integers ``[n, 2]``, pairs of a row and a token: the logits of those
                places alone, ``[n, vocab]``. All places of all rows are
                ``[batch, tokens, vocab]``, by far the largest array of a call.
            output_hidden_states, output_attentions, training, rng: see ``RobertaModel``.
        """
        call = self._read_call(
            (input_ids, attention_mask, token_type_ids, position_ids),
            attention_head_mask,
            output_hidden_states,
            output_attentions,
            training,
            rng,
        )
        at = None if logit_positions is None else read_logit_positions(logit_positions, call.ragged)
        return self._output_at(self._run(call), at)

    def _output_at(self, encoded: Encoded, at: IntArray | None) -> MaskedLMOutput:
        return MaskedLMOutput(logits=self._logits(encoded, at), **encoded.looks())
