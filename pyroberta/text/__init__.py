"""Text in, answers out: the tokenizer and the tasks. Needs the extra ``pyroberta[text]``."""

from __future__ import annotations

from .embedding import FeatureExtraction, SentenceEmbedding
from .fill_mask import FillMask
from .pipelines import pipeline
from .text_classification import TextClassification
from .text_generation import Text2TextGeneration, TextGeneration
from .token_classification import TokenClassification
from .tokenizer import Tokenizer

__all__ = [
    "FeatureExtraction",
    "FillMask",
    "SentenceEmbedding",
    "Text2TextGeneration",
    "TextClassification",
    "TextGeneration",
    "TokenClassification",
    "Tokenizer",
    "pipeline",
]
