"""The command ``pyroberta fill-mask``: its arguments, and its table of words."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .files import check_output, open_output, printable
from .options import model_options, pipeline_options


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    fill = commands.add_parser(
        "fill-mask", parents=[model_options()], help="guess the masked word of a text"
    )
    fill.add_argument("text", metavar="TEXT", nargs="+", help="holds the model's mask token")
    fill.add_argument("--top-k", type=int, default=5, metavar="N", help="words for each mask (5)")
    fill.add_argument(
        "--output",
        metavar="FILE",
        help='write JSON lines with the keys "text" and "answers" to FILE.jsonl, or to stdout '
        "for - (default: print a table)",
    )
    fill.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from ..text import pipeline

    check_output(args.output, (".jsonl",))
    fill = pipeline("fill-mask", args.model, top_k=args.top_k, **pipeline_options(args))
    answers = fill(args.text)
    if args.output is None:
        for i, (text, answer) in enumerate(zip(args.text, answers, strict=True)):
            if len(args.text) > 1:
                print(("\n" if i else "") + printable(text))
            _print_table(answer)
        return
    with open_output(args.output) as out:
        for text, answer in zip(args.text, answers, strict=True):
            out.write(json.dumps({"text": text, "answers": answer}, ensure_ascii=False) + "\n")


def _print_table(answer: list[Any]) -> None:
    """The words for one mask, or those for each of several under a line that numbers it."""
    if isinstance(answer[0], list):
        for number, one in enumerate(answer, 1):
            print(f"mask {number}")
            _print_table(one)
        return
    rows = [
        (f"{a['score']:.4f}", printable(a["token_str"].strip()), printable(a["sequence"]))
        for a in answer
    ]
    rows.insert(0, ("score", "word", "sequence"))
    width = max(len(word) for _, word, _ in rows)
    for score, word, sequence in rows:
        print(f"{score:>6}  {word:{width}}  {sequence}")
