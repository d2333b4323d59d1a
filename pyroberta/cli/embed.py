"""The command ``pyroberta embed``: its arguments, and how vectors are written."""

from __future__ import annotations

import argparse
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .files import check_output, open_bytes, open_input, open_output, progress, read_texts
from .options import model_options, pipeline_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    embed = commands.add_parser("embed", parents=[model_options()], help="turn texts into vectors")
    embed.add_argument("input", metavar="FILE", help="a text on each line; - for stdin")
    embed.add_argument(
        "--jsonl",
        action="store_true",
        help='FILE holds JSON lines with the key "text" (as .jsonl at its end says by itself)',
    )
    embed.add_argument(
        "--output",
        default="-",
        metavar="FILE",
        help='FILE.npy for one array; FILE.jsonl for lines with the keys "text" and "embedding"; '
        "- for such lines on stdout (default)",
    )
    embed.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import numpy as np

    from ..text import pipeline

    check_output(args.output, (".npy", ".jsonl"))
    jsonl = args.jsonl or args.input.endswith(".jsonl")
    with open_input(args.input) as lines, progress() as advance:
        if os.path.exists(args.output) and os.path.samestat(
            os.stat(args.output), os.fstat(lines.fileno())
        ):
            raise InputError(f"--output must be another file than FILE, not {args.output!r}")
        embed = pipeline("sentence-embedding", args.model, **pipeline_options(args))
        texts = read_texts(lines, args.input, jsonl)
        if args.output.endswith(".npy"):
            vectors = []
            for vector in embed.stream(texts):
                vectors.append(vector)
                advance()
            width = embed.dimension
            array = np.stack(vectors) if vectors else np.empty((0, width), np.float32)
            # An open file, since save would add .npy to a name that ends otherwise.
            with open_bytes(args.output) as file:
                np.save(file, array)
            return
        with open_output(args.output) as out:
            waiting: deque[str] = deque()
            for vector in embed.stream(_keep(texts, waiting)):
                line = {"text": waiting.popleft(), "embedding": _shortest(vector)}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
                advance()


def _keep(texts: Iterable[str], kept: deque[str]) -> Iterator[str]:
    """``texts``, each also put at the end of ``kept``."""
    for text in texts:
        kept.append(text)
        yield text


def _shortest(vector: NDArray[np.float32]) -> list[float]:
    """Numbers that JSON writes in the fewest digits from which the float32 comes back."""
    # One by one: astype("U") lost an interrupt that came while it ran, and the command went on.
    return [float(str(number)) for number in vector]
