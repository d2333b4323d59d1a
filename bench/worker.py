"""The process of one engine: loads it, then calls it when the parent says so.

``python -m bench.worker ENGINE --model FOLDER ...`` is started by the other programs here. With
``--convert`` it only writes what the engine will load.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import ROOT
from .amx import Probe, find_probe
from .channel import Child, serve, settle, take_stdout
from .engines import Engine, Setup, find_engine, strip
from .models import read_config
from .sizes import Size, parse_size


@dataclasses.dataclass
class Answers:
    """What the parent may ask. Every answer that ran the engine ends when its threads are quiet."""

    engine: Engine
    vocab_size: int
    probe: Probe | None = None

    def output(self, size: str, batches: int, rows: int, path: str) -> dict[str, Any]:
        """Write the hidden states of the first rows of the first batches."""
        import numpy as np

        asked = parse_size(size)
        taken = (asked.rows(self.vocab_size, number)[:rows] for number in range(batches))
        np.save(path, np.concatenate([strip(self.engine(batch), batch) for batch in taken]))
        settle()
        return {}

    def turn(self, size: str) -> dict[str, Any]:
        """One turn: unmeasured calls as the size has them, then measured ones; their median.

        With a probe also each call, and the cycles that the probe saw before and after it.
        """
        asked = parse_size(size)
        batch = self._batch(asked)
        for _ in range(asked.warm_calls):
            self.engine(batch)
        times, cycles = [], [self._probe()]
        for _ in range(asked.calls):
            begin = time.perf_counter()
            self.engine(batch)
            times.append(time.perf_counter() - begin)
            cycles.append(self._probe())
        answer = {"seconds": statistics.median(times), "settled": settle()}
        if self.probe is None:
            return answer
        calls = zip(times, cycles, cycles[1:], strict=False)
        return answer | {
            "calls": [{"seconds": s, "cycles": before + after} for s, before, after in calls]
        }

    def _probe(self) -> list[float]:
        return [] if self.probe is None else self.probe()

    def _batch(self, size: Size) -> list[list[int]]:
        return size.rows(self.vocab_size)


def choose_cpus(threads: int) -> list[int]:
    """That many of the CPUs we may use, on cores of their own where there are enough."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(threads))
    cpus = sorted(os.sched_getaffinity(0))
    first: list[int] = []
    again: list[int] = []
    seen: set[str] = set()
    for cpu in cpus:
        try:
            path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
            siblings = path.read_text().strip()
        except OSError:
            siblings = str(cpu)
        (again if siblings in seen else first).append(cpu)
        seen.add(siblings)
    return (first + again)[:threads]


def start_engine(name: str, model: Path, threads: int, work: Path) -> Child:
    """The process of an engine, which is loading: its first ``answer()`` comes when it is done."""
    arguments = [name, "--model", str(model), "--work", str(work), "--threads", str(threads)]
    variables = find_engine(name).environment(threads)
    log = work / "logs" / f"{name}.log"
    return Child(["bench.worker", *arguments], variables, choose_cpus(threads), log)


def converted_folder(setup: Setup, model: Path, work: Path) -> Path:
    """Where an engine's own form of a model is kept. A new version of the engine converts anew.

    An int8 model has files of its own, and so has each type of our packed one; other types are made
    from the float32 files on loading.
    """
    from importlib.metadata import version

    spec = setup.spec
    own_files = setup.compute_type == "int8" or spec.option == "packed"
    stored = setup.compute_type if own_files else "float32"
    makers = [spec.packages[0], *(spec.int8_packages if stored == "int8" else ())]
    kind = "-".join(filter(None, [spec.module, spec.option, stored, *map(version, makers)]))
    where = (
        model.name if model.parent == work / "models" else str(model).strip("/").replace("/", "-")
    )
    return work / "converted" / where / kind


def convert(name: str, model: Path, work: Path) -> None:
    """Convert in a process of its own, unless that was done before. Raises CalledProcessError."""
    if converted_folder(find_engine(name), model, work).is_dir():
        return
    command = [sys.executable, "-m", "bench.worker", name, "--convert"]
    command += ["--model", str(model), "--work", str(work)]
    log = work / "logs" / f"{name}-convert.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        subprocess.run(command, check=True, cwd=ROOT, stdout=output, stderr=output)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=find_engine, help="ENGINE[-ISA][-TYPE]")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--convert", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    """Convert, or serve the parent."""
    args = parse_arguments()
    folder = converted_folder(args.engine, args.model, args.work)
    if args.convert:
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        args.engine.convert(args.model, unfinished)
        unfinished.rename(folder)
        return
    pipe = take_stdout()
    try:
        engine = args.engine.prepare(args.model, folder, args.threads)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=pipe, flush=True)
        raise
    answers = Answers(engine, read_config(args.model)["vocab_size"], find_probe(args.work))
    settle()
    serve(pipe, {"output": answers.output, "turn": answers.turn})


if __name__ == "__main__":
    main()
