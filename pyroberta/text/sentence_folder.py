"""What a sentence-transformers folder says of how its vectors are made.

Such a folder names its modules in ``modules.json``: a transformer, a pooling of its tokens'
vectors, and what is made of the pooled one. What would give other vectors than that library's, in
its release 6.2, is refused with the file, the key and its value.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import check_flag, excerpt
from ..errors import ConfigError
from ..opening import SentenceModule, read_modules
from ..small_json import read_json_object
from .pooling import read_poolings
from .prompts import Prompts, read_prompts
from .sentence_settings import TransformerSettings, read_transformer_settings
from .sentence_steps import STEPS, Normalize, Step
from .vectors import VectorMaker

# How 1_Pooling/config.json spells the poolings where it does not list them under pooling_mode: a
# flag each. Several are put one after the other in this order.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_NO_FLAGS = ("pooling_mode", "word_embedding_dimension", "embedding_dimension", "include_prompt")

_CONFIG = "config_sentence_transformers.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentenceFolder:
    """How a folder's vectors are made; the defaults are those of a plain checkpoint.

    Attributes:
        transformer: the folder of the checkpoint and its tokenizer.
        vectors: makes the vector of a text of those of its tokens.
        prompts: what is put before each text.
        lowercase: texts are put in lower case.
        max_tokens: a lower limit than the model's, or ``None``.
    """

    transformer: Path
    vectors: VectorMaker = dataclasses.field(default_factory=lambda: VectorMaker(normalize=True))
    prompts: Prompts = dataclasses.field(default_factory=Prompts)
    lowercase: bool = False
    max_tokens: int | None = None


def read_sentence_folder(
    path: str | os.PathLike[str],
    pooling: Any = None,
    normalize: bool | None = None,
    truncate_dim: int | None = None,
) -> SentenceFolder:
    """Read ``modules.json`` and what it names, if the folder ``path`` has one.

    Args:
        path: the folder.
        pooling, normalize, truncate_dim: in place of what the folder says.

    Raises:
        ConfigError: a module or a pooling that is not computed here.
        CheckpointError: a file is malformed.
    """
    folder = Path(path)
    poolings = None if pooling is None else read_poolings("pooling", pooling)
    if normalize is not None:
        check_flag("normalize", normalize, ConfigError)
    if not (folder / "modules.json").is_file():
        makes = VectorMaker(
            poolings=poolings or ("mean",),
            normalize=True if normalize is None else bool(normalize),
        )
        return SentenceFolder(transformer=folder, vectors=makes.cut(truncate_dim))
    settings = read_json_object(folder / _CONFIG, missing_ok=True)
    _check_kind(folder / _CONFIG, settings)
    modules = _check_modules(folder / "modules.json", read_modules(folder))
    transformer = modules[0].folder
    file = modules[1].folder / "config.json"
    config = read_json_object(file, missing_ok=poolings is not None)
    steps = [STEPS[module.kind](module.folder) for module in modules[2:]]
    kept: list[Step] = [step for step in steps if step is not None]
    if normalize is not None:  # asked for, it is done once, in the end
        while kept and isinstance(kept[-1], Normalize):
            kept.pop()
    makes = VectorMaker(
        poolings=poolings or _read_pooling(file, config),
        steps=tuple(kept),
        normalize=bool(normalize),
    )
    given: TransformerSettings = read_transformer_settings(transformer)
    return SentenceFolder(
        transformer=transformer,
        vectors=makes.cut(_truncate_dim(folder / _CONFIG, settings)).cut(truncate_dim),
        prompts=read_prompts(folder / _CONFIG, settings, pooled=_pools_prompt(file, config)),
        lowercase=given.lowercase,
        max_tokens=given.max_tokens,
    )


def _check_kind(file: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder of the library's that gives no vectors of texts, by what it is."""
    kind = settings.get("model_type")
    if kind not in (None, "SentenceTransformer"):
        what = " (a re-ranker, which scores pairs of texts)" if kind == "CrossEncoder" else ""
        raise ConfigError(
            f"model_type in {file} must be SentenceTransformer for sentence-embedding, "
            f"not {excerpt(kind)}{what}: it gives no vectors of texts"
        )


def _check_modules(file: Path, modules: list[SentenceModule]) -> list[SentenceModule]:
    """The modules, a Transformer and a Pooling before those of ``STEPS``; else ConfigError."""
    computed = ("Transformer", "Pooling", *STEPS)
    unknown = [module.type for module in modules if module.kind not in computed]
    if unknown:
        raise ConfigError(
            f"{file} must name only the modules {', '.join(computed)} of sentence_transformers, "
            f"not {', '.join(unknown)}, which this package does not compute"
        )
    kinds = [module.kind for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or not all(kind in STEPS for kind in kinds[2:]):
        raise ConfigError(
            f"{file} must name Transformer, then Pooling, then any of {', '.join(STEPS)}, "
            f"not {', '.join(kinds) or 'nothing'}"
        )
    return modules


def _read_pooling(file: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The poolings that the file asks for; the mean where it asks for none."""
    for key, value in config.items():
        if key in _FLAGS:
            check_flag(f"{key} in {file}", value, ConfigError, "true or false")
        elif key.startswith("pooling_mode") and key not in _NO_FLAGS:
            raise ConfigError(
                f"{file} must ask for some of the poolings {', '.join(_FLAGS)}, not for {key}"
            )
    if "pooling_mode" in config:
        return read_poolings(f"pooling_mode in {file}", config["pooling_mode"])
    return tuple(name for key, name in _FLAGS.items() if config.get(key)) or ("mean",)


def _pools_prompt(file: Path, config: Mapping[str, Any]) -> bool:
    return check_flag(
        f"include_prompt in {file}",
        config.get("include_prompt", True),
        ConfigError,
        "true or false",
    )


def _truncate_dim(file: Path, settings: Mapping[str, Any]) -> int | None:
    value = settings.get("truncate_dim")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigError(
            f"truncate_dim in {file} must be a whole number of at least 1, not {excerpt(value)}"
        )
    return value
