"""Texts to answers: texts a second of the tasks, against transformers and sentence-transformers.

From Python texts to Python dictionaries or an array, tokenizing included. Short texts have 3 to 40
words, long ones 100 to 400. Each peer computes at the batch size that is best for it, found in a
turn that is not counted, on texts that are also sorted by length for it (``sorted``): a padding
trick that a user has to know. All take turns in one run, each in a process of its own.

    python -m bench.tasks --output results/NAME
"""

from __future__ import annotations

import argparse
import json
import random
import time
import warnings
from pathlib import Path
from typing import Any

from .channel import Child, serve, settle, take_stdout
from .figures import spread
from .machine import busy_fraction, describe_code, describe_machine, versions
from .worker import choose_cpus

TASKS = {
    "text-classification": ("RobertaForSequenceClassification", {"num_labels": 3}),
    "token-classification": ("RobertaForTokenClassification", {"num_labels": 5}),
    "sentence-embedding": ("RobertaModel", {}),
}
ENGINES = ("pyroberta", "peer", "peer-sorted")
SIZES = {"short": (3000, 3, 40), "long": (300, 100, 400)}
BATCH_SIZES = (1, 8, 32, 128)
_WORDS = [
    "the",
    "king",
    "lived",
    "in",
    "a",
    "large",
    "house",
    "by",
    "sea",
    "and",
    "his",
    "men",
    "went",
    "to",
    "find",
    "some",
    "water",
    "for",
    "them",
]


def make_texts(size: str) -> list[str]:
    """Texts of the shipped tokenizer's common words."""
    count, low, high = SIZES[size]
    rng = random.Random(0)
    return [" ".join(rng.choices(_WORDS, k=rng.randint(low, high))) for _ in range(count)]


def make_folder(task: str, work: Path) -> Path:
    """A model of MiniLM-L6's sizes with random weights, and the shipped tokenizer."""
    import pyroberta
    from pyroberta.shipped import SHIPPED

    name, head = TASKS[task]
    folder = work / task
    if not (folder / "tokenizer_config.json").exists():
        config = pyroberta.RobertaConfig(
            vocab_size=4800,
            max_positions=514,
            hidden_size=384,
            num_blocks=6,
            num_attention_heads=12,
            intermediate_size=1536,
            max_token_types=1,
            layer_norm_epsilon=1e-5,
            **head,
        )
        getattr(pyroberta, name).from_config(config, seed=0).save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes((SHIPPED / "tokenizer.json").read_bytes())
        settings = json.loads((SHIPPED / "tokenizer_config.json").read_text())
        settings["model_max_length"] = 512
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def work(engine: str, task: str, size: str, folder: Path, threads: int) -> None:
    """A process with one engine: answers "best" and "turn"; ours "parts" too."""
    pipe = take_stdout()
    warnings.simplefilter("ignore")
    texts = make_texts(size)
    if engine == "pyroberta":
        import pyroberta

        pyroberta.set_num_threads(threads)
        ours = pyroberta.pipeline(task, folder)

        def parts() -> dict[str, Any]:
            """Seconds of tokenizing alone, of computing alone, and of both."""
            found: dict[str, list[float]] = {"tokenize": [], "compute": [], "both": []}
            for _ in range(3):
                begin = time.perf_counter()
                rows = [ours.tokenizer.encode_with_offsets(text) for text in texts]
                found["tokenize"].append(time.perf_counter() - begin)
                begin = time.perf_counter()
                if task == "sentence-embedding":
                    ours._embed([row.ids for row in rows], ours._makes, 0)
                else:
                    ours._compute(rows, ours.options)
                found["compute"].append(time.perf_counter() - begin)
                begin = time.perf_counter()
                ours(texts)
                found["both"].append(time.perf_counter() - begin)
            return {name: sorted(times)[len(times) // 2] for name, times in found.items()}

        def call() -> Any:
            return ours(texts)

        jobs = {"best": lambda: {"batch_size": None}, "parts": parts}
    else:
        import torch

        torch.set_num_threads(threads)
        if engine == "peer-sorted":
            texts = sorted(texts, key=len)
        if task == "sentence-embedding":
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(str(folder), device="cpu").float()

            def run(texts: list[str], batch_size: int) -> Any:
                return model.encode(texts, batch_size=batch_size, show_progress_bar=False)
        else:
            import transformers

            theirs = transformers.pipeline(task, str(folder), device="cpu")

            def run(texts: list[str], batch_size: int) -> Any:
                more = {"truncation": True} if task == "text-classification" else {}
                return theirs(texts, batch_size=batch_size, **more)

        chosen = [BATCH_SIZES[0]]

        def best() -> dict[str, Any]:
            part, times = texts[:: len(texts) // 300 + 1], {}
            for batch_size in BATCH_SIZES:
                begin = time.perf_counter()
                run(part, batch_size)
                times[batch_size] = time.perf_counter() - begin
            chosen[0] = min(times, key=times.__getitem__)
            return {"batch_size": chosen[0]}

        def call() -> Any:
            return run(texts, chosen[0])

        jobs = {"best": best}

    def turn() -> dict[str, Any]:
        begin = time.perf_counter()
        call()
        seconds = time.perf_counter() - begin
        settle()
        return {"seconds": seconds}

    serve(pipe, {**jobs, "turn": turn})


def measure(args: argparse.Namespace, task: str, size: str) -> dict[str, Any]:
    """All turns of all engines at one task."""
    folder = make_folder(task, args.work)
    children = {}
    found: dict[str, Any] = {}
    for engine in ENGINES:
        arguments = ["bench.tasks", "--worker", engine, "--task", task, "--size", size]
        arguments += ["--folder", str(folder), "--threads", str(args.threads)]
        log = args.work / f"{engine}.log"
        children[engine] = Child(arguments, {}, choose_cpus(args.threads), log)
        children[engine].answer()
        found[engine] = children[engine].ask("best") | {"seconds": []}
    found["pyroberta"]["parts"] = children["pyroberta"].ask("parts")
    for number in range(args.rounds):
        order = list(children) if number % 2 else list(reversed(children))
        for engine in order:
            found[engine]["seconds"].append(children[engine].ask("turn")["seconds"])
    for child in children.values():
        child.close()
    return found


def markdown(results: dict[str, Any]) -> str:
    """The report."""
    machine = results["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    about = (
        f"{machine['cpu']} ({machine['family']}: {' '.join(machine['flags'])}), "
        f"{results['threads']} threads, commit {results['code']['commit'][:7]}, float32, "
        f"{results['rounds']} rounds in turns; {libraries}. Texts a second, median "
        "[10th-90th percentile]; the peer is transformers' pipeline, for embeddings "
        "sentence-transformers; b: its best batch size."
    )
    columns = ["task", "texts", "pyroberta", "peer", "peer, sorted"]
    columns += ["over peer", "over sorted", "both / larger part"]
    lines = ["# Texts to answers: a model of MiniLM-L6's sizes", "", about, ""]
    lines.append(f"| {' | '.join(columns)} |")
    lines.append("| --- " * len(columns) + "|")
    for name, found in results["tasks"].items():
        task, size = name.split(" ")
        count = SIZES[size][0]
        cells = [task, f"{count} {size}"]
        for engine in ENGINES:
            low, middle, high = spread([count / s for s in found[engine]["seconds"]])
            batch = found[engine]["batch_size"]
            at = "" if batch is None else f", b {batch}"
            cells.append(f"{middle:.0f} [{low:.0f}-{high:.0f}]{at}")
        for engine in ENGINES[1:]:
            pairs = zip(found[engine]["seconds"], found["pyroberta"]["seconds"], strict=True)
            low, middle, high = spread([theirs / ours for theirs, ours in pairs])
            cells.append(f"{middle:.2f} [{low:.2f}-{high:.2f}]")
        parts = found["pyroberta"]["parts"]
        cells.append(f"{parts['both'] / max(parts['tokenize'], parts['compute']):.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--worker", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS, help="this one alone")
    parser.add_argument("--size", choices=SIZES, help="this one alone")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("bench-tasks"))
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.task, args.size, args.folder, args.threads)
        return
    if args.output is None:
        parser.error("--output is needed")
    args.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "code": describe_code(),
        "busy": busy_fraction(),
        "threads": args.threads,
        "rounds": args.rounds,
        "versions": versions(["torch", "transformers", "sentence-transformers"]),
        "tasks": {},
    }
    for task in [args.task] if args.task else TASKS:
        for size in [args.size] if args.size else SIZES:
            results["tasks"][f"{task} {size}"] = measure(args, task, size)
            args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
            args.output.with_suffix(".md").write_text(markdown(results))


if __name__ == "__main__":
    main()
