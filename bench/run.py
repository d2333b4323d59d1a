"""The benchmark: every engine on the same batches, in turn, in one run.

``python -m bench.run --threads 1,2 --output results/NAME`` writes NAME.json, NAME.md and plots.
README.md beside this file says how the figures are made and how to read them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .channel import Child, ChildFailed
from .check import errors, objections
from .engines import COMPUTE_TYPES, ENGINES, find_engine, in_types
from .machine import busy_fraction, describe_code, describe_machine, versions
from .models import MODELS, default_work, model_folder, read_config
from .peaks import start_peaks
from .report import write_report
from .sizes import DEFAULT_SIZES, LONG_SIZES, Size, parse_size, weight_bytes
from .worker import convert, start_engine

FULL_ROUNDS = 30
# Where a call takes longer than this, a third of the rounds must do.
_LONG_SECONDS = 2.0


class Run:
    """One model on one number of threads: all engines loaded, each in its process."""

    def __init__(self, args: argparse.Namespace, model: Path, threads: int) -> None:
        self.args = args
        self.model = model
        self.threads = threads
        self.config = read_config(model)
        self.failures: list[str] = []
        self.engines: dict[str, Child] = {}
        self.peaks: Child | None = None

    def __enter__(self) -> Run:
        for name in self.args.engines:
            with self._failing(name, "did not start"):
                convert(name, self.model, self.args.work)
                child = start_engine(name, self.model, self.threads, self.args.work)
                child.answer()
                self.engines[name] = child
        try:
            self.peaks = start_peaks(self.threads, self.args.work)
            self.peaks.answer()
        except ChildFailed as error:
            self.failures.append(f"peaks: {error}")
            self.peaks = None
        return self

    def __exit__(self, *_: object) -> None:
        for child in [*self.engines.values(), self.peaks]:
            if child is not None:
                child.close()

    def measure(self, size: Size) -> dict[str, Any]:
        """Check every engine's output for a batch, then take the turns."""
        engines: dict[str, dict[str, Any]] = {}
        seconds = []
        batches, exact = size.judged_batches, self._exact(size)
        ours: tuple[str, NDArray[np.float32]] | None = None
        for name in list(self.engines):
            with self._failing(name, f"gave no output for {size.name}"):
                path = self.args.work / "outputs" / f"{name}.npy"
                path.parent.mkdir(exist_ok=True)
                every = len(size.lengths)
                self._ask(
                    name, "output", size=size.name, batches=batches, rows=every, path=str(path)
                )
                output = np.load(path)
                path.unlink()
                ours = (name, output) if ours is None else ours
                found = errors(output, exact, batches)
                difference = float(np.abs(output - ours[1]).max())
                said = objections(find_engine(name), found, find_engine(ours[0]), difference)
                self.failures += [f"{name} at {size.name}: {what}" for what in said]
                engines[name] = {"seconds": [], "settled": []}
                engines[name] |= {"errors": found, "difference": difference}
                seconds.append(self._ask(name, "turn", size=size.name)["seconds"])
        rounds = self.args.rounds
        if seconds and statistics.median(seconds) > _LONG_SECONDS:
            rounds = max(1, rounds // 3)
        limits: dict[str, list[float]] = {}
        for number in range(rounds):
            for name in turns(list(engines), number):
                if name in self.engines:
                    with self._failing(name, f"stopped at {size.name}"):
                        answer = self._ask(name, "turn", size=size.name)
                        engines[name]["seconds"].append(answer["seconds"])
                        engines[name]["settled"].append(answer["settled"])
                        if "calls" in answer:  # the CPU has AMX
                            engines[name].setdefault("calls", []).extend(answer["calls"])
            if self.peaks is not None:
                for limit, value in self.peaks.ask("turn")["limits"].items():
                    limits.setdefault(limit, []).append(value)
        engines = {name: e for name, e in engines.items() if len(e["seconds"]) == rounds}
        return {
            "size": size.name,
            "threads": self.threads,
            "model": self.model.name,
            "rounds": rounds,
            "tokens": size.tokens,
            "padded_tokens": len(size.lengths) * max(size.lengths),
            "judged_tokens": batches * sum(size.lengths[: size.judged_rows]),
            "judged_batches": batches,
            "flops": size.flops(self.config),
            "weight_bytes": weight_bytes(self.config),
            "engines": engines,
            "limits": limits,
        }

    def _exact(self, size: Size) -> NDArray[np.float64] | None:
        """The hidden states of the judged rows in float64; kept for the next run."""
        if self.args.no_reference:
            return None
        written = (self.model / "config.json").stat().st_mtime_ns
        batches, rows = size.judged_batches, size.judged_rows
        name = f"{self.model.name}-{written}-{size.name}-{batches}-{rows}"
        path = self.args.work / "exact" / f"{name}.npy"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            threads = os.cpu_count() or 1
            child = start_engine("pyroberta-float64", self.model, threads, self.args.work)
            try:
                child.answer()
                child.ask("output", size=size.name, batches=batches, rows=rows, path=str(path))
            finally:
                child.close()
        exact: NDArray[np.float64] = np.load(path)
        return exact

    def _ask(self, name: str, question: str, **arguments: Any) -> dict[str, Any]:
        return self.engines[name].ask(question, **arguments)

    @contextlib.contextmanager
    def _failing(self, name: str, what: str) -> Iterator[None]:
        """An engine that fails is left out from there on, and the report says so."""
        try:
            yield
        except (ChildFailed, subprocess.CalledProcessError, PackageNotFoundError) as error:
            self.failures.append(f"{name}, {self.threads} threads: {what}: {error}")
            print(f"  {self.failures[-1]}", flush=True)
            if name in self.engines:
                self.engines.pop(name).close()


def turns(names: list[str], number: int) -> list[str]:
    """The order of a round: it starts elsewhere each time and goes both ways, so that no engine
    always follows the same one.
    """
    start = (number // 2) % len(names) if names else 0
    order = names[start:] + names[:start]
    return order[::-1] if number % 2 else order


def parse_arguments() -> argparse.Namespace:
    """The command line."""

    def words(text: str) -> list[str]:
        return [word for word in text.split(",") if word]

    def types(text: str) -> list[str]:
        for word in words(text):
            if word not in COMPUTE_TYPES:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(COMPUTE_TYPES)}")
        return words(text)

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = ",".join(DEFAULT_SIZES + LONG_SIZES)
    parser.add_argument("--sizes", type=words, default=words(sizes), help=f"default {sizes}")
    parser.add_argument(
        "--engines",
        type=words,
        help="ENGINE[-ISA][-TYPE],... of which the first one is what the others are compared with; "
        f"default: all that have the type of {', '.join(ENGINES)}",
    )
    parser.add_argument(
        "--threads", type=lambda text: [int(n) for n in words(text)], default=sorted({1, cpus})
    )
    parser.add_argument("--model", default="base", help="tiny, distil, base, large or a folder")
    parser.add_argument(
        "--compute-type",
        type=types,
        default=["float32"],
        help=f"of engines that are named without one: {', '.join(COMPUTE_TYPES)}, or some of them",
    )
    parser.add_argument("--rounds", type=int, default=FULL_ROUNDS)
    parser.add_argument("--output", type=Path, required=True, help="e.g. results/NAME")
    parser.add_argument(
        "--work", type=Path, default=default_work(), help="checkpoints are kept here"
    )
    parser.add_argument("--no-reference", action="store_true", help="leave out errors to float64")
    args = parser.parse_args()
    args.work = args.work.resolve()
    try:
        for name in args.engines or ():
            if not in_types([name], args.compute_type):
                parser.error(f"no {', '.join(args.compute_type)} in {name}")
        # Not the packed one by itself: it is the same engine from another file.
        default = [name for name in ENGINES if name != "pyroberta-packed"]
        args.engines = in_types(args.engines or default, args.compute_type)
        args.sizes = [parse_size(name) for name in args.sizes]
    except ValueError as error:
        parser.error(str(error))
    return args


def long_name(model: str) -> str:
    """The model for rows above 512 tokens: one with more positions; a folder stays as it is."""
    return f"{model}-long" if f"{model}-long" in MODELS else model


def main() -> None:
    """Run everything and write the report; after each size, so that nothing is lost."""
    args = parse_arguments()
    packages = {package for name in args.engines for package in find_engine(name).packages}
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "code": describe_code(),
        "versions": versions(packages),
        "arguments": {
            "engines": args.engines,
            "model": args.model,
            "compute_type": ", ".join(args.compute_type),
            "rounds": args.rounds,
        },
        "trial": args.rounds < FULL_ROUNDS,
        "busy": [],
        "failures": [],
        "runs": [],
    }
    args.work.mkdir(parents=True, exist_ok=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    results["busy"].append(busy_fraction())
    for threads in args.threads:
        for is_long in (False, True):
            sizes = [size for size in args.sizes if size.is_long == is_long]
            if not sizes:
                continue
            model = model_folder(long_name(args.model) if is_long else args.model, args.work)
            most = read_config(model)["max_position_embeddings"] - 2
            taken = [size for size in sizes if max(size.lengths) <= most]
            results["failures"] += [
                f"{size.name}: {model.name} takes up to {most} tokens"
                for size in sizes
                if size not in taken
            ]
            if not taken:
                continue
            with Run(args, model, threads) as run:
                for size in taken:
                    print(f"{model.name} {size.name}, {threads} threads", flush=True)
                    results["runs"].append(run.measure(size))
                    write_report(results, args.output)
                results["failures"] += run.failures
    results["busy"].append(busy_fraction())
    write_report(results, args.output)
    print(args.output.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
