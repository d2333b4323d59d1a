"""Cold start, load time, memory and installed size of each engine.

``python -m bench.start --output results/NAME-start`` starts a process for each engine in turn,
again and again, and takes medians: from the start of the process to its first answer (ids in, files
in the page cache), the part of it that loading takes, and the most memory it ever held.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from .channel import Child, ChildFailed
from .engines import find_engine, in_types
from .machine import busy_fraction, describe_code, describe_machine, versions
from .models import default_work, model_folder, read_config
from .sizes import parse_size, weight_bytes
from .worker import choose_cpus, convert, converted_folder

_ENGINES = ("pyroberta", "pyroberta-packed", "onnxruntime", "openvino", "ctranslate2", "torch")
_COLUMNS = {
    "first_answer": "first answer, ms",
    "load": "of it loading, ms",
    "peak": "peak memory, MB",
    "above_floor": "above Python + NumPy, MB",
    "own_size": "installed, MB",
    "whole_size": "with what it needs, MB",
}


def measure(name: str, model: Path, args: argparse.Namespace) -> dict[str, float]:
    """One cold start: seconds and bytes. ``"floor"`` is Python with NumPy and no engine."""
    rows = parse_size(args.size).rows(read_config(model)["vocab_size"])
    converted = Path() if name == "floor" else converted_folder(find_engine(name), model, args.work)
    arguments = [str(model), str(converted), str(args.threads)]
    variables = {} if name == "floor" else find_engine(name).environment(args.threads)
    log = args.work / "logs" / f"{name}-first.log"
    begin = time.perf_counter()
    child = Child(
        ["bench.first", name, *arguments, json.dumps(rows)],
        variables,
        choose_cpus(args.threads),
        log,
    )
    try:
        answer = child.answer()
        seconds = time.perf_counter() - begin
    finally:
        child.close()
    return {
        "first_answer": seconds,
        "load": answer["load_seconds"],
        "peak": answer["peak_bytes"],
    }


def installed_bytes(package: str) -> tuple[int, int]:
    """The size of a distribution's files, and of those and all that it requires. 0: unknown."""
    own = _files_bytes(package)
    seen: set[str] = set()
    waiting = [package]
    total = 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        total += _files_bytes(name)
        for requirement in requires:
            # Extras are left out, and so is what a marker asks for that is not installed here.
            if "extra ==" not in requirement:
                found = re.match(r"[A-Za-z0-9._-]+", requirement)
                if found:
                    waiting.append(found[0])
    return own, total


def _files_bytes(package: str) -> int:
    total = 0
    for file in distribution(package).files or []:
        path = Path(str(file.locate()))
        if path.is_file():
            total += path.stat().st_size
    return total


def markdown(results: dict[str, Any]) -> str:
    """A table of medians, ours first, with the ratios of first answers."""
    machine, code, engines = results["machine"], results["code"], results["engines"]
    arguments = results["arguments"]
    lines = [
        (
            f"# Cold start: {arguments['model']} size, {arguments['compute_type']}, "
            f"{arguments['size']}, {arguments['threads']} threads"
        ),
        "",
        f"{machine['cpu']}, {machine['memory_gb']} GB; commit {code['commit']}; {code['date']}; "
        + ", ".join(f"{name} {number}" for name, number in results["versions"].items()),
        "",
        (
            f"Medians of {arguments['rounds']} starts in turn. CPU time used by others: "
            f"{results['busy']:.0%}. "
            f"The blocks' matrices are {results['weight_bytes'] / 1e6:.0f} MB; "
            f"Python with NumPy holds {results['floor_bytes'] / 1e6:.0f} MB at most and is there "
            f"after {1e3 * results['floor_seconds']:.0f} ms."
        ),
        "",
        f"| engine | {' | '.join(_COLUMNS.values())} | first answer, ratio |",
        "|" + " --- |" * (len(_COLUMNS) + 2),
    ]
    ours = next(iter(engines.values()))["first_answer"]
    for name, found in engines.items():
        seconds = [f"{1e3 * found[x]:.0f}" for x in ("first_answer", "load")]
        sizes = [f"{found[x] / 1e6:.1f}" for x in _COLUMNS if x not in ("first_answer", "load")]
        ratio = f"{found['first_answer'] / ours:.2f}"
        lines.append(f"| {' | '.join([name, *seconds, *sizes, ratio])} |")
    lines += [f"- {failure}" for failure in results["failures"]]
    return "\n".join(lines) + "\n"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", default=",".join(_ENGINES))
    parser.add_argument("--model", default="base")
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--size", default="1x16")
    parser.add_argument("--threads", type=int, default=len(choose_cpus(1024)))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json and OUTPUT.md")
    parser.add_argument("--work", type=Path, default=default_work())
    args = parser.parse_args()
    args.work = args.work.resolve()
    parse_size(args.size)
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All engines in turn, ``rounds`` times."""
    names = in_types(args.engines.split(","), [args.compute_type])
    model = model_folder(args.model, args.work)
    busy = busy_fraction()
    times: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    failures = []
    for name in names:
        convert(name, model, args.work)
    # One round more: the first start brings the files into the page cache.
    for number in range(args.rounds + 1):
        # In another order each time: what a process gave back of the memory costs the next.
        for name in random.Random(number).sample(list(times), len(times)):
            try:
                found = measure(name, model, args)
            except ChildFailed as error:
                failures.append(f"{name}: {error}")
                del times[name]
                continue
            if number:
                times[name].append(found)
    floors = [measure("floor", model, args) for _ in range(args.rounds)]
    floor = floors[0]["peak"]
    engines = {}
    for name, starts in times.items():
        medians = {key: statistics.median(s[key] for s in starts) for key in starts[0]}
        own, whole = installed_bytes(find_engine(name).packages[0])
        engines[name] = medians | {
            "above_floor": medians["peak"] - floor,
            "own_size": own,
            "whole_size": whole,
        }
    return {
        "machine": describe_machine(),
        "code": describe_code(),
        "versions": versions({p for name in names for p in find_engine(name).packages}),
        "arguments": {
            key: getattr(args, key)
            for key in ("model", "compute_type", "size", "threads", "rounds")
        },
        "busy": busy or 0.0,
        "weight_bytes": weight_bytes(read_config(model), args.compute_type),
        "floor_bytes": floor,
        "floor_seconds": statistics.median(found["first_answer"] for found in floors),
        "engines": engines,
        "failures": failures,
    }


def main() -> None:
    """Measure, print, write."""
    args = parse_arguments()
    results = run(args)
    text = markdown(results)
    print(text)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
        args.output.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
