"""From a call's arrays to what a model gives: the rooms of the data, in its order.

``inputs.py`` makes the arrays one ragged run of tokens (``ragged.py``), ``embeddings.py`` vectors
of them, ``blocks.py`` runs them through the blocks, and each architecture has a file with its
head, its output and its class over ``base.py``.
"""

from __future__ import annotations

from typing import Any

from .base import Model
from .encoder import RobertaModel
from .masked_lm import RobertaForMaskedLM
from .multiple_choice import RobertaForMultipleChoice
from .question_answering import RobertaForQuestionAnswering
from .sequence_classification import RobertaForSequenceClassification
from .token_classification import RobertaForTokenClassification

__all__ = [
    "ENCODERS",
    "Model",
    "RobertaForMaskedLM",
    "RobertaForMultipleChoice",
    "RobertaForQuestionAnswering",
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaModel",
]

# The order of the list in errors.
ENCODERS: tuple[type[Model[Any]], ...] = (
    RobertaModel,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaForQuestionAnswering,
    RobertaForMultipleChoice,
)
