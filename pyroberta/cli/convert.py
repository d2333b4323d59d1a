"""``pyroberta convert``: a checkpoint's weights as safetensors, and BERT's as RoBERTa's."""

from __future__ import annotations

import argparse
from typing import Any

from .files import printable
from .options import add_revision


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    convert = commands.add_parser(
        "convert", help="write a checkpoint as safetensors, one of BERT as RoBERTa's"
    )
    convert.add_argument("old", metavar="OLD", help="a checkpoint's folder or Hub name")
    convert.add_argument("new", metavar="NEW", help="the new folder")
    add_revision(convert)
    convert.set_defaults(run=_convert)


def _convert(args: argparse.Namespace) -> None:
    from ..convert import convert_folder

    made = convert_folder(args.old, args.new, revision=args.revision)
    what = f", {made.architecture} of a BERT" if made.architecture else ""
    print(f"{printable(str(made.folder))}  {made.size / 2**20:,.1f} MiB{what}")
    if made.left_out:
        print(f"left out: {printable(', '.join(made.left_out))}")
