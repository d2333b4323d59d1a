"""The command ``pyroberta info``: what is in a checkpoint's folder, and what becomes of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .files import printable
from .options import add_revision


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers ``commands``."""
    info = commands.add_parser("info", help="say what is in a folder, and what would be refused")
    info.add_argument("model", metavar="MODEL", nargs="?", help="default: the shipped checkpoint")
    add_revision(info)
    info.add_argument("--json", action="store_true", help="all of it, as one JSON object")
    info.add_argument(
        "--checksum",
        action="store_true",
        help="read all of a packed file too, and see whether it is as it was written",
    )
    info.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from ..shipped import SHIPPED
    from .describe import describe

    path = SHIPPED if args.model is None else args.model
    facts = describe(path, revision=args.revision, checksum=args.checksum)
    if args.json:
        print(json.dumps(facts, indent=2))
        return
    lines = _lines(facts)
    width = max(len("usable length"), *(len(name) for name, _ in lines))
    for name, value in lines:
        print(f"{name:{width}}  {printable(value)}")


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """A heading and a few words for each fact, in the order to print them."""
    lines = [("folder", facts["folder"])]
    lines.append(("architecture", ", ".join(facts["architecture"] or ["not named"])))
    if "opens as" in facts:
        lines.append(("opens as", ", ".join(facts["opens as"]) or "none of the classes"))
    if "sizes" in facts:
        lines += _size_lines(facts["sizes"], facts["limit"])
    if "parameters" in facts:
        lines += _weight_lines(facts)
    if facts.get("adapter"):
        lines.append(("adapter", _adapter_words(facts["adapter"])))
    if "tokenizer" in facts:
        lines.append(("tokenizer", _tokenizer_words(facts)))
    if "sentences" in facts:
        sentences = facts["sentences"]
        words = sentences["words"] if sentences else f"not computed: {facts['refused'][-1]}"
        lines.append(("sentences", words))
    for what, keys in facts["config"].items():
        if keys:
            lines.append(("keys", f"{what}: {', '.join(keys)}"))
    for what in dict.fromkeys(file["what"] for file in facts["files"]):
        names = [file["name"] for file in facts["files"] if file["what"] == what]
        lines.append(("file", f"{', '.join(names)}: {what}"))
    return lines + [("refused", message) for message in facts["refused"]]


def _size_lines(sizes: dict[str, Any], limit: dict[str, Any]) -> list[tuple[str, str]]:
    others = [f"{what}: {n:,}" for what, n in limit["said"].items() if what != limit["by"]]
    blocks = (
        f"{sizes['num_blocks']}, hidden_size {sizes['hidden_size']}, "
        f"{sizes['num_attention_heads']} heads, intermediate_size {sizes['intermediate_size']}, "
        f"{sizes['activation']}"
    )
    return [
        ("blocks", blocks),
        ("words", f"{sizes['vocab_size']:,}"),
        (
            "usable length",
            f"{limit['tokens']:,} tokens, by {limit['by']}"
            + (f" ({'; '.join(others)})" if others else ""),
        ),
    ]


def _weight_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    sizes = sorted((Path(file).name, size) for file, size in facts["weights"].items())
    dtypes = (f"{kind} ({n} tensors)" for kind, n in facts["dtypes"].items())
    lines = [
        ("parameters", f"{facts['parameters']:,}"),
        ("files", ", ".join(f"{name} {size / 2**20:,.1f} MiB" for name, size in sizes)),
        ("dtypes", ", ".join(dtypes)),
    ]
    packed = facts.get("packed")
    if packed is None:
        return [*lines, ("prefix", repr(facts["prefix"]))]
    others = f"; not by {', '.join(packed['not usable'])}" if packed["not usable"] else ""
    seen = "which the file has" if packed["verified"] else "not looked at without --checksum"
    words = packed["embedding_type"]
    return [
        *lines,
        ("packed for", f"{packed['compute_type']}: {packed['family']}"),
        *([] if words is None else [("word table", words)]),
        ("usable here by", (", ".join(packed["usable"]) or "no kernels") + others),
        ("checksum", f"sha256 {packed['sha256']}, {seen}"),
    ]


def _adapter_words(adapter: dict[str, Any]) -> str:
    scales = ", ".join(f"{scale:.4g}" for scale in adapter["scales"])
    words = f"LoRA on {len(adapter['layers'])} layers, scale {scales or 'none'}, merged at load"
    return words + (f"; whole: {', '.join(adapter['whole'])}" if adapter["whole"] else "")


def _tokenizer_words(facts: dict[str, Any]) -> str:
    tokenizer = facts["tokenizer"]
    if tokenizer is None:
        about = (message for message in facts["refused"] if "token" in message)
        return f"none: {next(about, 'it cannot be read')}"
    mask = tokenizer["mask_token"] or "missing"
    return f"{tokenizer['file']}: {tokenizer['kind']}, mask token {mask}"
