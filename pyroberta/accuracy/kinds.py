"""What the logits of a model mean here: from what its class says that it decides."""

from __future__ import annotations

from typing import Any

from ..config import RobertaConfig
from ..errors import ConfigError
from ..models import Model


def check_kind(kind: type[Model[Any]], config: RobertaConfig) -> None:
    """Refuse a model that does not read a row of ids and nothing else. Raises ConfigError."""
    for found, what in (
        (kind.decides == "choice", "several choices for each text"),
        (config.use_cross_attention, "an encoder's output too"),
    ):
        if found:
            raise ConfigError(
                f"model must read one text at a time, not {what}, as this {kind.__name__} does"
            )


def chooses(kind: type[Model[Any]], config: RobertaConfig) -> bool:
    """Whether its logits choose something: a label, a word, a place."""
    return kind.decides != "nothing" and not is_regression(kind, config)


def has_words(kind: type[Model[Any]]) -> bool:
    """Whether its logits are words', at any place."""
    return kind.decides in ("words", "next words")


def gives_vectors(kind: type[Model[Any]]) -> bool:
    """Whether its hidden states may stand for whole texts: no head was trained on others."""
    return kind.decides == "nothing" or has_words(kind)


def is_regression(kind: type[Model[Any]], config: RobertaConfig) -> bool:
    """Whether its logits are numbers to be taken as they are, by Hugging Face's rule."""
    if kind.decides != "label":
        return False
    if config.problem_type is None:
        return config.num_labels == 1
    return config.problem_type == "regression"


def is_multi_label(kind: type[Model[Any]], config: RobertaConfig) -> bool:
    """Whether each label of a row is chosen or not for itself: where its logit is above 0."""
    return kind.decides == "label" and config.problem_type == "multi_label_classification"
