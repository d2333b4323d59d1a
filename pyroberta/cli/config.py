"""The command ``pyroberta config``: what runs here."""

from __future__ import annotations

import argparse
from typing import Any

from .options import add_threads


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    parser = commands.add_parser("config", help="say what runs here: kernels, threads, versions")
    add_threads(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from ..kernels import show_config

    show_config()
