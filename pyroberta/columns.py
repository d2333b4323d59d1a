"""Tasks over the columns of a table: what each reads of a row, and what it writes into one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .checks import excerpt
from .errors import ConfigError, InputError

# What stands in a column: a type, [that of each of a list], {name: that of what it names}.
Kind = Any

# Other names of tasks.
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


@dataclasses.dataclass(frozen=True)
class TaskColumns:
    """The columns of one task.

    Attributes:
        reads: those it reads, in the order that ``item`` takes them.
        item: of a row's values the task's input.
        writes: of the options those that it writes, each with its ``Kind``.
        fields: of an answer and the options their values.
        optional: columns that are read only where they are named.
    """

    reads: Sequence[str]
    item: Callable[[Sequence[Any]], Any]
    writes: Callable[[Mapping[str, Any]], dict[str, Kind]]
    fields: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    optional: Sequence[str] = ()


_LABEL = {"label": str, "score": float}
_SPAN = {"answer": str, "score": float, "start": int, "end": int}
_PLACE = {"word": str, "start": int, "end": int}
_TOKEN = {"entity": str, "score": float, "index": int, **_PLACE}
_ENTITY = {"entity_group": str, "score": float, **_PLACE}


def _labels(answer: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(answer, list):
        return {"labels": [dict(one) for one in answer]}
    return dict(answer)


def _spans(answer: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    if not _asks_for_several(options):
        return dict(answer)
    # With several asked for there may be one alone, which stands in no list.
    listed = answer if isinstance(answer, list) else [answer]
    return {"answers": [dict(one) for one in listed]}


def _asks_for_several(options: Mapping[str, Any]) -> bool:
    return int(options.get("top_k") or 1) > 1


def _choices(values: Sequence[Any]) -> Any:
    context, choices = values
    if isinstance(choices, str):  # a cell of a table
        try:
            choices = json.loads(choices)
        except ValueError:
            raise InputError(f"choices must be a list as JSON, not {choices[:60]!r}") from None
    return context, choices


def _chosen(scores: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"choice": max(range(len(scores)), key=scores.__getitem__), "scores": list(scores)}


def _score(answer: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(answer, float):
        raise InputError(f"model must have one label to rank by, not {len(answer)}")
    return {"score": answer}


def _first(values: Sequence[Any]) -> Any:
    return values[0]


TASK_COLUMNS = {
    "text-classification": TaskColumns(
        ("text",),
        lambda values: values[0] if len(values) == 1 else tuple(values),
        lambda options: {"labels": [_LABEL]} if "top_k" in options else _LABEL,
        _labels,
        ("pair",),
    ),
    "token-classification": TaskColumns(
        ("text",),
        _first,
        lambda options: {
            "entities": [
                _TOKEN if options.get("aggregation_strategy", "none") == "none" else _ENTITY
            ]
        },
        lambda answer, options: {"entities": [dict(one) for one in answer]},
    ),
    "question-answering": TaskColumns(
        ("question", "context"),
        tuple,
        lambda options: {"answers": [_SPAN]} if _asks_for_several(options) else _SPAN,
        _spans,
    ),
    "zero-shot-classification": TaskColumns(
        ("text",),
        _first,
        lambda options: {"labels": [str], "scores": [float]},
        lambda answer, options: {"labels": answer["labels"], "scores": answer["scores"]},
    ),
    "text-ranking": TaskColumns(
        ("query", "document"),
        tuple,
        lambda options: {"score": float},
        _score,
    ),
    "multiple-choice": TaskColumns(
        ("context", "choices"),
        _choices,
        lambda options: {"choice": int, "scores": [float]},
        _chosen,
    ),
    "sentence-embedding": TaskColumns(
        ("text",),
        _first,
        lambda options: {"embedding": [np.float32]},
        lambda answer, options: {"embedding": answer},
    ),
}


def columns_of(task: str) -> TaskColumns:
    """The columns of a task. Raises ConfigError for one that has none."""
    found = TASK_COLUMNS.get(ALIASES.get(task, task)) if isinstance(task, str) else None
    if found is None:
        known = ", ".join([*TASK_COLUMNS, *ALIASES])
        raise ConfigError(f"task must be one of {known}, not {excerpt(task)}")
    return found
