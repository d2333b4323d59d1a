"""Options that several commands have, each under one name everywhere."""

from __future__ import annotations

import argparse
from typing import Any


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``, which ``main`` sets before any command runs."""
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the kernels")


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
        "--model", metavar="FOLDER", help="a checkpoint (default: the one that is shipped)"
    )
    model.add_argument(
        "--compute-type", metavar="TYPE", help="what the products are computed in (float32)"
    )
    return model


def pipeline_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of ``pipeline`` that were given."""
    options = {"compute_type": args.compute_type, "batch_tokens": args.batch_tokens}
    return {name: value for name, value in options.items() if value is not None}
