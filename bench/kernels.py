"""Each of our kernels by itself, as a fraction of the limits of the same run.

``python -m bench.kernels --threads 1,2`` takes every build that runs here. Weights are taken from a
rotating set larger than the caches, as in a model, where each is used once in a call.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .figures import spread
from .machine import busy_fraction, describe_code, describe_machine
from .models import default_work
from .peaks import Peaks
from .worker import choose_cpus

Floats = NDArray[np.float32]

ROWS = (1, 16, 128, 512, 1024)
# n and k of the products of a block of roberta-base, by the names of the block's parts.
LINEARS = {
    "query_key_value": (2304, 768),
    "attention_output": (768, 768),
    "intermediate": (3072, 768),
    "output": (768, 3072),
}
_GELU = 1
_HIDDEN = 768
_COLD_BYTES = 256 << 20
# From malloc.h.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


class Case:
    """A call to time.

    Attributes:
        call: runs it once.
        flops: what it computes; 0 where only bytes matter.
        bytes: what it reads and writes at least.
    """

    def __init__(
        self, kernel: str, shape: str, call: Callable[[], object], flops: float, bytes: float
    ) -> None:
        self.kernel, self.shape, self.call = kernel, shape, call
        self.flops, self.bytes = flops, bytes


def linear_cases(core: Any, kernels: Any, rng: np.random.Generator) -> list[Case]:
    """``pack``, ``linear`` and ``linear_rows`` for the products of a block."""
    cases = []
    for name, (n, k) in LINEARS.items():
        copies = math.ceil(_COLD_BYTES / (4 * n * k))
        weight = _normal(rng, n, k)
        packed = [core.Packed(kernels, weight) for _ in range(copies)]
        bias = _normal(rng, n)
        activation = _GELU if name == "intermediate" else 0
        pack = partial(core.Packed, kernels, weight)
        cases.append(Case("pack", f"{name} {n}x{k}", pack, 0, 8 * n * k))
        for rows in ROWS:
            x = _normal(rng, rows, k)
            call = _rotating(kernels.linear, [(x, w, bias, activation) for w in packed])
            flops, size = 2.0 * rows * n * k, 4.0 * (rows * n + rows * k + n * k)
            cases.append(Case("linear", f"{name} {rows}x{n}x{k}", call, flops, size))
            if name == "attention_output" and rows == 16:
                copied = [weight.copy() for _ in range(copies)]
                call = _rotating(kernels.linear_rows, [(x, w, None) for w in copied])
                cases.append(Case("linear_rows", f"{rows}x{n}x{k}", call, flops, size))
    return cases


def other_cases(core: Any, kernels: Any, rng: np.random.Generator) -> list[Case]:
    """Attention, layer norm, activations and embeddings. Attention runs on the calling thread."""
    queries, size = int(core.attention_queries), 64
    cases = []
    for keys in (128, 512, 4096):
        q, k, v = (_normal(rng, rows, size) for rows in (queries, keys, keys))
        flops, shape = 2.0 * queries * keys * size, f"{queries}x{keys}, one head"
        # The first query sees all keys, and so do the others.
        both = partial(kernels.attention, q, k, v, keys, 0.125, 1.0)
        half = partial(kernels.attention_weights, q, k, keys, 0.125, 1.0)
        cases.append(Case("attention", shape, both, 2 * flops, 0))
        cases.append(Case("attention_weights", shape, half, flops, 0))
    gamma, beta, word = _normal(rng, _HIDDEN), _normal(rng, _HIDDEN), _normal(rng, 50265, _HIDDEN)
    for rows in (16, 1024):
        x, residual = _normal(rng, rows, _HIDDEN), _normal(rng, rows, _HIDDEN)
        wide = _normal(rng, rows, 4 * _HIDDEN)
        ids, zeros = rng.integers(0, len(word), rows), np.zeros(rows, np.int64)
        tables = (word, word[:1], word[:514], ids, zeros, zeros)
        norm = partial(kernels.layer_norm, x, residual, gamma, beta, 1e-5)
        gather = partial(kernels.embeddings, *tables, gamma, beta, 1e-5)
        gelu = partial(kernels.activate, _GELU, wide)
        cases.append(Case("layer_norm", f"{rows}x{_HIDDEN}", norm, 0, 3 * x.nbytes))
        cases.append(Case("embeddings", f"{rows}x{_HIDDEN}", gather, 0, 2 * x.nbytes))
        cases.append(Case("activate", f"gelu {rows}x{4 * _HIDDEN}", gelu, 0, 2 * wide.nbytes))
    return cases


def _keep_freed_memory() -> None:
    """Results of megabytes are not given back to the system and faulted in again at each call.

    In a model they go to a workspace that stays: without this, int8's product of 1,024 rows and
    2,304 columns took 1.5 times as long here as there.
    """
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(_MMAP_THRESHOLD, 1 << 25):
            mallopt(_TRIM_THRESHOLD, 1 << 30)


def _normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.standard_normal(shape, np.float32)


def _rotating(
    function: Callable[..., object], arguments: list[tuple[Any, ...]]
) -> Callable[[], object]:
    """Calls with the next of the arguments each time."""
    following = itertools.cycle(arguments)
    return lambda: function(*next(following))


def measure(case: Case, peak: Callable[[], dict[str, float]], rounds: int) -> dict[str, Any]:
    """Rounds of one reading of the limits and one stretch of calls of at least 10 ms."""
    case.call()
    begin = time.perf_counter()
    case.call()
    calls = max(1, math.ceil(0.01 / (time.perf_counter() - begin)))
    seconds, of_fma, of_read = [], [], []
    for _ in range(rounds):
        limits = peak()
        time.sleep(0.005)
        begin = time.perf_counter()
        for _ in range(calls):
            case.call()
        took = (time.perf_counter() - begin) / calls
        seconds.append(took)
        of_fma.append(case.flops / took / limits["fma"])
        of_read.append(case.bytes / took / limits["read"])
    return {
        "kernel": case.kernel,
        "shape": case.shape,
        "microseconds": [1e6 * s for s in spread(seconds)],
        "gflops": case.flops / spread(seconds)[1] / 1e9,
        "gigabytes": case.bytes / spread(seconds)[1] / 1e9,
        "of_fma": spread(of_fma),
        "of_read": spread(of_read),
    }


def row(found: dict[str, Any]) -> str:
    """One line of the table."""
    low, middle, high = found["microseconds"]

    def share(values: list[float]) -> str:
        return f"{values[1]:.0%} [{values[0]:.0%}-{values[2]:.0%}]" if values[1] else "-"

    speed = f"{found['gflops']:.0f}" if found["gflops"] else "-"
    return (
        f"| {found['kernel']} | {found['shape']} | {middle:.1f} [{low:.1f}-{high:.1f}] | {speed} | "
        f"{share(found['of_fma'])} | {found['gigabytes']:.1f} | {share(found['of_read'])} |"
    )


def main() -> None:
    """Measure, print, write."""
    from pyroberta.kernels import available_isas, core

    parser = argparse.ArgumentParser(description=__doc__)
    every = sorted({1, len(choose_cpus(1024))})
    parser.add_argument("--threads", default=",".join(map(str, every)))
    parser.add_argument("--isas", default=",".join(available_isas()))
    parser.add_argument("--kernels", default="", help="only these, e.g. linear,attention")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json and OUTPUT.md")
    parser.add_argument("--work", type=Path, default=default_work())
    args = parser.parse_args()
    _keep_freed_memory()
    module, peaks = core(), Peaks(args.work.resolve())
    machine, code, busy = describe_machine(), describe_code(), busy_fraction() or 0.0
    results: dict[str, Any] = {"machine": machine, "code": code, "busy": busy, "runs": []}
    lines = [
        f"# Kernels: {machine['cpu']}, commit {code['commit']}, {code['date']}",
        "",
        f"{args.rounds} rounds; CPU time used by others: {busy:.0%}",
    ]
    wanted = set(filter(None, args.kernels.split(",")))
    for isa in args.isas.split(","):
        kernels, rng = module.find_kernels(isa), np.random.default_rng(0)
        cases = linear_cases(module, kernels, rng) + other_cases(module, kernels, rng)
        fma = "fma_avx2" if isa in ("scalar", "avx2") else "fma_avx512"
        for threads in map(int, args.threads.split(",")):
            module.set_num_threads(threads)
            lines += ["", f"## {isa}, {threads} threads, of the {fma} peak", ""]
            lines += ["| kernel | shape | us | GF/s | of FMA peak | GB/s | of memory |"]
            lines += ["|" + " --- |" * 7]
            print("\n".join(lines[-5:]), flush=True)
            for case in cases:
                if wanted and case.kernel not in wanted:
                    continue
                alone = case.kernel.startswith("attention")
                if alone and threads > 1:
                    continue

                def peak(n: int = threads, fma: str = fma) -> dict[str, float]:
                    return {"fma": peaks.operations(fma, n), "read": peaks.read(n)}

                found = measure(case, peak, args.rounds)
                results["runs"].append(found | {"isa": isa, "threads": threads})
                lines.append(row(found))
                print(lines[-1], flush=True)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
        args.output.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
