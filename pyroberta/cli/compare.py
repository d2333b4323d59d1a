"""The commands ``pyroberta compare`` and ``vectors``: another implementation beside ours."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from ..errors import InputError
from .files import check_output, open_bytes, open_output, printable
from .options import add_threads

_EXIT_BEYOND = 1


def add_parser(commands: Any) -> None:
    """Add the commands to the subparsers ``commands``."""
    compare = commands.add_parser(
        "compare",
        help="find the first step where another implementation differs by more than rounding",
        description="Compares another implementation's arrays with a trace, step by step. Each "
        "step is judged by what theirs has before it, and by what rounding does to it.",
        epilog="Exit status: 0 where all steps differ by rounding alone; 1 where one differs by "
        "more, with a line on stderr; 2 for an error.",
    )
    compare.add_argument("mine", metavar="MINE", help="a file that pyroberta trace wrote")
    compare.add_argument(
        "theirs", metavar="THEIRS", help="a .npz or safetensors file, or a folder of .npy files"
    )
    compare.add_argument(
        "--model", metavar="MODEL", help="the checkpoint (where the trace was made from, unless)"
    )
    compare.add_argument(
        "--names",
        metavar="FILE",
        help="a JSON object of steps to their names, with {n} for a block's number (those of "
        "transformers, fairseq, Bumblebee and ONNX exports are known)",
    )
    compare.add_argument(
        "--number-type",
        metavar="TYPE",
        help="what theirs computes in, e.g. bfloat16 (what its arrays show)",
    )
    compare.add_argument(
        "--runs", type=int, default=4, metavar="N", help="perturbed runs of each step (4)"
    )
    compare.add_argument("--seed", type=int, default=0, metavar="N", help="of their draws (0)")
    compare.add_argument(
        "--output", metavar="FILE", help="the report to FILE.json as well, or to stdout for -"
    )
    compare.add_argument(
        "--plot", metavar="FILE", help='draw it to FILE.png or FILE.svg (needs "pyroberta[plot]")'
    )
    add_threads(compare)
    compare.set_defaults(run=_compare)

    vectors = commands.add_parser(
        "vectors",
        help="write test vectors for each function, or check an implementation by them",
        description="Writes hard inputs for each function with results right to the last bit of "
        "float64, as JSON and safetensors; or compares an implementation's results with them.",
        epilog="Exit status: 0; 1 where --check finds more than --max-ulps; 2 for an error.",
    )
    what = vectors.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", metavar="DIR", help="write the vectors to a folder")
    what.add_argument(
        "--check",
        nargs=2,
        metavar=("DIR", "THEIRS"),
        help="compare outputs by the names of cases (.npz, safetensors, a folder of .npy files)",
    )
    vectors.add_argument(
        "--max-ulps", type=float, metavar="X", help="the most units in the last place"
    )
    vectors.add_argument("--json", metavar="FILE", help="the report of --check to FILE.json, or -")
    vectors.set_defaults(run=_vectors)


def _compare(args: argparse.Namespace) -> int:
    from ..trust import compare

    check_output(args.output, (".json",))
    check_output(args.plot, (".png", ".svg"), "--plot", stdout=False)
    if args.plot is not None:
        from ..accuracy.plot import import_matplotlib

        import_matplotlib()
    report = compare(
        args.mine,
        args.theirs,
        model=args.model,
        names=args.names,
        number_type=args.number_type,
        runs=args.runs,
        seed=args.seed,
    )
    if args.plot is not None:
        from ..trust.plot import draw

        with open_bytes(args.plot) as out:
            draw(report, out, os.path.splitext(args.plot)[1][1:])
    _show(report, args.output)
    if report.first is None:
        return 0
    print(
        f"pyroberta: differs by more than rounding: {printable(report.first.name)}",
        file=sys.stderr,
    )
    return _EXIT_BEYOND


def _vectors(args: argparse.Namespace) -> int:
    from ..trust import check_vectors, write_vectors

    if args.check is None:
        for flag, value in (("--max-ulps", args.max_ulps), ("--json", args.json)):
            if value is not None:
                raise InputError(f"{flag} must come with --check, not with --output")
        print(f"{args.output}: {write_vectors(args.output)} cases")
        return 0
    if args.max_ulps is not None and not args.max_ulps >= 0:
        raise InputError(f"--max-ulps must be at least 0, not {args.max_ulps}")
    check_output(args.json, (".json",), "--json")
    report = check_vectors(*args.check)
    _show(report, args.json)
    if args.max_ulps is None or report.worst <= args.max_ulps:
        return 0
    print(
        f"pyroberta: failed: {report.worst:.4g} units in the last place, of which "
        f"{args.max_ulps:g} are the most",
        file=sys.stderr,
    )
    return _EXIT_BEYOND


def _show(report: Any, output: str | None) -> None:
    """The report as JSON to a file or stdout, and as a table unless it is there."""
    if output is not None:
        with open_output(output) as out:
            out.write(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n")
    if output != "-":
        print("\n".join(map(printable, str(report).split("\n"))))
    sys.stdout.flush()
