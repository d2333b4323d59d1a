"""Which task a checkpoint is for, where the call does not say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..architectures import find_class
from ..config import read_config_json
from ..decoder.encoder_decoder import RobertaEncoderDecoder
from ..opening import transformer_folder
from ..opening.layout import MODULES, read_modules
from ..small_json import read_json_object

# By the names of the architectures.
_OF_ARCHITECTURE = {
    "base": "feature-extraction",
    "for_masked_language_modeling": "fill-mask",
    "for_sequence_classification": "text-classification",
    "for_token_classification": "token-classification",
    "for_question_answering": "question-answering",
    "for_multiple_choice": "multiple-choice",
    "for_causal_language_modeling": "text-generation",
}


def task_of_model(model: Any) -> str:
    """The task of a loaded model."""
    if isinstance(model, RobertaEncoderDecoder):
        return "text2text-generation"
    return _OF_ARCHITECTURE[model.architecture]


def task_of_folder(folder: Path, adapter: Any) -> str:
    """The task of a checkpoint: that of its sentence-transformers files, or of its class.

    Raises:
        ConfigError: ``config.json`` does not name exactly one known class.
        FileNotFoundError, CheckpointError: as for ``from_pretrained``.
    """
    inner = transformer_folder(folder)
    if (folder / MODULES).is_file() and any(
        module.kind == "Pooling" for module in read_modules(folder)
    ):
        return "sentence-embedding"
    beside = read_json_object(folder / "config_sentence_transformers.json", missing_ok=True)
    if (inner / "config.json").is_file():
        config = read_config_json(inner)
        if config.get("model_type") == "encoder-decoder":
            return "text2text-generation"
        cross = (
            config.get("sentence_transformers"),
            config.get("sbert_ce_default_activation_function"),
        )
        if beside.get("model_type") == "CrossEncoder" or any(one is not None for one in cross):
            return "text-ranking"
    return _OF_ARCHITECTURE[find_class(inner, adapter=adapter).architecture]
