"""``pipeline``: a task's name and a checkpoint, made into something that takes texts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, overload

from ..config import RobertaConfig
from ..encoder_decoder import RobertaEncoderDecoder
from ..encoder_decoder_files import read_encoder_config
from ..errors import ConfigError
from ..inputs import check_count
from ..models import RobertaForCausalLM, RobertaForMaskedLM, RobertaModel
from ..pretrained import Model
from ..shipped import SHIPPED
from .batching import BATCH_TOKENS
from .embedding import FeatureExtraction, SentenceEmbedding
from .fill_mask import FillMask
from .generation import Text2TextGeneration, TextGeneration
from .sentence_folder import SentenceFolder, read_sentence_folder, transformer_folder
from .tokenizer import Tokenizer

_PathLike = str | os.PathLike[str]
_Task = FillMask | FeatureExtraction | SentenceEmbedding | TextGeneration | Text2TextGeneration

_TASKS: dict[str, type[_Task]] = {
    "fill-mask": FillMask,
    "feature-extraction": FeatureExtraction,
    "sentence-embedding": SentenceEmbedding,
    "text-generation": TextGeneration,
    "text2text-generation": Text2TextGeneration,
}


@overload
def pipeline(
    task: Literal["fill-mask"],
    model: _PathLike | RobertaForMaskedLM | None = None,
    **options: Any,
) -> FillMask: ...
@overload
def pipeline(
    task: Literal["feature-extraction"],
    model: _PathLike | RobertaModel | None = None,
    **options: Any,
) -> FeatureExtraction: ...
@overload
def pipeline(
    task: Literal["sentence-embedding"],
    model: _PathLike | RobertaModel | None = None,
    **options: Any,
) -> SentenceEmbedding: ...
@overload
def pipeline(
    task: Literal["text-generation"],
    model: _PathLike | RobertaForCausalLM | None = None,
    **options: Any,
) -> TextGeneration: ...
@overload
def pipeline(
    task: Literal["text2text-generation"],
    model: _PathLike | RobertaEncoderDecoder,
    **options: Any,
) -> Text2TextGeneration: ...
def pipeline(
    task: str,
    model: _PathLike | Model[Any] | RobertaEncoderDecoder | None = None,
    *,
    tokenizer: Tokenizer | _PathLike | None = None,
    compute_type: str | None = None,
    backend: str | None = None,
    memory_map: bool | None = None,
    batch_tokens: int = BATCH_TOKENS,
    **options: Any,
) -> _Task:
    """What does ``task`` with ``model``: called with a text or a list of texts.

    Args:
        task: ``"fill-mask"``: the words at a mask (``FillMask``);
            ``"feature-extraction"``: the vector of each token (``FeatureExtraction``);
            ``"sentence-embedding"``: one vector for each text (``SentenceEmbedding``);
            ``"text-generation"``: how each text goes on (``TextGeneration``);
            ``"text2text-generation"``: a text for each text (``Text2TextGeneration``).
        model: a checkpoint's folder, for embeddings also one of sentence-transformers; or a
            loaded model; ``None``: the checkpoint that comes with the package.
        tokenizer: a tokenizer or its folder; ``None``: in the model's folder.
        compute_type, backend, memory_map: as for ``from_pretrained``; not for a loaded model.
        batch_tokens: the most tokens that are computed together. Texts of like length are batched;
            results come in the order of the texts.
        **options: the task's own: ``top_k`` and ``targets``; ``return_tensors``; ``pooling``,
            ``normalize`` and ``prompt``; those of ``pyroberta.generation.GenerationOptions``.

    Raises:
        ConfigError: no such task; a model that does not fit it; a sentence-transformers folder
            with a step that is not computed here.
        FileNotFoundError: a folder or file that is not there.
        CheckpointError: a file that is malformed, or that lacks the task's head.
        ImportError: the ``tokenizers`` library is missing.

    Example:
        >>> fill = pipeline("fill-mask")
        >>> [answer["token_str"] for answer in fill("Please close the <mask>.")]  # doctest: +SKIP
        [' door', ...]
    """
    if task not in _TASKS:
        raise ConfigError(f"task must be one of {', '.join(_TASKS)}, not {task!r}")
    kind: Any = _TASKS[task]
    check_count("batch_tokens", batch_tokens, 1)
    load = {"compute_type": compute_type, "backend": backend, "memory_map": memory_map}
    load = {name: value for name, value in load.items() if value is not None}
    if isinstance(model, (Model, RobertaEncoderDecoder)):
        loaded = _check_loaded(task, kind.model_class, model, tokenizer, load)
        made: _Task = kind(loaded[0], loaded[1], batch_tokens=batch_tokens, **options)
        return made
    if model is None and kind is Text2TextGeneration:
        raise ConfigError(f"model must be given for {task}: no such checkpoint is shipped")
    folder = _as_path("model", SHIPPED if model is None else model)
    max_tokens = None
    if kind is SentenceEmbedding:
        sentence = read_sentence_folder(folder, options.get("pooling"), options.get("normalize"))
        folder, max_tokens = sentence.transformer, sentence.max_tokens
        options = _settings(sentence) | {k: v for k, v in options.items() if v is not None}
    elif kind is FeatureExtraction:
        folder = transformer_folder(folder)
    # The small files first: what is wrong with them is said before the weights are read.
    if kind is Text2TextGeneration:
        config = read_encoder_config(folder)
    else:
        config = RobertaConfig.from_pretrained(folder)
    words = _as_tokenizer(folder if tokenizer is None else tokenizer, config, max_tokens)
    if kind in (FeatureExtraction, SentenceEmbedding):
        load["add_pooling_layer"] = False
    weights = kind.model_class.from_pretrained(folder, **load)
    task_of_folder: _Task = kind(weights, words, batch_tokens=batch_tokens, **options)
    return task_of_folder


def _check_loaded(
    task: str,
    wanted: type[Model[Any]] | type[RobertaEncoderDecoder],
    model: Model[Any] | RobertaEncoderDecoder,
    tokenizer: Tokenizer | _PathLike | None,
    load: dict[str, Any],
) -> tuple[Model[Any] | RobertaEncoderDecoder, Tokenizer]:
    if not isinstance(model, wanted):
        raise ConfigError(
            f"model must be a {wanted.__name__} for {task}, not a {type(model).__name__}"
        )
    if load:
        raise ConfigError(
            f"{', '.join(load)} must be left out for a loaded model, which has its own"
        )
    if tokenizer is None:
        raise ConfigError("tokenizer must be given with a loaded model, not left out")
    reader = model.encoder if isinstance(model, RobertaEncoderDecoder) else model
    return model, _as_tokenizer(tokenizer, reader.config, None)


def _as_tokenizer(
    tokenizer: Tokenizer | _PathLike, config: RobertaConfig, max_tokens: int | None
) -> Tokenizer:
    if not isinstance(tokenizer, Tokenizer):
        path = _as_path("tokenizer", tokenizer)
        return Tokenizer.from_pretrained(path, config=config, max_tokens=max_tokens)
    # One that was made without this model's sizes would let ids and lengths pass unchecked.
    sizes = tokenizer.vocab_size, tokenizer.max_tokens
    if sizes[0] != config.vocab_size or sizes[1] is None or sizes[1] > config.max_tokens:
        raise ConfigError(
            f"tokenizer must be made with config= of this model (vocab_size {config.vocab_size}, "
            f"max_tokens {config.max_tokens}), not for {sizes[0]} and {sizes[1]}"
        )
    return tokenizer


def _as_path(name: str, value: Any) -> Path:
    try:
        return Path(value)
    except TypeError:
        raise ConfigError(f"{name} must be a path or loaded, not {value!r}") from None


def _settings(folder: SentenceFolder) -> dict[str, Any]:
    """The arguments of ``SentenceEmbedding`` that a folder decides."""
    return {
        "pooling": folder.pooling,
        "normalize": folder.normalize,
        "prompt": folder.prompt,
        "lowercase": folder.lowercase,
        "pools_prompt": folder.pools_prompt,
    }
