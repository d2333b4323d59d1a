"""What the logits of each class of model mean here."""

from __future__ import annotations

from typing import Any

from ..config import RobertaConfig
from ..errors import ConfigError
from ..models import (
    RobertaForMultipleChoice,
    RobertaForSequenceClassification,
    RobertaModel,
)
from ..pretrained import Model


def check_kind(kind: type[Model[Any]], config: RobertaConfig) -> None:
    """Refuse a model that does not read a row of ids and nothing else. Raises ConfigError."""
    for found, what in (
        (kind is RobertaForMultipleChoice, "several choices for each text"),
        (config.use_cross_attention, "an encoder's output too"),
    ):
        if found:
            raise ConfigError(
                f"model must read one text at a time, not {what}, as this {kind.__name__} does"
            )


def chooses(kind: type[Model[Any]], config: RobertaConfig) -> bool:
    """Whether its logits choose something: a label, a word, a place."""
    return kind is not RobertaModel and not is_regression(kind, config)


def is_regression(kind: type[Model[Any]], config: RobertaConfig) -> bool:
    """Whether its logits are numbers to be taken as they are, by Hugging Face's rule."""
    if kind is not RobertaForSequenceClassification:
        return False
    if config.problem_type is None:
        return config.num_labels == 1
    return config.problem_type == "regression"


def is_multi_label(kind: type[Model[Any]], config: RobertaConfig) -> bool:
    """Whether each label of a row is chosen or not for itself: where its logit is above 0."""
    return (
        kind is RobertaForSequenceClassification
        and config.problem_type == "multi_label_classification"
    )
