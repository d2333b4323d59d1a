"""The commands ``pyroberta trace``, ``golden`` and ``digits``: a checkpoint's own steps."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from typing import Any

from ..errors import InputError
from .files import check_output, open_input, open_output, printable, progress_of_all, read_objects
from .options import add_revision, add_threads


def add_parser(commands: Any) -> None:
    """Add the commands to the subparsers ``commands``."""
    trace = commands.add_parser(
        "trace",
        help="write every step of a model's call, by name",
        description="Runs texts through a model and writes each step of the graph by name to a "
        "safetensors file, for pyroberta compare, or for another implementer to read.",
    )
    _add_model(trace)
    _add_texts(trace, required=True)
    trace.add_argument(
        "--compute-type",
        metavar="TYPE",
        default="float64",
        help="float64 on the NumPy reference (default), or one of the native kernels",
    )
    trace.add_argument(
        "--steps",
        metavar="PATTERN",
        nargs="+",
        default=[],
        help="keep the steps whose names fit one of these alone, such as 'block.3.*'",
    )
    trace.add_argument(
        "--layout",
        choices=("padded", "ragged"),
        default="padded",
        help="padded (default), or the attended tokens alone",
    )
    trace.add_argument("--output", required=True, metavar="FILE", help="FILE.safetensors")
    trace.set_defaults(run=_trace)

    golden = commands.add_parser(
        "golden",
        help="write a model's inputs, steps and outputs as one folder, for a port",
        description="Writes a folder with inputs, every step in float64, a README and checksums.",
    )
    _add_model(golden)
    _add_texts(golden, required=False)
    golden.add_argument("--output", required=True, metavar="DIR", help="an empty folder, or none")
    golden.set_defaults(run=_golden)

    digits = commands.add_parser(
        "digits",
        help="say how many digits each step has in each compute type",
        description="Runs texts through a model in float64 and in each compute type, and says how "
        "many digits of each step are right, and which texts have the fewest.",
    )
    _add_model(digits)
    _add_texts(digits, required=True)
    digits.add_argument("--compute-type", metavar="TYPE[,TYPE...]", help="all, unless said")
    digits.add_argument(
        "--worst", type=int, default=5, metavar="N", help="how many texts to name (5)"
    )
    digits.add_argument("--output", metavar="FILE", help="FILE.json as well, or - in place")
    digits.set_defaults(run=_digits)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="default: the shipped checkpoint")
    add_revision(parser)
    parser.add_argument(
        "--architecture", metavar="NAME", help='open the checkpoint as another class, e.g. "base"'
    )
    add_threads(parser)


def _add_texts(parser: argparse.ArgumentParser, *, required: bool) -> None:
    more = "" if required else "; drawn ids, unless given"
    parser.add_argument(
        "--texts",
        required=required,
        metavar="FILE",
        help='a text on each line, or FILE.jsonl with the key "text" and, for a pair, '
        f'"text_pair"; - for stdin{more}',
    )
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N texts alone")


def _read_texts(args: argparse.Namespace) -> list[dict[str, Any]]:
    from ..checks import check_count

    limit = None if args.limit is None else check_count("--limit", args.limit, 1)
    with open_input(args.texts, "--texts") as lines:
        is_jsonl = args.texts.endswith(".jsonl")
        texts = list(itertools.islice(read_objects(lines, args.texts, is_jsonl), limit))
    if not texts:
        raise InputError(f"--texts must have a text, not none: {args.texts}")
    return texts


def _trace(args: argparse.Namespace) -> int:
    from ..trust import trace
    from ..trust.of_texts import open_model, read_rows

    check_output(args.output, (".safetensors",), stdout=False)
    options = {"revision": args.revision}
    model = open_model(args.model, args.compute_type, architecture=args.architecture, **options)
    tokenizer, rows = read_rows(args.model, _read_texts(args), **options)
    ids, mask = tokenizer.pad(rows)
    found = trace(model, ids, mask, output=args.output, steps=args.steps, layout=args.layout)
    print(f"{args.output}: {len(found)} steps of {len(rows)} texts, {found.metadata['layout']}")
    return 0


def _golden(args: argparse.Namespace) -> int:
    from ..trust import write_golden

    texts = None if args.texts is None else _read_texts(args)
    options = {"revision": args.revision, "architecture": args.architecture}
    found = write_golden(args.model, args.output, texts, **options)
    print(f"{args.output}: {len(found)} steps of {found.case.ragged.batch} rows")
    return 0


def _digits(args: argparse.Namespace) -> int:
    from ..trust import digits

    check_output(args.output, (".json",))
    types = args.compute_type
    texts = _read_texts(args)
    with progress_of_all() as show:
        report = digits(
            args.model,
            texts,
            compute_types=None if types is None else [name.strip() for name in types.split(",")],
            revision=args.revision,
            architecture=args.architecture,
            worst=args.worst,
            progress=show,
        )
    if args.output is not None:
        with open_output(args.output) as out:
            out.write(json.dumps(report.to_dict(), indent=2) + "\n")
    if args.output != "-":
        print("\n".join(map(printable, str(report).split("\n"))))
    sys.stdout.flush()
    return 0
