"""Answers texts: ``python -S FOLDER TEXT...``, or one on each line of stdin, as JSON lines.

This file is the ``__main__`` of a bundle, which ``bundle.json`` describes. A text that begins with
"{" is a JSON object of the arguments of a call (``{"question": "...", "context": "..."}``,
``{"inputs": "...", "top_k": 3}``).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


def open_task() -> Any:
    """The task of the bundle."""
    if HERE not in sys.path:
        sys.path.insert(0, HERE)
    pyroberta = importlib.import_module("pyroberta")
    with open(os.path.join(HERE, "bundle.json"), encoding="utf-8") as file:
        task = json.load(file)["task"]
    return pyroberta.pipeline(task, os.path.join(HERE, "model"))


def answer(task: Any, line: str) -> str:
    """The answer to a line, as JSON."""
    given = json.loads(line) if line.startswith("{") else line
    result = task(**given) if isinstance(given, dict) else task(given)
    return json.dumps(result, ensure_ascii=False, default=lambda array: array.tolist())


def main(lines: Iterable[str]) -> int:
    """Print the answer to each line; 2 where there is none, with the reason on stderr."""
    task = open_task()
    for line in lines:
        try:
            print(answer(task, line), flush=True)
        except ValueError as error:  # as all errors of arguments and texts are
            print(f"pyroberta: error: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    for stream in (sys.stdin, sys.stdout, sys.stderr):  # texts are no matter of the locale
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # the process's own are TextIOWrapper
    given = sys.argv[1:]
    sys.exit(main(given if given else (line.rstrip("\n") for line in sys.stdin)))
