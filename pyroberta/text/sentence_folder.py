"""What a sentence-transformers folder says of how its vectors are made.

Such a folder names its steps in ``modules.json``: a transformer, a pooling of its tokens' vectors,
and maybe a normalisation. A step that is not among these is refused, since the vectors would be
others without it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import excerpt
from ..errors import ConfigError
from ..small_json import read_json, read_json_object

POOLINGS = ("mean", "cls", "max", "mean_sqrt_len")

# How 1_Pooling/config.json spells them: a flag each, or, in newer files, one name.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
_NAMES = {name: name for name in POOLINGS} | {"mean_sqrt_len_tokens": "mean_sqrt_len"}

# The transformer's own settings, by the file names of the library's versions.
_TRANSFORMER_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_camembert_config.json",
)


@dataclasses.dataclass(frozen=True)
class SentenceFolder:
    """How a folder's vectors are made; the defaults are those of a plain checkpoint.

    Attributes:
        transformer: the folder of the checkpoint and its tokenizer.
        pooling: one of ``POOLINGS``.
        normalize: vectors have length 1.
        prompt: what is put before each text.
        lowercase: texts are put in lower case.
        max_tokens: a lower limit than the model's, or ``None``.
        pools_prompt: the prompt's tokens are pooled too.
    """

    transformer: Path
    pooling: str = "mean"
    normalize: bool = True
    prompt: str = ""
    lowercase: bool = False
    max_tokens: int | None = None
    pools_prompt: bool = True


def read_sentence_folder(
    path: str | os.PathLike[str], pooling: str | None = None, normalize: bool | None = None
) -> SentenceFolder:
    """Read ``modules.json`` and what it names, if the folder ``path`` has one.

    Args:
        path: the folder.
        pooling, normalize: in place of what the folder says.

    Raises:
        ConfigError: a step or a pooling that is not computed here.
        CheckpointError: a file is malformed.
    """
    folder = Path(path)
    given: dict[str, Any] = {"pooling": pooling, "normalize": normalize}
    given = {name: value for name, value in given.items() if value is not None}
    if not (folder / "modules.json").is_file():
        return SentenceFolder(folder, **given)
    _check_kind(folder)
    modules = _read_modules(folder)
    transformer = modules["Transformer"]
    pooling_config = read_json_object(modules["Pooling"] / "config.json", missing_ok=bool(pooling))
    settings: dict[str, Any] = {}
    for name in _TRANSFORMER_FILES:
        settings = settings or read_json_object(transformer / name, missing_ok=True)
    return SentenceFolder(
        transformer=transformer,
        pooling=pooling or _read_pooling(modules["Pooling"] / "config.json", pooling_config),
        normalize="Normalize" in modules if normalize is None else normalize,
        prompt=_default_prompt(folder),
        lowercase=settings.get("do_lower_case") is True,
        max_tokens=_max_tokens(settings),
        pools_prompt=pooling_config.get("include_prompt") is not False,
    )


def transformer_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of the checkpoint itself: ``path``, or the one that its ``modules.json`` names."""
    folder = Path(path)
    if (folder / "config.json").is_file() or not (folder / "modules.json").is_file():
        return folder
    return _read_modules(folder)["Transformer"]


def _check_kind(folder: Path) -> None:
    """Refuse a folder of the library's that gives no vectors of texts, by what it is."""
    file = folder / "config_sentence_transformers.json"
    kind = read_json_object(file, missing_ok=True).get("model_type")
    if kind not in (None, "SentenceTransformer"):
        what = " (a re-ranker, which scores pairs of texts)" if kind == "CrossEncoder" else ""
        raise ConfigError(
            f"model_type in {file} must be SentenceTransformer for sentence-embedding, "
            f"not {excerpt(kind)}{what}: it gives no vectors of texts"
        )


def _read_modules(folder: Path) -> dict[str, Path]:
    """The folder of each step of ``modules.json``, by the step's class."""
    file = folder / "modules.json"
    modules = read_json(file)
    if not isinstance(modules, list) or not all(isinstance(m, Mapping) for m in modules):
        raise ConfigError(f"{file} must hold a list of modules, not {modules!r}")
    names = [str(module.get("type")).rpartition(".")[2] for module in modules]
    computed = ("Transformer", "Pooling", "Normalize")
    unknown = [name for name in names if name not in computed]
    if unknown:
        raise ConfigError(
            f"{file} must name only the modules {', '.join(computed)}, "
            f"not {', '.join(unknown)}, which this package does not compute"
        )
    if names not in (list(computed), list(computed[:2])):
        raise ConfigError(
            f"{file} must name {', '.join(computed)} in this order (the last may be absent), "
            f"not {', '.join(names) or 'nothing'}"
        )
    folders = {}
    for name, module in zip(names, modules, strict=True):
        inside = str(module.get("path", ""))
        # A path out of the folder would let the file name any other on the machine.
        if Path(inside).is_absolute() or ".." in Path(inside).parts:
            raise ConfigError(f"path of {name} in {file} must be inside {folder}, not {inside!r}")
        folders[name] = folder / inside
    return folders


def _read_pooling(file: Path, config: Mapping[str, Any]) -> str:
    named = config.get("pooling_mode")
    asked = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    if isinstance(named, str):
        found = [_NAMES.get(named)]
        asked = [named]
    else:
        found = [_FLAGS.get(key) for key in asked]
    if len(found) != 1 or found[0] is None:
        raise ConfigError(
            f"{file} must ask for one of the poolings {', '.join(_FLAGS)}, "
            f"not for {', '.join(asked) or 'none'}"
        )
    return found[0]


def _max_tokens(settings: Mapping[str, Any]) -> int | None:
    limit = settings.get("max_seq_length")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigError(f"max_seq_length must be a whole number of at least 1, not {limit!r}")
    return limit


def _default_prompt(folder: Path) -> str:
    file = folder / "config_sentence_transformers.json"
    settings = read_json_object(file, missing_ok=True)
    name = settings.get("default_prompt_name")
    if name is None:
        return ""
    prompts = settings.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, Mapping) else None
    if not isinstance(prompt, str):
        raise ConfigError(
            f"default_prompt_name in {file} must name one of its prompts, not {name!r}"
        )
    return prompt
