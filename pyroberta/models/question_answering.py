"""Question answering: where the answer begins and ends."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

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
class QuestionAnsweringOutput(ModelOutput):
    """What ``RobertaForQuestionAnswering`` gives: start and end logits, each ``[batch, tokens]``.

    They are ``-inf`` where masked, so that a softmax over a row leaves masked places out.
    """

    start_logits: Array
    end_logits: Array


class RobertaForQuestionAnswering(Model[QuestionAnsweringOutput]):
    """Logits of each token to be the start and the end of the answer.

    There is no dropout before its layer in training, as in Hugging Face's model.
    """

    architecture = "for_question_answering"
    decides = "span"
    head_tensors = linear_tensors("qa_outputs")

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        return LinearHead.shapes(config, "qa_outputs", 2)

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return LinearHead(source, kernels, "qa_outputs")

    def _output(self, encoded: Encoded) -> QuestionAnsweringOutput:
        logits = encoded.parts.head(encoded.parts.kernels, encoded.result.last)
        padded = encoded.ragged.scatter(logits, fill=-np.inf)
        return QuestionAnsweringOutput(
            start_logits=np.ascontiguousarray(padded[..., 0]),
            end_logits=np.ascontiguousarray(padded[..., 1]),
            **encoded.looks(),
        )
