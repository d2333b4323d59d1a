"""``pyroberta pack``: a checkpoint's folder to one that is mapped and used as it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .files import printable
from .options import add_packing, add_revision, add_threads


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    pack = commands.add_parser(
        "pack", help="write a model as the kernels use it, to be mapped with nothing converted"
    )
    pack.add_argument("model", metavar="MODEL", help="a checkpoint's folder or Hub name")
    pack.add_argument("out", metavar="OUT", help="the new folder")
    add_packing(pack)
    add_revision(pack)
    add_threads(pack)
    pack.set_defaults(run=_pack)


def _pack(args: argparse.Namespace) -> None:
    from ..convert.pack import pack

    model = pack(
        args.model,
        args.out,
        revision=args.revision,
        compute_type=args.compute_type,
        embedding_type=args.embedding_type,
        architecture=args.architecture,
    )
    size = sum(file.stat().st_size for file in Path(args.out).rglob("*") if file.is_file())
    print(f"{printable(args.out)}  {model.compute_type}, {size / 2**20:,.1f} MiB")
