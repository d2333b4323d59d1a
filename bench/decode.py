"""One step of a decoder at a time: ours, transformers' with its cache, and what memory allows.

``python -m bench.decode --threads 2`` measures a step of roberta-base as a causal model with a
cache of 128 tokens, in turns: ours with one row and with eight rows of different lengths,
transformers' with one row, and the read bandwidth. A step reads all weights of the blocks and of
the language-model head once: their bytes over the bandwidth is what it can not fall below.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .channel import Child, serve, settle, take_stdout
from .machine import describe_code, describe_machine
from .models import default_work
from .peaks import start_peaks
from .worker import choose_cpus

_FILLED = 128
_ROOM = 400
_SIZES = {"vocab_size": 50265, "max_positions": 514, "max_token_types": 1}
_LENGTHS = (128, 40, 97, 12, 200, 64, 150, 81)


def decoder_folder(work: Path) -> Path:
    """The checkpoint, with random weights."""
    folder = work / "models" / "base-decoder"
    if not (folder / "config.json").exists():
        import pyroberta

        config = pyroberta.RobertaConfig(**_SIZES)
        pyroberta.RobertaForCausalLM.from_config(config, seed=0).save_pretrained(folder)
    return folder


def _pyroberta(folder: Path, threads: int) -> dict[str, Callable[..., dict[str, Any]]]:
    import pyroberta

    pyroberta.set_num_threads(threads)
    model: Any = pyroberta.from_pretrained(folder)
    rng = np.random.default_rng(0)

    def step(rows: int, steps: int) -> dict[str, Any]:
        """Seconds of each step, from caches filled to their rows' lengths."""
        lengths = np.array(_LENGTHS[:rows] if rows > 1 else (_FILLED,))
        ids = rng.integers(4, 50000, (rows, lengths.max()))
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        cache = model.init_cache(rows, _ROOM)
        last = np.stack([np.arange(rows), lengths - 1], axis=1)
        output = model(np.where(mask, ids, 1), mask, cache=cache, logit_positions=last)
        seconds = []
        for _ in range(steps + 1):
            following = output.logits.argmax(axis=1)[:, None]
            begin = time.perf_counter()
            output = model(following, cache=output.cache)
            seconds.append(time.perf_counter() - begin)
            output = dataclasses.replace(output, logits=output.logits[:, 0])
        waited = settle()
        return {"seconds": seconds[1:], "settled": waited}

    return {"step": step}


def _transformers(folder: Path, threads: int) -> dict[str, Callable[..., dict[str, Any]]]:
    import torch
    import transformers

    torch.set_num_threads(threads)
    model: Any = transformers.RobertaForCausalLM.from_pretrained(folder).eval()
    rng = np.random.default_rng(0)

    def step(rows: int, steps: int) -> dict[str, Any]:
        ids = torch.from_numpy(rng.integers(4, 50000, (rows, _FILLED)))
        seconds = []
        with torch.inference_mode():
            output = model(ids, use_cache=True)
            for _ in range(steps + 1):
                following = output.logits[:, -1:].argmax(-1)
                begin = time.perf_counter()
                output = model(following, past_key_values=output.past_key_values, use_cache=True)
                seconds.append(time.perf_counter() - begin)
        return {"seconds": seconds[1:], "settled": settle()}

    return {"step": step}


def weight_bytes() -> int:
    """What a step has to read: the blocks' matrices and the language-model head's."""
    hidden, wide, blocks = 768, 3072, 12
    matrices = blocks * (4 * hidden * hidden + 2 * hidden * wide)
    return 4 * (matrices + hidden * hidden + _SIZES["vocab_size"] * hidden)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of turns; medians of the ratios of turns that stand beside each other."""
    work = args.work.resolve()
    folder = decoder_folder(work)
    cpus = choose_cpus(args.threads)
    peaks = start_peaks(args.threads, work)
    children = {
        name: Child(
            [
                "bench.decode",
                "--child",
                name,
                "--folder",
                str(folder),
                "--threads",
                str(args.threads),
            ],
            {"OMP_NUM_THREADS": str(args.threads)},
            cpus,
            work / "logs" / f"decode-{name}.log",
        )
        for name in ("pyroberta", "transformers")
    }
    for child in (peaks, *children.values()):
        child.answer()  # ready

    def median_step(name: str, rows: int) -> float:
        answer = children[name].ask("step", rows=rows, steps=args.steps)
        return float(statistics.median(answer["seconds"]))

    rounds = []
    for _ in range(args.rounds):
        bandwidth = peaks.ask("turn")["limits"]["read"]
        one = median_step("pyroberta", 1)
        peer = median_step("transformers", 1)
        eight = median_step("pyroberta", 8)
        rounds.append({"read": bandwidth, "one": one, "eight": eight, "transformers": peer})
        print(rounds[-1], flush=True)
    for child in [*children.values(), peaks]:
        child.close()

    def middle(value: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(value, rounds))

    return {
        "machine": describe_machine(),
        "code": describe_code(),
        "threads": args.threads,
        "rounds": rounds,
        "step_ms": middle(lambda r: r["one"] * 1e3),
        "step_over_reading_the_weights": middle(lambda r: r["one"] * r["read"] / weight_bytes()),
        "step_over_transformers": middle(lambda r: r["one"] / r["transformers"]),
        "tokens_of_eight_rows_over_one": middle(lambda r: 8 * r["one"] / r["eight"]),
    }


def main() -> None:
    """Measure and print; or be one of the engines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(choose_cpus(1024)))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=10, help="measured steps in a turn")
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json")
    parser.add_argument("--work", type=Path, default=default_work())
    parser.add_argument("--child", choices=("pyroberta", "transformers"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        pipe = take_stdout()
        make = _pyroberta if args.child == "pyroberta" else _transformers
        serve(pipe, make(args.folder, args.threads))
        return
    results = measure(args)
    for name in (
        "step_ms",
        "step_over_reading_the_weights",
        "step_over_transformers",
        "tokens_of_eight_rows_over_one",
    ):
        print(f"{name:32} {results[name]:.3f}")
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
