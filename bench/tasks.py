"""Texts to answers: texts a second of the tasks, against the libraries that people use for them.

From Python texts to Python dictionaries or an array, tokenizing included. Short texts have 3 to 40
words, long ones 100 to 400. Each peer computes at the batch size that is best for it, found in a
turn that is not counted, on texts that are also sorted by length for it (``sorted``): a padding
trick that a user has to know. All take turns in one run, each in a process of its own. What needs
ONNX has other versions of its libraries than transformers 5, and so a Python of its own.

    python -m bench.tasks [--onnx-python PYTHON] --output results/NAME
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from pathlib import Path
from typing import Any

from . import ROOT
from .channel import Child
from .figures import spread
from .machine import busy_fraction, describe_code, describe_machine
from .peaks import Peaks
from .task_engines import ENGINES, engines_of, needs_onnx, work
from .worker import choose_cpus

TASKS = {
    "text-classification": ("RobertaForSequenceClassification", {"num_labels": 3}),
    "token-classification": ("RobertaForTokenClassification", {"num_labels": 5}),
    "sentence-embedding": ("RobertaModel", {}),
}
_CONFIG: dict[str, Any] = {
    "vocab_size": 4800,
    "max_positions": 514,
    "hidden_size": 384,
    "num_blocks": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_token_types": 1,
    "layer_norm_epsilon": 1e-5,
}
SIZES = {"short": (3000, 3, 40), "long": (300, 100, 400)}
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
        config = pyroberta.RobertaConfig(**_CONFIG, **head)
        getattr(pyroberta, name).from_config(config, seed=0).save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes((SHIPPED / "tokenizer.json").read_bytes())
        settings = json.loads((SHIPPED / "tokenizer_config.json").read_text())
        settings["model_max_length"] = 512
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def measure(args: argparse.Namespace, task: str, size: str) -> dict[str, Any]:
    """All turns of all engines at one task."""
    folder = make_folder(task, args.work)
    if args.onnx_python and task == "sentence-embedding":
        code = "from pathlib import Path; from bench.task_engines import export; export(Path({!r}))"
        command = [str(args.onnx_python), "-c", code.format(str(folder.resolve()))]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    children = {}
    found: dict[str, Any] = {}
    for engine in engines_of(task, args.onnx_python is not None):
        arguments = ["bench.tasks", "--worker", engine, "--task", task, "--size", size]
        arguments += ["--folder", str(folder.resolve()), "--threads", str(args.threads)]
        python = args.onnx_python if needs_onnx(engine) else None
        log = args.work / f"{engine}.log"
        children[engine] = Child(arguments, {}, choose_cpus(args.threads), log, python)
        children[engine].answer()
        found[engine] = children[engine].ask("best") | {"seconds": []}
        found[engine]["versions"] = children[engine].ask("versions")
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
    used: dict[str, set[str]] = {}
    for found in results["tasks"].values():
        for one in found.values():
            for name, version in one["versions"].items():
                used.setdefault(name, set()).add(version)
    libraries = ", ".join(f"{name} {' and '.join(sorted(used[name]))}" for name in sorted(used))
    about = (
        f"{machine['cpu']} ({machine['family']}: {' '.join(machine['flags'])}), "
        f"{results['threads']} threads, commit {results['code']['commit'][:7]}, "
        f"{results['rounds']} rounds in turns; {libraries}. Texts a second, median "
        "[10th-90th percentile]; b: the batch size that was best for it. On the right how many "
        "times as many texts pyroberta does in each type."
    )
    lines = ["# Texts to answers: a model of MiniLM-L6's sizes", "", about]
    own = [name for name in ENGINES if name.startswith("pyroberta")]
    for name, found in results["tasks"].items():
        task, size = name.split(" ")
        count = SIZES[size][0]
        parts = found["pyroberta"]["parts"]
        ratio = parts["both"] / max(parts["tokenize"], parts["compute"])
        lines += ["", f"## {task}, {count} {size} texts", ""]
        lines.append(
            f"{parts['tokens'] / count:.0f} tokens a text. A run of pyroberta float32 takes "
            f"{ratio:.3f} times the larger of tokenizing alone ({parts['tokenize']:.2f} s) and "
            f"computing alone ({parts['compute']:.2f} s: "
            f"{_operations(parts['tokens']) / parts['compute'] / 1e9:.0f} Gop/s in products; the "
            f"multiply-add peak of the run is {results['peak'] / 1e9:.0f})."
        )
        lines += ["", f"| engine | texts a second | {' | '.join(ENGINES[one][0] for one in own)} |"]
        lines.append("| --- " * (2 + len(own)) + "|")
        for engine, one in found.items():
            low, middle, high = spread([count / s for s in one["seconds"]])
            batch = "" if one["batch_size"] is None else f", b {one['batch_size']}"
            cells = [ENGINES[engine][0], f"{middle:.0f} [{low:.0f}-{high:.0f}]{batch}"]
            for ours in own:
                pairs = zip(one["seconds"], found[ours]["seconds"], strict=True)
                low, middle, high = spread([theirs / mine for theirs, mine in pairs])
                cells.append(f"{middle:.2f} [{low:.2f}-{high:.2f}]")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _operations(tokens: int) -> float:
    """Two for each multiply-add of the layers' products; attention's are left out."""
    hidden, between = _CONFIG["hidden_size"], _CONFIG["intermediate_size"]
    return 2.0 * tokens * _CONFIG["num_blocks"] * (4 * hidden * hidden + 2 * hidden * between)


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
    parser.add_argument(
        "--onnx-python", type=Path, help="one with sentence-transformers[onnx] and fastembed"
    )
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.task, make_texts(args.size), args.folder, args.threads)
        return
    if args.output is None:
        parser.error("--output is needed")
    args.work.mkdir(parents=True, exist_ok=True)
    peaks = Peaks(args.work)
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "code": describe_code(),
        "busy": busy_fraction(),
        "peak": max(peaks.operations(n, args.threads) for n in ("fma_avx2", "fma_avx512")),
        "threads": args.threads,
        "rounds": args.rounds,
        "tasks": {},
    }
    for task in [args.task] if args.task else TASKS:
        for size in [args.size] if args.size else SIZES:
            results["tasks"][f"{task} {size}"] = measure(args, task, size)
            args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
            args.output.with_suffix(".md").write_text(markdown(results))


if __name__ == "__main__":
    main()
