"""The commands ``similarity`` and ``search``: texts compared by their vectors."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import InputError
from .files import check_output, open_output, printable
from .options import model_options
from .rows import Source, format_of


def add_parser(commands: Any) -> None:
    """Add the commands to the subparsers ``commands``."""
    alike = commands.add_parser(
        "similarity", parents=[model_options()], help="say how alike texts are"
    )
    alike.add_argument("text", metavar="TEXT", help="what the others are compared to")
    alike.add_argument("others", metavar="OTHER", nargs="+")
    _add_output(alike)
    alike.set_defaults(run=_similarity)
    search = commands.add_parser(
        "search", parents=[model_options()], help="find texts like a query among embedded ones"
    )
    search.add_argument("index", metavar="INDEX", help="FILE.npy or FILE.jsonl, written by embed")
    search.add_argument("query", metavar="QUERY", nargs="+")
    search.add_argument("--top-k", type=int, default=5, metavar="N", help="rows to give (5)")
    search.add_argument(
        "--texts", metavar="FILE", help="what the rows of an array were made of, to be told"
    )
    search.add_argument("--text-column", metavar="NAME", help="of its columns (text)")
    _add_output(search)
    search.set_defaults(run=_search)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write JSON lines to FILE.jsonl, or to stdout for - (default: print a table)",
    )


def _encoder(args: argparse.Namespace) -> Any:
    from ..text import SentenceEncoder

    names = ("revision", "compute_type", "embedding_type", "batch_tokens")
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return SentenceEncoder(args.model, **options)


def _similarity(args: argparse.Namespace) -> None:
    check_output(args.output, (".jsonl",))
    encoder = _encoder(args)
    vectors = encoder.encode([args.text, *args.others])
    scores = encoder.similarity(vectors[0], vectors[1:])[0].tolist()
    rows = [
        {"text": args.text, "other": other, "score": score}
        for other, score in zip(args.others, scores, strict=True)
    ]
    _tell(args, rows, "other")


def _search(args: argparse.Namespace) -> None:
    from ..checks import check_count
    from ..text.nearest import nearest

    check_output(args.output, (".jsonl",))
    top_k = check_count("--top-k", args.top_k, 1)
    vectors, texts = _read_index(args)
    encoder = _encoder(args)
    queries = encoder.encode_query(args.query)
    if queries.shape[1] != vectors.shape[1]:
        raise InputError(
            f"INDEX must have vectors as wide as the model's ({queries.shape[1]}), "
            f"not {vectors.shape[1]}"
        )
    places, scores = nearest(vectors, queries, top_k, encoder.similarity_fn_name)
    rows = []
    for query, of_query, found in zip(args.query, places, scores, strict=True):
        for place, score in zip(of_query.tolist(), found.tolist(), strict=True):
            told = {"query": query, "row": place, "score": score}
            rows.append(told if texts is None else {**told, "text": texts[place]})
    _tell(args, rows, "row" if texts is None else "text")


def _read_index(args: argparse.Namespace) -> tuple[Any, list[str] | None]:
    """The vectors ``[n, dimension]``, of an array mapped and not read, and their texts."""
    import numpy as np

    column = args.text_column or "text"
    if not args.index.endswith(".npy"):
        rows = list(Source(args.index, "jsonl", ["embedding"]).rows())
        bad = next((row for row in rows if row.error is not None), None)
        if bad is not None:
            raise InputError(f"{bad.where} {bad.error}")
        texts = [str(row.values.get(column, "")) for row in rows]
        try:
            return np.array([row.values["embedding"] for row in rows], np.float32), texts
        except (ValueError, TypeError) as error:
            raise InputError(f"{args.index} must hold vectors of one width: {error}") from None
    try:
        vectors = np.load(args.index, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise InputError(f"INDEX must be an array that embed wrote: {error}") from None
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise InputError(
            f"INDEX must be a float32 array [n, dimension], not {vectors.dtype} "
            f"{list(vectors.shape)}"
        )
    if args.texts is None:
        return vectors, None
    source = Source(args.texts, format_of(args.texts, None), [column])
    texts = [str(row.values[column]) for row in source.rows()]
    if len(texts) != len(vectors):
        raise InputError(f"--texts must have the {len(vectors)} rows of INDEX, not {len(texts)}")
    return vectors, texts


def _tell(args: argparse.Namespace, rows: list[dict[str, Any]], shown: str) -> None:
    if args.output is not None:
        with open_output(args.output) as out:
            for row in rows:
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
        return
    before = None
    for row in rows:
        if row.get("query", before) != before:
            before = row["query"]
            print(printable(before))
        print(f"{row['score']:8.4f}  {printable(str(row[shown]))}")
