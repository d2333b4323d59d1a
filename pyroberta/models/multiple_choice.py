"""Multiple choice: which of several texts goes with each row."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..arrays import Array, Shapes
from ..checkpoint import Source
from ..config import RobertaConfig
from ..kernels import Kernels
from .base import Model
from .call import Encoded
from .embeddings import Embeddings
from .layers import LinearHead, Pooler, linear_tensors
from .outputs import ModelOutput


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MultipleChoiceOutput(ModelOutput):
    """What ``RobertaForMultipleChoice`` gives: ``logits [batch, choices]``.

    Its ``hidden_states`` and ``attentions`` have ``batch * choices`` rows.
    """

    logits: Array


class RobertaForMultipleChoice(Model[MultipleChoiceOutput]):
    """One logit for each choice of each row. Its inputs are ``[batch, choices, tokens]``."""

    architecture = "for_multiple_choice"
    decides = "choice"
    head_tensors = (*Pooler.tensors, *linear_tensors("classifier"))
    _has_choices = True

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        return Pooler.shapes(config) | LinearHead.shapes(config, "classifier", 1)

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return Pooler(source, kernels), LinearHead(source, kernels, "classifier")

    def _reads_first_token(self) -> bool:
        return True

    def _output(self, encoded: Encoded) -> MultipleChoiceOutput:
        (pooler, classifier), kernels = encoded.parts.head, encoded.parts.kernels
        pooled = pooler(kernels, encoded.first_hidden)
        logits = classifier(kernels, pooled, encoded.dropout)
        return MultipleChoiceOutput(
            logits=logits.reshape(-1, encoded.ragged.choices), **encoded.looks()
        )
