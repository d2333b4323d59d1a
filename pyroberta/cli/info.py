"""The command ``pyroberta info``: what is in a checkpoint's folder."""

from __future__ import annotations

import argparse
from typing import Any

from .files import printable
from .options import add_revision


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    info = commands.add_parser("info", help="say what is in a checkpoint's folder")
    info.add_argument("model", metavar="MODEL", nargs="?", help="default: the shipped checkpoint")
    add_revision(info)
    info.add_argument(
        "--checksum",
        action="store_true",
        help="read all of a packed file too, and see whether it is as it was written",
    )
    info.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from ..shipped import SHIPPED
    from .describe import describe

    path = SHIPPED if args.model is None else args.model
    lines = describe(path, revision=args.revision, checksum=args.checksum)
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:{width}}  {printable(value)}")
