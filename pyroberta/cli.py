"""The command ``pyroberta``: its arguments, and what each subcommand prints.

What computes is imported by the subcommand that needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import cli_accuracy, cli_generate, cli_pack
from .cli_files import check_output, open_input, open_output, printable, progress, read_texts
from .errors import CheckpointError, ConfigError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EXIT_ERROR = 2
# 128 + the signal's number, as a shell reports a command that the signal ended.
_EXIT_INTERRUPT = 130
_EXIT_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process; gives the exit status.

    0: done. 1: a threshold of ``accuracy`` was broken. 2: an error of the user's, told in one line
    on stderr. 130: interrupted. 141: what reads the output has gone.
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
    return status


def _parser() -> argparse.ArgumentParser:
    from . import __version__

    parser = argparse.ArgumentParser(
        prog="pyroberta", description="RoBERTa-family inference on CPUs."
    )
    parser.add_argument("--version", action="version", version=f"pyroberta {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    work = argparse.ArgumentParser(add_help=False)
    work.add_argument(
        "--batch-tokens", type=int, metavar="N", help="the most tokens computed together (4096)"
    )
    work.add_argument("--threads", type=int, metavar="N", help="threads of the kernels")

    model = argparse.ArgumentParser(add_help=False, parents=[work])
    model.add_argument(
        "--model", metavar="FOLDER", help="a checkpoint (default: the one that is shipped)"
    )
    model.add_argument(
        "--compute-type", metavar="TYPE", help="what the products are computed in (float32)"
    )

    fill = commands.add_parser("fill-mask", parents=[model], help="guess the masked word of a text")
    fill.add_argument("text", metavar="TEXT", nargs="+", help="holds the model's mask token")
    fill.add_argument("--top-k", type=int, default=5, metavar="N", help="words for each mask (5)")
    fill.add_argument(
        "--output",
        metavar="FILE",
        help='write JSON lines with the keys "text" and "answers" to FILE.jsonl, or to stdout '
        "for - (default: print a table)",
    )
    fill.set_defaults(run=_fill_mask)

    embed = commands.add_parser("embed", parents=[model], help="turn texts into vectors")
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
    embed.set_defaults(run=_embed)

    cli_generate.add_parser(commands, model)
    cli_accuracy.add_parser(commands, work)

    cli_pack.add_parser(commands)

    info = commands.add_parser("info", help="say what is in a checkpoint's folder")
    info.add_argument("model", metavar="MODEL", nargs="?", help="default: the shipped checkpoint")
    info.add_argument(
        "--checksum",
        action="store_true",
        help="read all of a packed file too, and see whether it is as it was written",
    )
    info.set_defaults(run=_info)

    config = commands.add_parser("config", help="say what runs here: kernels, threads, versions")
    config.add_argument("--threads", type=int, metavar="N", help="threads of the kernels")
    config.set_defaults(run=_config)
    return parser


def _prepare(args: argparse.Namespace) -> None:
    threads = getattr(args, "threads", None)
    if threads is not None:
        from .extension import set_num_threads
        from .inputs import check_count

        set_num_threads(check_count("--threads", threads, 1))


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of ``pipeline`` that were given."""
    options = {"compute_type": args.compute_type, "batch_tokens": args.batch_tokens}
    return {name: value for name, value in options.items() if value is not None}


def _fill_mask(args: argparse.Namespace) -> None:
    from .text import pipeline

    check_output(args.output, (".jsonl",))
    fill = pipeline("fill-mask", args.model, top_k=args.top_k, **_options(args))
    answers = fill(args.text)
    if args.output is None:
        for i, (text, answer) in enumerate(zip(args.text, answers, strict=True)):
            if len(args.text) > 1:
                print(("\n" if i else "") + printable(text))
            _print_table(answer)
        return
    with open_output(args.output) as out:
        for text, answer in zip(args.text, answers, strict=True):
            out.write(json.dumps({"text": text, "answers": answer}, ensure_ascii=False) + "\n")


def _print_table(answer: list[Any]) -> None:
    """The words for one mask, or those for each of several under a line that numbers it."""
    if isinstance(answer[0], list):
        for number, one in enumerate(answer, 1):
            print(f"mask {number}")
            _print_table(one)
        return
    rows = [
        (f"{a['score']:.4f}", printable(a["token_str"].strip()), printable(a["sequence"]))
        for a in answer
    ]
    rows.insert(0, ("score", "word", "sequence"))
    width = max(len(word) for _, word, _ in rows)
    for score, word, sequence in rows:
        print(f"{score:>6}  {word:{width}}  {sequence}")


def _embed(args: argparse.Namespace) -> None:
    import numpy as np

    from .text import pipeline

    check_output(args.output, (".npy", ".jsonl"))
    jsonl = args.jsonl or args.input.endswith(".jsonl")
    with open_input(args.input) as lines, progress() as advance:
        if os.path.exists(args.output) and os.path.samestat(
            os.stat(args.output), os.fstat(lines.fileno())
        ):
            raise InputError(f"--output must be another file than FILE, not {args.output!r}")
        embed = pipeline("sentence-embedding", args.model, **_options(args))
        texts = read_texts(lines, args.input, jsonl)
        if args.output.endswith(".npy"):
            vectors = []
            for vector in embed.stream(texts):
                vectors.append(vector)
                advance()
            hidden = embed.model.config.hidden_size
            array = np.stack(vectors) if vectors else np.empty((0, hidden), np.float32)
            # An open file, since save would add .npy to a name that ends otherwise.
            with open(args.output, "wb") as file:
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
    return [float(digits) for digits in vector.astype("U")]


def _info(args: argparse.Namespace) -> None:
    from .shipped import SHIPPED
    from .text.describe import describe

    lines = describe(SHIPPED if args.model is None else args.model, checksum=args.checksum)
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:{width}}  {printable(value)}")


def _config(args: argparse.Namespace) -> None:
    from .extension import show_config

    show_config()


if __name__ == "__main__":
    sys.exit(main())
