"""Options that several commands have, each under one name everywhere."""

from __future__ import annotations

import argparse
from typing import Any


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``, which ``main`` sets before any command runs."""
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the kernels")


def add_revision(parser: argparse.ArgumentParser) -> None:
    """Add ``--revision``, of a model that is named as on the Hub."""
    parser.add_argument(
        "--revision", metavar="NAME", help="of a Hub name: a branch, a tag or a commit"
    )


def work_options() -> argparse.ArgumentParser:
    """A parent with the options of every command that computes."""
    work = argparse.ArgumentParser(add_help=False)
    work.add_argument(
        "--batch-tokens", type=int, metavar="N", help="the most tokens computed together (2048)"
    )
    add_threads(work)
    return work


def model_options() -> argparse.ArgumentParser:
    """A parent with the options of every command that computes with one model."""
    model = argparse.ArgumentParser(add_help=False, parents=[work_options()])
    model.add_argument(
        "--model",
        metavar="MODEL",
        help="a checkpoint's folder or Hub name (default: the one that is shipped)",
    )
    add_revision(model)
    model.add_argument(
        "--compute-type", metavar="TYPE", help="what the products are computed in (float32)"
    )
    add_embedding_type(model)
    return model


def add_embedding_type(parser: argparse.ArgumentParser) -> None:
    """Add ``--embedding-type``."""
    parser.add_argument(
        "--embedding-type",
        metavar="TYPE",
        help="what the word table is kept in: float16 or int8 (as the file has it)",
    )


def add_packing(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that packs a model."""
    parser.add_argument(
        "--compute-type", metavar="TYPE", help="what its products will be computed in (float32)"
    )
    add_embedding_type(parser)
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help='pack it as another class than it names, e.g. "base" to leave its head out',
    )


def pipeline_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of ``pipeline`` that were given."""
    options = {
        "revision": args.revision,
        "compute_type": args.compute_type,
        "embedding_type": args.embedding_type,
        "batch_tokens": args.batch_tokens,
    }
    return {name: value for name, value in options.items() if value is not None}
