"""Text in, answers out: the tokenizer and the tasks. Needs the extra ``pyroberta[text]``."""

from __future__ import annotations

from .embedding import FeatureExtraction, SentenceEmbedding
from .fill_mask import FillMask
from .multiple_choice import MultipleChoice
from .pipelines import pipeline
from .question_answering import QuestionAnswering
from .sentence_encoder import SentenceEncoder
from .text_classification import TextClassification
from .text_generation import Text2TextGeneration, TextGeneration
from .text_ranking import TextRanking
from .token_classification import TokenClassification
from .tokenizer import Tokenizer
from .zero_shot import ZeroShotClassification

__all__ = [
    "FeatureExtraction",
    "FillMask",
    "MultipleChoice",
    "QuestionAnswering",
    "SentenceEmbedding",
    "SentenceEncoder",
    "Text2TextGeneration",
    "TextClassification",
    "TextGeneration",
    "TextRanking",
    "TokenClassification",
    "Tokenizer",
    "ZeroShotClassification",
    "pipeline",
]
