"""The commands over texts: ``classify``, ``ner``, ``answer``, ``zero-shot``, ``rank``, ``choose``.

Each takes what it reads from its arguments, or row by row from a file by the names of columns.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from ..columns import TaskColumns, columns_of
from ..errors import InputError
from .files import check_output, open_input
from .options import model_options, pipeline_options
from .results import ENDINGS, open_results
from .rows import ENDINGS as INPUTS
from .rows import FORMATS, Source, format_of, read_part
from .runs import Work, run


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        task: of ``pipeline``; its columns are options (``--NAME-column``).
        help: a line for the list of commands.
        options: those of the task, each as for ``add_argument``.
    """

    task: str
    help: str
    options: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def columns(self) -> TaskColumns:
        """What it reads and writes."""
        return columns_of(self.task)


_LONG: dict[str, dict[str, Any]] = {
    "--max-length": {"type": int, "metavar": "N", "help": "the most tokens of a row"},
    "--stride": {
        "type": int,
        "metavar": "N",
        "help": "read long texts by windows that share N tokens (else they are cut)",
    },
}

COMMANDS = {
    "classify": Command(
        "text-classification",
        "label texts, or pairs of texts",
        {
            "--top-k": {"type": int, "metavar": "N", "help": "labels for each text, as a list"},
            "--function-to-apply": {"choices": ("sigmoid", "softmax", "none")},
            **_LONG,
        },
    ),
    "ner": Command(
        "token-classification",
        "find the names in texts",
        {
            "--aggregation-strategy": {
                "choices": ("none", "simple", "first", "average", "max"),
                "default": "simple",
                "help": "how tokens are put together (simple)",
            },
            **_LONG,
        },
    ),
    "answer": Command(
        "question-answering",
        "answer a question from a text",
        {
            "--top-k": {"type": int, "metavar": "N", "help": "answers to each question"},
            "--max-answer-len": {"type": int, "metavar": "N", "help": "tokens of an answer (15)"},
            "--handle-impossible-answer": {"action": "store_true", "default": None},
        },
    ),
    "zero-shot": Command(
        "zero-shot-classification",
        "say which of some labels fits a text",
        {
            "--candidate-labels": {
                "required": True,
                "metavar": "LABELS",
                "help": "with commas between",
            },
            "--hypothesis-template": {"metavar": "TEXT", "help": "with {} for the label"},
            "--multi-label": {"action": "store_true", "default": None},
            **_LONG,
        },
    ),
    "rank": Command(
        "text-ranking",
        "say how well documents answer a query",
        {
            "--top-k": {"type": int, "metavar": "N", "help": "documents (of arguments alone)"},
            **_LONG,
        },
    ),
    "choose": Command(
        "multiple-choice",
        "say which text goes on best with another",
        _LONG,
    ),
}


def add_parser(commands: Any) -> None:
    """Add the commands to the subparsers ``commands``."""
    for name, command in COMMANDS.items():
        parser = commands.add_parser(name, parents=[model_options()], help=command.help)
        given = " ".join(column.upper() for column in command.columns.reads)
        parser.add_argument(
            "input",
            metavar="INPUT",
            nargs="+",
            help=f"{given} (several for the last), or a FILE: {', '.join(INPUTS)}, else lines; "
            "- for stdin",
        )
        for option, how in command.options.items():
            parser.add_argument(option, **how)
        add_row_options(parser, [*command.columns.reads, *command.columns.optional])
        parser.set_defaults(run=_run, command=command)


def add_row_options(parser: argparse.ArgumentParser, columns: Sequence[str]) -> None:
    """Add the options of a command that goes through the rows of a file."""
    parser.add_argument("--format", choices=FORMATS, help="of FILE (default: by its ending)")
    for column in columns:
        parser.add_argument(
            f"--{column}-column", metavar="NAME", help=f"where each row has its {column}"
        )
    parser.add_argument(
        "--output",
        default="-",
        metavar="FILE",
        help=f"FILE{' or FILE'.join(ENDINGS)}, with the row's own columns; - for JSON lines on "
        "stdout (default)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an earlier run left --output"
    )
    parser.add_argument("--shard", metavar="I/N", help="only part I of N of the rows, from 1/N")
    parser.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="of a row that cannot be computed: stop there (default), or tell it and go on",
    )


def _run(args: argparse.Namespace) -> int:
    from ..text import pipeline

    command: Command = args.command
    check_output(args.output, ENDINGS)
    columns = _columns(args, command)
    is_file = _is_file(args)
    if is_file:
        check_rows(args)
    options = _options(args, command)
    top_k = options.pop("top_k", None) if command.task == "text-ranking" else None
    if args.model is None:
        raise InputError(f"--model must be given: no checkpoint for {command.task} is shipped")
    task = pipeline(command.task, args.model, **options, **pipeline_options(args))
    if not is_file:
        return _run_arguments(args, command, task, options, top_k)
    part = read_part(args.shard)
    source = Source(args.input[0], format_of(args.input[0], args.format), columns)
    work = Work(
        task,
        lambda values: command.columns.item([values[name] for name in columns]),
        lambda answer: command.columns.fields(answer, options),
        args.on_error == "skip",
    )
    names = [*command.columns.writes(options), *(["error"] if work.skips_errors else [])]
    with open_results(args.output, names, args.resume) as results:
        return run(work, source, part, results)


def check_rows(args: argparse.Namespace) -> None:
    """Refuse what cannot be done to the rows of this file before anything is computed."""
    name = args.input[0]
    if name != "-":
        with open_input(name):
            pass
    if args.shard is not None and not os.path.isfile(name):
        raise InputError(f"--shard must be of a file, whose rows can be counted, not of {name!r}")
    if args.resume and args.output == "-":
        raise InputError("--resume must be given with an --output that it can read, not stdout")
    if os.path.exists(name) and os.path.exists(args.output) and os.path.samefile(name, args.output):
        raise InputError(f"--output must be another file than FILE, not {args.output!r}")


def _is_file(args: argparse.Namespace) -> bool:
    """Whether the one argument is a file and no text."""
    if len(args.input) != 1:
        return False
    name = args.input[0]
    known = os.path.splitext(name)[1] in INPUTS
    return name == "-" or args.format is not None or known or os.path.exists(name)


def _columns(args: argparse.Namespace, command: Command) -> list[str]:
    columns = command.columns
    named = [getattr(args, f"{column}_column") or column for column in columns.reads]
    more = [getattr(args, f"{column}_column") for column in columns.optional]
    return [*named, *(name for name in more if name is not None)]


def _options(args: argparse.Namespace, command: Command) -> dict[str, Any]:
    names = [option.strip("-").replace("-", "_") for option in command.options]
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _run_arguments(
    args: argparse.Namespace,
    command: Command,
    task: Any,
    options: dict[str, Any],
    top_k: int | None,
) -> int:
    """The texts that stand on the command line itself."""
    given, columns = args.input, command.columns
    if len(given) < len(columns.reads):
        wanted = " ".join(column.upper() for column in columns.reads)
        raise InputError(f"INPUT must be {wanted} or a file, not {given[0]!r} alone")
    with open_results(args.output, list(columns.writes(options)), False) as results:
        if command.task == "text-ranking":
            for one in task.rank(given[0], given[1:], top_k=top_k, return_documents=True):
                results.write({"document": one["text"], "score": one["score"]})
        elif command.task == "multiple-choice":
            answer = task(given[0], given[1:])
            results.write(
                {"context": given[0], "choices": given[1:], **columns.fields(answer, options)}
            )
        else:
            first, last = given[: len(columns.reads) - 1], given[len(columns.reads) - 1 :]
            for text in last:
                values = [*first, text]
                answer = next(iter(task.stream([columns.item(values)])))
                row = dict(zip(columns.reads, values, strict=True))
                results.write({**row, **columns.fields(answer, options)})
    return 0
