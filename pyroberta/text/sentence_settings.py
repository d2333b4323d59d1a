"""The transformer's own settings in a sentence-transformers folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..checks import check_flag, excerpt
from ..errors import ConfigError
from ..small_json import read_json_object

# By the file names of the library's versions: the first that says anything holds.
_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)

# Keys with one value that is computed here, absent or this.
_ONLY: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "query_expansion": None,
    "query_length": None,
    "document_length": None,
}
_READ = ("max_seq_length", "do_lower_case")
_WITHOUT_EFFECT = ("unpad_inputs",)

# What is handed on to transformers, by the library's old names and its new ones: of these keys none
# changes a number but by the precision it is computed in, which is compute_type's here.
_ANY = ("cache_dir", "token", "revision", "local_files_only", "trust_remote_code", "subfolder")
_HANDED_ON: dict[str, Collection[str]] = {
    "model": (
        *_ANY,
        "add_pooling_layer",
        "attn_implementation",
        "device_map",
        "dtype",
        "low_cpu_mem_usage",
        "torch_dtype",
        "use_safetensors",
    ),
    "processor": (
        *_ANY,
        "legacy",
        "model_input_names",
        "model_max_length",
        "padding_side",
        "use_fast",
    ),
    "config": (*_ANY, "output_attentions", "output_hidden_states", "use_cache"),
}
_OLD_NAMES = {"model": "model_args", "processor": "tokenizer_args", "config": "config_args"}


@dataclasses.dataclass(frozen=True)
class TransformerSettings:
    """What the files say of the transformer.

    Attributes:
        lowercase: texts are put in lower case.
        max_tokens: the most tokens of a text, or ``None``.
    """

    lowercase: bool
    max_tokens: int | None


def read_transformer_settings(folder: Path) -> TransformerSettings:
    """What stands beside the transformer in ``folder``.

    Raises:
        ConfigError: a setting that would give other vectors than are computed here.
    """
    file = folder / _FILES[0]
    settings: dict[str, Any] = {}
    for name in _FILES:
        settings = read_json_object(folder / name, missing_ok=True)
        if settings:
            file = folder / name
            break
    handed_on: dict[str, dict[str, Any]] = {}
    for part, keys in _HANDED_ON.items():
        names = _OLD_NAMES[part], f"{part}_kwargs"
        handed_on[part] = {}
        for name in names:
            value = settings.pop(name, None) or {}
            if not isinstance(value, Mapping) or not all(key in keys for key in value):
                raise ConfigError(
                    f"{name} in {file} must have no keys but {', '.join(keys)}, "
                    f"not {excerpt(value)}, which may change the vectors"
                )
            handed_on[part].update(value)
    if settings.pop("processing_kwargs", None):
        raise ConfigError(f"processing_kwargs in {file} must be empty: it may change the vectors")
    for key, value in settings.items():
        if key in _ONLY:
            if value != _ONLY[key]:
                raise ConfigError(
                    f"{key} in {file} must be {_ONLY[key]!r}, not {excerpt(value)}, "
                    "which is not computed here"
                )
        elif key not in _READ and key not in _WITHOUT_EFFECT:
            known = ", ".join((*_READ, *_ONLY))
            raise ConfigError(f"{file} must have no keys but {known}, not {excerpt(key)}")
    lowercase = settings.get("do_lower_case")
    lowercase = False if lowercase is None else lowercase
    limits = [
        _limit(name, file, value)
        for name, value in (
            ("max_seq_length", settings.get("max_seq_length")),
            ("model_max_length", handed_on["processor"].get("model_max_length")),
        )
        if value is not None
    ]
    return TransformerSettings(
        lowercase=check_flag(f"do_lower_case in {file}", lowercase, ConfigError, "true or false"),
        max_tokens=min(limits, default=None),
    )


def _limit(name: str, file: Path, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"{name} in {file} must be a whole number of at least 1, not {excerpt(value)}"
        )
    return value
