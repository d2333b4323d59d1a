"""Texts to vectors: texts a second and the arrays' peak, of ``pipeline("sentence-embedding")``.

The texts have the lengths of real ones (``ragged64`` of sizes.py, or a longer limit's share of
them). With ``PYROBERTA_BEFORE`` naming a folder that another version is installed in (as ``pip
install --target`` does), the two take turns in one run.

    python -m bench.texts --model FOLDER --output results/NAME
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

from .channel import Child, serve, settle, take_stdout
from .engines import BEFORE
from .figures import spread
from .machine import describe_code, describe_machine
from .sizes import parse_size
from .worker import choose_cpus

_SIZE = "ragged64"


def make_texts(tokenizer: Any) -> list[str]:
    """Texts of known words that encode to the lengths of the size, or to the tokenizer's limit."""
    texts = []
    for n in parse_size(_SIZE).lengths:
        wanted = n if tokenizer.max_tokens is None else min(n, tokenizer.max_tokens)
        words = wanted
        while len(tokenizer.encode_one(" ".join(["the"] * words))) > wanted:
            words -= 1
        texts.append(" ".join(["the"] * words))
    return texts


def work(model: str | None, compute_type: str, threads: int) -> None:
    """A process with one version: answers "about", "peak" and "turn"."""
    pipe = take_stdout()
    import pyroberta

    pyroberta.set_num_threads(threads)
    embed = pyroberta.pipeline("sentence-embedding", model, compute_type=compute_type)
    texts = make_texts(embed.tokenizer)
    lengths = [len(row) for row in embed.tokenizer.encode(texts)]
    config = embed.model.config

    def about() -> dict[str, Any]:
        digest = hashlib.sha256(embed(texts).tobytes()).hexdigest()
        padded = max(lengths) * len(lengths)
        return {"tokens": sum(lengths), "padded_tokens": padded, "digest": digest}

    def peak() -> dict[str, Any]:
        embed(texts)
        tracemalloc.start()
        embed(texts)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # What the tokens need: hidden states in float32, and ids, types and positions in int64.
        return {"peak": most, "needed": sum(lengths) * (config.hidden_size * 4 + 3 * 8)}

    def turn() -> dict[str, Any]:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            embed(texts)
            times.append(time.perf_counter() - begin)
        settle()
        return {"seconds": float(np.median(times))}

    embed(texts)
    serve(pipe, {"about": about, "peak": peak, "turn": turn})


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All turns of all versions."""
    versions: dict[str, dict[str, str]] = {"now": {}}
    if BEFORE:
        versions["before"] = {"PYTHONPATH": BEFORE}
    model = [] if args.model is None else ["--model", str(args.model)]
    found: dict[str, dict[str, Any]] = {}
    for restart in range(args.restarts):
        children = {}
        for name, variables in versions.items():
            arguments = ["bench.texts", "--work", *model, "--threads", str(args.threads)]
            arguments += ["--compute-type", args.compute_type]
            log = args.output.with_name(f"{args.output.name}-{name}.log")
            children[name] = Child(arguments, variables, choose_cpus(args.threads), log)
            children[name].answer()
            if not restart:
                about = children[name].ask("about") | children[name].ask("peak")
                found[name] = about | {"seconds": []}
        for number in range(args.rounds):
            names = list(children) if number % 2 else list(reversed(children))
            for name in names:
                found[name]["seconds"].append(children[name].ask("turn")["seconds"])
        for name, child in children.items():
            child.close()
            log = args.output.with_name(f"{args.output.name}-{name}.log")
            if not log.read_text():
                log.unlink()
    return found


def markdown(results: dict[str, Any]) -> str:
    """The report."""
    found, machine = results["versions"], results["machine"]
    about = (
        f"{machine['cpu']} ({machine['family']}: {' '.join(machine['flags'])}), "
        f"{results['threads']} threads, commit {results['code']['commit'][:7]}, "
        f"{results['restarts']} starts of {results['rounds']} rounds in turns; {_SIZE}: "
        f"{found['now']['tokens']} tokens, {found['now']['padded_tokens']} when padded."
    )
    lines = [
        f"# Texts to vectors: {results['model']}, {results['compute_type']}",
        "",
        about,
        "",
        "| version | texts a second [10th-90th percentile] | peak of arrays / needed |",
        "| --- | --- | --- |",
    ]
    count = len(parse_size(_SIZE).lengths)
    for name, one in found.items():
        low, middle, high = spread([count / s for s in one["seconds"]])
        share = one["peak"] / one["needed"]
        lines.append(f"| {name} | {middle:.1f} [{low:.1f}-{high:.1f}] | {share:.3f} |")
    if "before" in found:
        pairs = zip(found["before"]["seconds"], found["now"]["seconds"], strict=True)
        low, middle, high = spread([before / now for before, now in pairs])
        same = found["before"]["digest"] == found["now"]["digest"]
        lines += [
            "",
            f"Texts a second now over before: {middle:.3f} [{low:.3f}-{high:.3f}]. The vectors are "
            + ("the same, bit by bit." if same else "not the same."),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, help="a folder (default: the shipped checkpoint)")
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--threads", type=int, default=len(choose_cpus(1024)))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each start")
    # Where a process's memory happens to lie moves its times by some percent.
    parser.add_argument("--restarts", type=int, default=8, help="starts of each version")
    parser.add_argument("--output", type=Path, help="results/NAME")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.model and str(args.model), args.compute_type, args.threads)
        return
    if args.output is None:
        parser.error("--output is needed")
    results = {
        "model": "shipped" if args.model is None else args.model.name,
        "compute_type": args.compute_type,
        "threads": args.threads,
        "rounds": args.rounds,
        "restarts": args.restarts,
        "machine": describe_machine(),
        "code": describe_code(),
        "versions": measure(args),
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    args.output.with_suffix(".md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
