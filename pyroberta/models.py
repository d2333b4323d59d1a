"""The architectures: each a head on the encoder, and what a call gives.

The causal model, which has more to it, is in ``causal.py``.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .causal import RobertaForCausalLM
from .checkpoint import Source
from .config import RobertaConfig, read_config_json
from .embeddings import Embeddings
from .errors import ConfigError
from .heads import LinearHead, LMHead, Pooler, SequenceHead, Shapes
from .inputs import read_logit_positions
from .kernels import Kernels
from .outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    MultipleChoiceOutput,
    QuestionAnsweringOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from .pretrained import Encoded, Model

__all__ = [
    "RobertaForCausalLM",
    "RobertaForMaskedLM",
    "RobertaForMultipleChoice",
    "RobertaForQuestionAnswering",
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaModel",
    "from_pretrained",
]


class RobertaModel(Model[BaseModelOutput]):
    """The encoder: ids in, hidden states out (Liu et al. 2019, arXiv:1907.11692).

    Example:
        >>> model = RobertaModel.from_config(RobertaConfig(num_blocks=2), seed=0)
        >>> model([[0, 31, 51, 2]]).last_hidden_state.shape
        (1, 4, 768)
    """

    architecture = "base"

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        in_file = names is None or "pooler.dense.weight" in names
        wanted = in_file if add_pooling_layer is None else add_pooling_layer
        return Pooler.shapes(config) if wanted else {}

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return Pooler(source, kernels) if "pooler.dense.weight" in source.names() else None

    def _reads_first_token(self) -> bool:
        return self._parts.head is not None

    def _output(self, encoded: Encoded) -> BaseModelOutput:
        pooler, kernels = encoded.parts.head, encoded.parts.kernels
        return BaseModelOutput(
            last_hidden_state=encoded.ragged.scatter(encoded.result.last),
            pooler_output=None if pooler is None else pooler(kernels, encoded.first_hidden),
            **encoded.looks(),
        )


class RobertaForMaskedLM(Model[MaskedLMOutput]):
    """Logits of every word at every place, as in pre-training."""

    architecture = "for_masked_language_modeling"

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        return LMHead.shapes(config, names)

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return LMHead(self.config, source, kernels, embeddings.word)

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
        encoded = self._encode(
            (input_ids, attention_mask, token_type_ids, position_ids),
            attention_head_mask,
            output_hidden_states,
            output_attentions,
            training,
            rng,
        )
        if logit_positions is None:
            return self._output(encoded)
        hidden = encoded.result.last[read_logit_positions(logit_positions, encoded.ragged)]
        logits = encoded.parts.head(encoded.parts.kernels, hidden)
        return MaskedLMOutput(logits=logits, **encoded.looks())

    def _output(self, encoded: Encoded) -> MaskedLMOutput:
        logits = encoded.parts.head(encoded.parts.kernels, encoded.result.last)
        return MaskedLMOutput(logits=encoded.ragged.scatter(logits), **encoded.looks())


class RobertaForSequenceClassification(Model[SequenceClassifierOutput]):
    """Logits of each label for each row, from its first token."""

    architecture = "for_sequence_classification"

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


class RobertaForTokenClassification(Model[TokenClassifierOutput]):
    """Logits of each label for each token."""

    architecture = "for_token_classification"

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


class RobertaForQuestionAnswering(Model[QuestionAnsweringOutput]):
    """Logits of each token to be the start and the end of the answer.

    There is no dropout before its layer in training, as in Hugging Face's model.
    """

    architecture = "for_question_answering"

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


class RobertaForMultipleChoice(Model[MultipleChoiceOutput]):
    """One logit for each choice of each row. Its inputs are ``[batch, choices, tokens]``."""

    architecture = "for_multiple_choice"
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


ARCHITECTURES: tuple[type[Model[Any]], ...] = (
    RobertaModel,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaForQuestionAnswering,
    RobertaForMultipleChoice,
    RobertaForCausalLM,
)

# The families whose class names differ only in what stands before "Model" or "For...".
_FAMILIES = ("Roberta", "XLMRoberta", "Camembert", "Data2VecText")
_BY_CLASS: dict[str, type[Model[Any]]] = {
    family + cls.__name__.removeprefix("Roberta"): cls
    for family in _FAMILIES
    for cls in ARCHITECTURES
}
# Older names of the causal model.
_BY_CLASS |= {"RobertaLMHeadModel": RobertaForCausalLM, "XLMRobertaLMHeadModel": RobertaForCausalLM}
_BY_ARCHITECTURE = {cls.architecture: cls for cls in ARCHITECTURES}


def from_pretrained(
    path: str | os.PathLike[str], *, architecture: str | None = None, **options: Any
) -> Model[Any]:
    """Load a checkpoint as the class that its ``config.json`` names.

    Args:
        path: the checkpoint's folder.
        architecture: a class's ``architecture``, e.g. ``"for_token_classification"``, in place
            of what ``config.json`` says.
        **options: as for each class's ``from_pretrained``.

    Raises:
        ConfigError: an unknown ``architecture``, or ``config.json`` does not name exactly one
            known class.
    """
    return find_class(path, architecture).from_pretrained(path, **options)


def find_class(path: str | os.PathLike[str], architecture: str | None = None) -> type[Model[Any]]:
    """The class that ``from_pretrained`` opens a folder as; raises as it does."""
    if architecture is not None:
        if architecture not in _BY_ARCHITECTURE:
            raise ConfigError(
                f"architecture must be one of {', '.join(_BY_ARCHITECTURE)}, not {architecture!r}"
            )
        return _BY_ARCHITECTURE[architecture]
    config = read_config_json(path)
    RobertaConfig.from_hf(config)  # another family is refused by its own reason first
    named = config.get("architectures")
    if not isinstance(named, list) or len(named) != 1 or named[0] not in _BY_CLASS:
        raise ConfigError(
            f"architectures in config.json must be one of {', '.join(_BY_CLASS)}, not {named!r}; "
            "or name the class yourself with architecture="
        )
    return _BY_CLASS[named[0]]
