"""RoBERTa-family inference on CPUs from numpy and safetensors alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import RobertaConfig
from .decoder import Cache
from .errors import CheckpointError, ConfigError, InputError
from .kernels import get_num_threads, set_num_threads, show_config
from .models import (
    RobertaForCausalLM,
    RobertaForMaskedLM,
    RobertaForMultipleChoice,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaModel,
    from_pretrained,
)

if TYPE_CHECKING:
    from .text import pipeline

__version__ = "0.1.0"

__all__ = [
    "Cache",
    "CheckpointError",
    "ConfigError",
    "InputError",
    "RobertaConfig",
    "RobertaForCausalLM",
    "RobertaForMaskedLM",
    "RobertaForMultipleChoice",
    "RobertaForQuestionAnswering",
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaModel",
    "from_pretrained",
    "get_num_threads",
    "pipeline",
    "set_num_threads",
    "show_config",
]


def __getattr__(name: str) -> Any:
    """``pipeline``, imported when it is first asked for: the core never needs text."""
    if name == "pipeline":
        from .text import pipeline

        return pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
