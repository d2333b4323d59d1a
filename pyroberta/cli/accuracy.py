"""The command ``pyroberta accuracy``: its arguments, what it reads, and its exit status."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
from typing import Any

from ..errors import InputError
from .files import (
    check_output,
    open_bytes,
    open_input,
    open_output,
    printable,
    progress_of_all,
    read_objects,
)
from .options import add_embedding_type, add_revision, work_options

_EXIT_BROKEN = 1

_THRESHOLDS = (
    ("--max-error", "the most that a hidden state, logit or vector may differ by"),
    ("--min-cosine", "the least mean cosine after the embeddings, a block, or of vectors"),
    ("--min-agreement", "the least part of the choices that is the exact model's, 0 to 1"),
    ("--max-score-drop", "the most that the score may be below the exact model's"),
)


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    parser = commands.add_parser(
        "accuracy",
        parents=[work_options()],
        help="say how far compute types are from the exact result, on your texts",
        description="Runs your texts through a model in each compute type and in an exact one, and "
        "says how far they are apart after each block, in the logits and, where there are labels, "
        "in the task's score.",
        epilog="Exit status: 0; 1 where a threshold is broken, with a line on stderr for each; "
        "2 for an error.",
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="default: the shipped checkpoint")
    add_revision(parser)
    parser.add_argument(
        "--texts",
        required=True,
        metavar="FILE",
        help='a text on each line, or FILE.jsonl with the key "text" and, if need be, "text_pair", '
        '"label" (accuracy) or "score" (a number: Spearman of the likeness of the pair); - for '
        "stdin",
    )
    parser.add_argument(
        "--jsonl",
        action="store_true",
        help="FILE holds JSON lines (as .jsonl at its end says by itself)",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="the label of each text on a line, by name or number"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take the first N texts alone (float64 is slow)"
    )
    parser.add_argument(
        "--compute-type",
        metavar="TYPE[,TYPE...]",
        help="what is compared (all that there are)",
    )
    parser.add_argument(
        "--against",
        metavar="TYPE",
        default="float64",
        help="the exact type: float64 on the NumPy reference (default), or float32, which is fast",
    )
    add_embedding_type(parser)
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help='open the checkpoint as another class, e.g. "base" to leave its head out',
    )
    parser.add_argument(
        "--pooling",
        metavar="NAME",
        help="for vectors of texts: mean, cls, max or mean_sqrt_len (as the folder says, or mean)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the report to FILE.json as well, or to stdout in place of the table for -",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help='draw the errors of each block to FILE.png or FILE.svg (needs "pyroberta[plot]")',
    )
    thresholds = parser.add_argument_group("thresholds, which every compute type must hold")
    for flag, text in _THRESHOLDS:
        thresholds.add_argument(flag, type=float, metavar="X", help=text)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from ..accuracy import Thresholds, compare

    _check_files(args)
    options: dict[str, Any] = {
        name: value
        for name in ("revision", "embedding_type", "architecture", "pooling", "batch_tokens")
        if (value := getattr(args, name)) is not None
    }
    if args.compute_type is not None:
        options["compute_types"] = [name.strip() for name in args.compute_type.split(",")]
    names = [flag.removeprefix("--").replace("-", "_") for flag, _ in _THRESHOLDS]
    thresholds = Thresholds(**{name: getattr(args, name) for name in names})
    with progress_of_all() as show:
        report = compare(
            args.model,
            _read_texts(args),
            against=args.against,
            thresholds=thresholds,
            progress=show,
            **options,
        )
    if args.plot is not None:
        from ..accuracy.plot import draw

        with open_bytes(args.plot) as out:
            draw(report, out, os.path.splitext(args.plot)[1][1:])
    if args.output is not None:
        with open_output(args.output) as text:
            text.write(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n")
    if args.output != "-":
        print("\n".join(map(printable, str(report).split("\n"))))
    sys.stdout.flush()
    for line in report.broken:
        print(f"pyroberta: failed: {line}", file=sys.stderr)
    return _EXIT_BROKEN if report.broken else 0


def _check_files(args: argparse.Namespace) -> None:
    """Refuse what cannot be written before anything is computed."""
    check_output(args.output, (".json",))
    check_output(args.plot, (".png", ".svg"), "--plot", stdout=False)
    for option in ("output", "plot"):
        written = getattr(args, option)
        for read in (args.texts, args.labels):
            with contextlib.suppress(OSError):
                if None not in (written, read) and os.path.samefile(written, read):
                    raise InputError(f"--{option} must be another file than {read!r}")
    if args.plot is not None:
        from ..accuracy.plot import import_matplotlib

        import_matplotlib()


def _read_texts(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The objects of ``--texts``, each with its line of ``--labels`` under "label"."""
    from ..checks import check_count

    limit = None if args.limit is None else check_count("--limit", args.limit, 1)
    jsonl = args.jsonl or args.texts.endswith(".jsonl")
    with open_input(args.texts, "--texts") as lines:
        # Read to the end before anything is computed: a bad line is told at once.
        texts = list(itertools.islice(read_objects(lines, args.texts, jsonl), limit))
    if args.labels is None:
        return texts
    with open_input(args.labels, "--labels", stdin=False) as lines:
        labels = [one["text"].strip() for one in read_objects(lines, args.labels, False)]
    if len(labels) < len(texts) or (limit is None and len(labels) > len(texts)):
        raise InputError(
            f"--labels must have a line for each text ({len(texts)}), not {len(labels)} lines"
        )
    for i, (text, label) in enumerate(zip(texts, labels, strict=False)):
        if text.get("label") is not None:
            raise InputError(f"--labels must be left out where texts[{i}] has a label of its own")
        text["label"] = label
    return texts
