"""``pyroberta shrink``: a checkpoint without the words that one's texts never use."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError
from .files import open_input, printable, read_objects
from .options import add_revision


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    shrink = commands.add_parser(
        "shrink",
        help="write a checkpoint with the words alone that your texts use",
        description="Leaves out the words that texts never use: of the word table, of the "
        "language-model head and of the tokenizer. Those texts give the same outputs, bit for bit.",
    )
    shrink.add_argument("old", metavar="OLD", help="a checkpoint's folder or Hub name")
    shrink.add_argument("new", metavar="NEW", help="the new folder")
    shrink.add_argument(
        "--texts",
        metavar="FILE",
        nargs="+",
        default=[],
        help='a text on each line, or FILE.jsonl with the key "text" and, for a pair, "text_pair"',
    )
    shrink.add_argument(
        "--keep-vocabulary",
        metavar="FILE",
        help="tokens to keep besides, one on each line as the tokenizer spells them",
    )
    shrink.add_argument(
        "--check", metavar="FILE", help="say what these other texts lose", nargs="+"
    )
    add_revision(shrink)
    shrink.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from ..convert import shrink

    keep = []
    if args.keep_vocabulary is not None:
        with open_input(args.keep_vocabulary, "--keep-vocabulary", stdin=False) as lines:
            keep = [line.rstrip("\n") for line in lines if line.strip()]
    if not args.texts and not keep:
        raise InputError("--texts or --keep-vocabulary must be given")
    made = shrink(
        args.old,
        args.new,
        _read(args.texts, "--texts"),
        keep=keep,
        others=None if args.check is None else _read(args.check, "--check"),
        revision=args.revision,
    )
    print(
        f"{printable(str(made.folder))}  {made.words_before:,} words to {made.words_after:,}, "
        f"{made.bytes_before / 2**20:,.1f} MiB of weights to {made.bytes_after / 2**20:,.1f}"
    )
    if made.others is not None:
        lost = made.others
        print(
            f"of {lost.texts:,} other texts {lost.changed:,} are other tokens now: "
            f"{lost.tokens_before:,} tokens are {lost.tokens_after:,}, {lost.unknown:,} unknown"
        )


def _read(names: list[str], option: str) -> list[Any]:
    texts = []
    for name in names:
        with open_input(name, option, stdin=False) as lines:
            for one in read_objects(lines, name, name.endswith(".jsonl")):
                pair = one.get("text_pair")
                texts.append(one["text"] if pair is None else (one["text"], pair))
    return texts
