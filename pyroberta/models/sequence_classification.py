"""Sequence classification: a label, or a number, for each row."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..arrays import Array, Shapes
from ..checkpoint import Source
from ..config import RobertaConfig
from ..kernels import Kernels
from ..run_options import Dropout
from .base import Model
from .call import Encoded
from .embeddings import Embeddings
from .layers import Linear, drop, linear_shapes, linear_tensors
from .outputs import ModelOutput


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SequenceClassifierOutput(ModelOutput):
    """What ``RobertaForSequenceClassification`` gives: ``logits [batch, num_labels]``."""

    logits: Array


class SequenceHead:
    """``out_proj(tanh(dense(first token)))``; dropout before each layer in training."""

    def __init__(self, source: Source, kernels: Kernels) -> None:
        self._dense = Linear.load(source, "classifier.dense", kernels)
        self._out = Linear.load(source, "classifier.out_proj", kernels)

    @staticmethod
    def shapes(config: RobertaConfig) -> Shapes:
        """The tensors that it reads."""
        hidden = config.hidden_size
        return linear_shapes("classifier.dense", hidden, hidden) | linear_shapes(
            "classifier.out_proj", config.num_labels, hidden
        )

    def __call__(self, kernels: Kernels, first: Array, dropout: Dropout | None) -> Array:
        """``[batch, hidden]`` to ``[batch, num_labels]``."""
        y = kernels.activate("tanh", self._dense(kernels, drop(first, dropout)))
        return self._out(kernels, drop(y, dropout))


class RobertaForSequenceClassification(Model[SequenceClassifierOutput]):
    """Logits of each label for each row, from its first token."""

    architecture = "for_sequence_classification"
    decides = "label"
    head_tensors = linear_tensors("classifier.dense", "classifier.out_proj")

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        return SequenceHead.shapes(config)

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return SequenceHead(source, kernels)

    def _reads_first_token(self) -> bool:
        return True

    def _output(self, encoded: Encoded) -> SequenceClassifierOutput:
        head = encoded.parts.head
        logits = head(encoded.parts.kernels, encoded.first_hidden, encoded.dropout)
        return SequenceClassifierOutput(logits=logits, **encoded.looks())
