"""The command ``pyroberta generate``: its arguments, and how it prints a text as it is written."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

from .files import check_output, open_output, printable
from .options import model_options, pipeline_options

# What is handed on to the task, by the names that it has there.
_OPTIONS = (
    "strategy",
    "max_new_tokens",
    "num_beams",
    "temperature",
    "top_k",
    "top_p",
    "seed",
    "alpha",
    "repetition_penalty",
    "no_repeat_ngram_length",
)


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    parser = commands.add_parser(
        "generate", parents=[model_options()], help="go on with a text, or write a text for it"
    )
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="+",
        help="a causal model goes on from it; an encoder-decoder writes a text for it",
    )
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        help="how a token is chosen: greedy (default), sampling, beam or contrastive",
    )
    numbers: tuple[tuple[str, Any, str], ...] = (
        ("--max-new-tokens", int, "tokens of the answer at most (20)"),
        ("--num-beams", int, "for beam: texts followed side by side (4)"),
        ("--temperature", float, "for sampling: above 1 more varied, below 1 less (1)"),
        (
            "--top-k",
            int,
            (
                "for sampling: of the N most probable tokens (all); for contrastive: "
                "the candidates (4)"
            ),
        ),
        ("--top-p", float, "for sampling: of those that together have this probability (1)"),
        ("--seed", int, "for sampling: the same number gives the same text"),
        ("--alpha", float, "for contrastive: the weight of being unlike the text so far (0.6)"),
        ("--repetition-penalty", float, "above 1 against tokens that were there before (1)"),
        ("--no-repeat-ngram-length", int, "no run of so many tokens comes twice"),
    )
    for flag, kind, text in numbers:
        parser.add_argument(flag, type=kind, metavar="N" if kind is int else "X", help=text)
    parser.add_argument(
        "--output",
        metavar="FILE",
        help='write JSON lines with the keys "text" and "generated_text" to FILE.jsonl, or to '
        "stdout for - (default: print each text as it is written)",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from ..config import read_config_json
    from ..opening import find_folder, transformer_folder
    from ..shipped import SHIPPED
    from ..text import Text2TextGeneration, TextGeneration, pipeline

    check_output(args.output, (".jsonl",))
    options = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    named = SHIPPED if args.model is None else args.model
    folder = find_folder(named, revision=args.revision, name="--model")
    made = pipeline_options(args) | {"revision": None}  # found already
    write: TextGeneration | Text2TextGeneration
    if read_config_json(transformer_folder(folder)).get("model_type") == "encoder-decoder":
        write = pipeline("text2text-generation", folder, **made, **options)
    else:
        write = pipeline("text-generation", folder, **made, **options)
    if args.output is None:
        for text in args.text:
            _print_written(write, text, options.get("strategy") != "beam")
        if args.model is None:
            print(
                "pyroberta: note: the shipped checkpoint is a masked LM, which was never trained "
                "to go on with a text; name a causal model with --model",
                file=sys.stderr,
            )
        return
    answers = write(args.text)
    with open_output(args.output) as out:
        for text, answer in zip(args.text, answers, strict=True):
            one = answer[0] if isinstance(answer, list) else answer
            out.write(json.dumps({"text": text} | one, ensure_ascii=False) + "\n")


def _print_written(write: Any, text: str, streams: bool) -> None:
    """One answer on a line of its own, piece by piece where it streams."""
    from ..text import TextGeneration

    pieces: Iterable[str]
    if streams:
        pieces = write.stream(text)
        if isinstance(write, TextGeneration):
            sys.stdout.write(_shown(text))
    else:
        (answer,) = write(text)
        pieces = [answer["generated_text"]]
    for piece in pieces:
        sys.stdout.write(_shown(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")


def _shown(text: str) -> str:
    """``text`` with what would change the terminal escaped, but for the ends of lines."""
    return "\n".join(map(printable, text.split("\n")))
