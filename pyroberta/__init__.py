"""RoBERTa-family inference on CPUs from numpy and safetensors alone.

What is named here is imported from its module when it is first asked for: ``import pyroberta``
itself costs a millisecond or two.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .architectures import from_pretrained
    from .config import RobertaConfig
    from .decoder.cache import Cache
    from .decoder.causal import RobertaForCausalLM
    from .decoder.encoder_decoder import RobertaEncoderDecoder
    from .errors import CheckpointError, ConfigError, InputError
    from .kernels import get_num_threads, set_num_threads, show_config
    from .models import (
        RobertaForMaskedLM,
        RobertaForMultipleChoice,
        RobertaForQuestionAnswering,
        RobertaForSequenceClassification,
        RobertaForTokenClassification,
        RobertaModel,
    )
    from .text import SentenceEncoder, pipeline
    from .trust import trace


__all__ = [
    "Cache",
    "CheckpointError",
    "ConfigError",
    "InputError",
    "RobertaConfig",
    "RobertaEncoderDecoder",
    "RobertaForCausalLM",
    "RobertaForMaskedLM",
    "RobertaForMultipleChoice",
    "RobertaForQuestionAnswering",
    "RobertaForSequenceClassification",
    "RobertaForTokenClassification",
    "RobertaModel",
    "SentenceEncoder",
    "from_pretrained",
    "get_num_threads",
    "pipeline",
    "set_num_threads",
    "show_config",
    "trace",
]

_MODULES = {
    "Cache": "decoder.cache",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "InputError": "errors",
    "RobertaConfig": "config",
    "RobertaEncoderDecoder": "decoder.encoder_decoder",
    "RobertaForCausalLM": "decoder.causal",
    "SentenceEncoder": "text",
    "from_pretrained": "architectures",
    "get_num_threads": "kernels",
    "pipeline": "text",
    "set_num_threads": "kernels",
    "show_config": "kernels",
    "trace": "trust",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_MODULES.get(name, 'models')}", __name__)
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
