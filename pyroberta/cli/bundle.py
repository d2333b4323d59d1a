"""``pyroberta bundle``: the least folder that answers."""

from __future__ import annotations

import argparse
from typing import Any

from .files import printable
from .options import add_packing, add_revision, add_threads


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    bundle = commands.add_parser(
        "bundle",
        help="write the least folder that answers, for a place without packages",
        description="Writes the model packed, its tokenizer and what of the packages it imports: "
        "python -S OUT TEXT answers, and nothing else has to be installed.",
    )
    bundle.add_argument("model", metavar="MODEL", help="a checkpoint's folder or Hub name")
    bundle.add_argument("out", metavar="OUT", help="the new folder")
    bundle.add_argument("--task", metavar="NAME", help="of the model (the one that it is for)")
    add_packing(bundle)
    bundle.add_argument(
        "--whole-numpy",
        action="store_true",
        help="keep NumPy's own BLAS and LAPACK, which no model needs (28 MB)",
    )
    add_revision(bundle)
    add_threads(bundle)
    bundle.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from ..bundle import bundle

    made = bundle(
        args.model,
        args.out,
        task=args.task,
        revision=args.revision,
        compute_type=args.compute_type,
        embedding_type=args.embedding_type,
        architecture=args.architecture,
        whole_numpy=args.whole_numpy,
    )
    for name, size in made.parts.items():
        print(f"{size:12,}  {name}")
    whole = ", with NumPy's own BLAS and LAPACK" if made.whole_numpy else ""
    print(f"{made.size:12,}  bytes of {printable(args.out)}, which answers {made.task}{whole}")
