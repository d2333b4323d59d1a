"""Which files a task loads: a process of its own, which ``parts.probe`` starts.

Prints the files of the modules and the shared libraries that are loaded after some calls, as JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Collection
from typing import Any

_TEXTS = ["A house.", "", "Ärger, 日本 and 😀\n\t\x00", "one two " * 700]
_CHOICES = ["weather", "sport"]

_CALLS: dict[str, list[Callable[[Any], Any]]] = {
    "fill-mask": [
        lambda task: task(f"A {task.tokenizer.mask_token} house.", top_k=2),
        lambda task: task([f"{task.tokenizer.mask_token} {task.tokenizer.mask_token}"] * 2),
        lambda task: task(f"A {task.tokenizer.mask_token}.", targets=["house"]),
    ],
    "text-classification": [
        lambda task: task({"text": "A house.", "text_pair": "A door."}, top_k=2),
    ],
    "token-classification": [
        lambda task: task(_TEXTS[3], stride=8, aggregation_strategy="first"),
    ],
    "question-answering": [
        lambda task: task(question="Who sang?", context="Ann sang. " * 300, top_k=2),
    ],
    "zero-shot-classification": [
        lambda task: task(_TEXTS[0], candidate_labels=_CHOICES),
        lambda task: task(_TEXTS[0], candidate_labels=_CHOICES, multi_label=True),
    ],
    "text-ranking": [lambda task: task.rank(_TEXTS[0], _CHOICES)],
    "multiple-choice": [lambda task: task(_TEXTS[0], _CHOICES)],
    "text-generation": [
        lambda task: task("A", max_new_tokens=3, do_sample=True, seed=0),
        lambda task: task("A", max_new_tokens=3, strategy="beam"),
    ],
}


def loaded(task_name: str, model: str, before: Collection[str]) -> dict[str, Any]:
    """The files that a task has loaded after calls of every kind, those that fail too.

    Args:
        task_name, model: as for ``pipeline``.
        before: the modules that Python itself and the site had loaded.
    """
    pyroberta = importlib.import_module("pyroberta")
    warnings.simplefilter("ignore")
    task: Any = pyroberta.pipeline(task_name, model)
    calls = [*_CALLS.get(task_name, []), *(_call_with(text) for text in [*_TEXTS, _TEXTS, 7])]
    for call in calls:
        with contextlib.suppress(ValueError, TypeError):  # what a text of that kind is told
            call(task)
    modules = {
        name: str(module.__file__)
        for name, module in sorted(sys.modules.items())
        if name not in before and getattr(module, "__file__", None)
    }
    return {"modules": modules, "libraries": sorted(_libraries())}


def _call_with(text: Any) -> Callable[[Any], Any]:
    return lambda task: task(text)


def _libraries() -> set[str]:
    """The files that are mapped, where the system says so (Linux)."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as file:
            lines = [line.split(maxsplit=5) for line in file]
    except OSError:
        return set()
    return {os.path.realpath(line[5].strip()) for line in lines if len(line) == 6}


def main(before: Collection[str]) -> None:
    """Print what the task and the model of the command line load."""
    print(json.dumps(loaded(sys.argv[1], sys.argv[2], before)))
