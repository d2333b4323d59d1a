"""``pipeline``: a task's name and a checkpoint, made into something that takes texts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, overload

from ..checks import check_count, check_path, excerpt, is_name_of
from ..columns import ALIASES
from ..decoder.causal import RobertaForCausalLM
from ..decoder.encoder_decoder import RobertaEncoderDecoder
from ..errors import ConfigError
from ..models import (
    Model,
    RobertaForMaskedLM,
    RobertaForMultipleChoice,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaModel,
)
from ..opening import find_folder
from ..shipped import SHIPPED
from .batching import BATCH_TOKENS
from .embedding import FeatureExtraction, SentenceEmbedding
from .fill_mask import FillMask
from .find_task import task_of_folder, task_of_model
from .multiple_choice import MultipleChoice
from .question_answering import QuestionAnswering
from .task import Loading, Task, as_tokenizer
from .text_classification import TextClassification
from .text_generation import Text2TextGeneration, TextGeneration
from .text_inputs import without_harmless
from .text_ranking import TextRanking
from .text_task import TextTask
from .token_classification import TokenClassification
from .tokenizer import Tokenizer
from .zero_shot import ZeroShotClassification

_PathLike = str | os.PathLike[str]

# One row a task: its class says how it is made of a folder.
_TASKS: dict[str, type[Task]] = {
    "fill-mask": FillMask,
    "feature-extraction": FeatureExtraction,
    "sentence-embedding": SentenceEmbedding,
    "text-classification": TextClassification,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
    "zero-shot-classification": ZeroShotClassification,
    "text-ranking": TextRanking,
    "multiple-choice": MultipleChoice,
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
    task: Literal["text-classification", "sentiment-analysis"],
    model: _PathLike | RobertaForSequenceClassification,
    **options: Any,
) -> TextClassification: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"],
    model: _PathLike | RobertaForTokenClassification,
    **options: Any,
) -> TokenClassification: ...
@overload
def pipeline(
    task: Literal["question-answering"],
    model: _PathLike | RobertaForQuestionAnswering,
    **options: Any,
) -> QuestionAnswering: ...
@overload
def pipeline(
    task: Literal["zero-shot-classification"],
    model: _PathLike | RobertaForSequenceClassification,
    **options: Any,
) -> ZeroShotClassification: ...
@overload
def pipeline(
    task: Literal["text-ranking"],
    model: _PathLike | RobertaForSequenceClassification,
    **options: Any,
) -> TextRanking: ...
@overload
def pipeline(
    task: Literal["multiple-choice"],
    model: _PathLike | RobertaForMultipleChoice,
    **options: Any,
) -> MultipleChoice: ...
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
@overload
def pipeline(
    task: _PathLike | None = None,
    model: _PathLike | Model[Any] | RobertaEncoderDecoder | None = None,
    **options: Any,
) -> Task: ...
def pipeline(
    task: _PathLike | None = None,
    model: _PathLike | Model[Any] | RobertaEncoderDecoder | None = None,
    *,
    revision: str | None = None,
    tokenizer: Tokenizer | _PathLike | None = None,
    compute_type: str | None = None,
    backend: str | None = None,
    embedding_type: str | None = None,
    memory_map: bool | None = None,
    adapter: _PathLike | Literal[False] | None = None,
    batch_tokens: int = BATCH_TOKENS,
    **options: Any,
) -> Task:
    """What does ``task`` with ``model``: called with a text or a list of texts.

    Args:
        task: ``"fill-mask"``: the words at a mask (``FillMask``);
            ``"feature-extraction"``: the vector of each token (``FeatureExtraction``);
            ``"sentence-embedding"``: one vector for each text (``SentenceEmbedding``);
            ``"text-classification"`` (``"sentiment-analysis"``): the labels of a text
            (``TextClassification``);
            ``"token-classification"`` (``"ner"``): the entities in a text
            (``TokenClassification``);
            ``"question-answering"``: where the answer stands in a text (``QuestionAnswering``);
            ``"zero-shot-classification"``: which of some labels fits (``ZeroShotClassification``);
            ``"text-ranking"``: how well documents answer a query (``TextRanking``);
            ``"multiple-choice"``: which of some texts goes on best (``MultipleChoice``);
            ``"text-generation"``: how each text goes on (``TextGeneration``);
            ``"text2text-generation"``: a text for each text (``Text2TextGeneration``).
            ``None``, or a checkpoint here in place of ``model``: the task that it is for.
        model: a checkpoint's folder, for embeddings also one of sentence-transformers; its Hub
            name (see ``RobertaModel.from_pretrained``); or a loaded model; ``None``: the checkpoint
            that comes with the package.
        revision: of a Hub name: a branch, a tag or a commit.
        tokenizer: a tokenizer or its folder; ``None``: in the model's folder.
        compute_type, backend, embedding_type, memory_map, adapter: as for ``from_pretrained``; not
            for a loaded model.
        batch_tokens: the most tokens that are computed together. Texts of like length are batched;
            results come in the order of the texts.
        **options: the task's own: ``top_k`` and ``targets``; ``return_tensors``; ``pooling``,
            ``normalize``, ``truncate_dim``, ``prompt`` and ``prompt_name``; those of
            ``pyroberta.generation.GenerationOptions``.

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
    if task is not None and model is None and _is_checkpoint(task):
        task, model = None, task
    task = ALIASES.get(task, task) if isinstance(task, str) else task
    if task is None and isinstance(model, (Model, RobertaEncoderDecoder)):
        task = task_of_model(model)
    elif task is None and model is not None:
        model = _find(model, revision)
        revision = None
        task = task_of_folder(model, adapter)
    task = check_task(task)
    kind = _TASKS[task]
    check_count("batch_tokens", batch_tokens, 1)
    load: dict[str, Any] = {"compute_type": compute_type, "backend": backend}
    load |= {"embedding_type": embedding_type, "memory_map": memory_map, "adapter": adapter}
    load = {name: value for name, value in load.items() if value is not None}
    options["batch_tokens"] = batch_tokens
    if not issubclass(kind, TextTask):  # which looks at them itself
        options = without_harmless(options)
    if isinstance(model, (Model, RobertaEncoderDecoder)):
        if revision is not None:
            load["revision"] = revision
        return kind(model, _check_loaded(task, kind, model, tokenizer, load), **options)
    if model is None and not kind.is_shipped:
        raise ConfigError(f"model must be given for {task}: no such checkpoint is shipped")
    folder = _find(SHIPPED if model is None else model, revision)
    return kind.from_folder(folder, Loading(tokenizer=tokenizer, options=load), **options)


def check_task(task: Any) -> str:
    """A task by its own name or an alias. Raises ConfigError."""
    task = ALIASES.get(task, task) if isinstance(task, str) else task
    if not is_name_of(task, _TASKS):
        raise ConfigError(
            f"task must be one of {', '.join(_TASKS)} or a checkpoint's folder, not {excerpt(task)}"
        )
    assert isinstance(task, str)
    return task


def _find(model: Any, revision: str | None) -> Path:
    """The folder of a checkpoint that was given by its path or name."""
    check_path("model", model, ConfigError, "a path or loaded")
    return find_folder(model, revision=revision, name="model", error=ConfigError)


def _is_checkpoint(task: Any) -> bool:
    """Whether what stands where a task is named is a folder, or a name of the Hub."""
    if isinstance(task, os.PathLike):
        return True
    if not isinstance(task, str) or task in _TASKS or task in ALIASES:
        return False
    return "/" in task or os.path.isdir(task)


def _check_loaded(
    task: str,
    kind: type[Task],
    model: Model[Any] | RobertaEncoderDecoder,
    tokenizer: Tokenizer | _PathLike | None,
    load: dict[str, Any],
) -> Tokenizer:
    """The tokenizer of a loaded model that fits the task; else ConfigError."""
    wanted = kind.model_class
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
    return as_tokenizer(tokenizer, kind.config_of(model), None)
