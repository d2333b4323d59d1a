"""Token classification: a label for each token."""

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
from .layers import LinearHead, linear_tensors
from .outputs import ModelOutput


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TokenClassifierOutput(ModelOutput):
    """What ``RobertaForTokenClassification`` gives: ``logits [batch, tokens, num_labels]``.

    The logits are 0 where masked.
    """

    logits: Array


class RobertaForTokenClassification(Model[TokenClassifierOutput]):
    """Logits of each label for each token."""

    architecture = "for_token_classification"
    decides = "token labels"
    head_tensors = linear_tensors("classifier")

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        return LinearHead.shapes(config, "classifier", config.num_labels)

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return LinearHead(source, kernels, "classifier")

    def _output(self, encoded: Encoded) -> TokenClassifierOutput:
        head = encoded.parts.head
        logits = head(encoded.parts.kernels, encoded.result.last, encoded.dropout)
        return TokenClassifierOutput(logits=encoded.ragged.scatter(logits), **encoded.looks())
