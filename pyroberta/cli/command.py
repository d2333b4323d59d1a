"""The command ``pyroberta``: which commands there are, and its exit status.

What computes is imported by the command that needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from ..errors import CheckpointError, ConfigError, InputError
from ..version import __version__
from . import (
    accuracy,
    bundle,
    compare,
    config,
    convert,
    embed,
    fill_mask,
    generate,
    info,
    pack,
    search,
    shrink,
    tasks,
    trace,
)

# In the order of the help.
_COMMANDS = (
    *(tasks, fill_mask, embed, search, generate, accuracy, trace, compare),
    *(pack, convert, shrink, bundle, info, config),
)

_EXIT_ERROR = 2
# 128 + the signal's number, as a shell reports a command that the signal ended.
_EXIT_INTERRUPT = 130
_EXIT_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process; gives the exit status.

    0: done. 1: a threshold was broken, ``compare`` found more than rounding, or rows were skipped
    (``--on-error skip``).
    2: an error of the user's, told in one line on stderr. 130: interrupted. 141: what reads the
    output has gone.
    """
    args = _parser().parse_args(argv)
    try:
        _prepare(args)
        # What a command gives is its exit status; most have none to give but 0.
        status: int = args.run(args) or 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _EXIT_INTERRUPT
    except BrokenPipeError:
        # Python flushes stdout once more as it ends, which must not fail a second time.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_PIPE
    except (CheckpointError, ConfigError, InputError, OSError, ImportError) as error:
        # A message of several lines would not be one that a script can take apart.
        print(f"pyroberta: error: {' '.join(str(error).split())}", file=sys.stderr)
        return _EXIT_ERROR
    except MemoryError as error:
        why = f" ({error})" if str(error) else ""
        print(
            f"pyroberta: error: memory must be more than this process may have{why}: give it more, "
            "or a smaller --batch-tokens",
            file=sys.stderr,
        )
        return _EXIT_ERROR
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyroberta", description="RoBERTa-family inference on CPUs."
    )
    parser.add_argument("--version", action="version", version=f"pyroberta {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def _prepare(args: argparse.Namespace) -> None:
    threads = getattr(args, "threads", None)
    if threads is not None:
        from ..checks import check_count
        from ..kernels import set_num_threads

        set_num_threads(check_count("--threads", threads, 1))
