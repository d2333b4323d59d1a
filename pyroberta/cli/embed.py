"""The command ``pyroberta embed``: its arguments, and how vectors are written."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .files import check_output
from .options import model_options, pipeline_options
from .results import ArrayResults, open_results
from .rows import ENDINGS, Source, format_of, read_part
from .runs import Work, run
from .tasks import add_row_options, check_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    embed = commands.add_parser("embed", parents=[model_options()], help="turn texts into vectors")
    embed.add_argument(
        "input", metavar="FILE", help=f"a text on each line, or {', '.join(ENDINGS)}; - for stdin"
    )
    embed.add_argument("--jsonl", action="store_true", help="as --format jsonl")
    add_row_options(embed, ["text"])
    embed.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..text import pipeline

    check_output(args.output, (".npy", ".jsonl"))
    args.input = [args.input]
    check_rows(args)
    is_array = args.output.endswith(".npy")
    if is_array and args.on_error == "skip":
        raise InputError("--on-error must be stop for an array, whose rows are all vectors")
    name = args.input[0]
    said = "jsonl" if args.jsonl else args.format
    column = args.text_column or "text"
    source = Source(name, format_of(name, said), [column])
    part = read_part(args.shard)
    embed = pipeline("sentence-embedding", args.model, **pipeline_options(args))
    work = Work(
        embed,
        lambda values: values[column],
        (lambda vector: {"embedding": vector})
        if is_array
        else (lambda vector: {"embedding": _shortest(vector)}),
        args.on_error == "skip",
    )
    with open_results(args.output, ["embedding"], args.resume) as results:
        status = run(work, source, part, results)
        if isinstance(results, ArrayResults):
            results.begin(embed.dimension)
    return status


def _shortest(vector: NDArray[np.float32]) -> list[float]:
    """Numbers that JSON writes in the fewest digits from which the float32 comes back."""
    # One by one: astype("U") lost an interrupt that came while it ran, and the command went on.
    return [float(str(number)) for number in vector]
