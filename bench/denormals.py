"""The denormal trap: numbers too small to be normal must not make a call slow.

``python -m bench.denormals`` times a model on ordinary numbers and two others in turn: one whose
scores lie more than 100 apart, so that most attention weights are below the smallest normal number,
and one whose activations begin near 1e-39, which is below it already. On hardware that takes such
numbers one by one, either may run many times slower. It ends with status 1 where one of them takes
more than 1.1 times the ordinary model's time. ``PYROBERTA_ISA`` chooses the build.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from .engines import Setup
from .figures import spread
from .machine import busy_fraction, describe_code, describe_machine
from .models import default_work, model_folder, read_config, weight_files
from .worker import choose_cpus

Tensors = dict[str, NDArray[Any]]
_ALLOWED = 1.1
_TINY = np.float32(1e-39)


def with_scores_apart(tensors: Tensors) -> Tensors:
    """Queries 200 times as large: scores are hundreds apart."""
    return {
        name: array * np.float32(200) if ".attention.self.query." in name else array
        for name, array in tensors.items()
    }


def with_tiny_activations(tensors: Tensors) -> Tensors:
    """The embeddings' norm gives numbers near 1e-39, and no bias makes them larger."""
    return {
        name: array * _TINY
        if "embeddings.LayerNorm." in name
        else (np.zeros_like(array) if name.endswith("bias") else array)
        for name, array in tensors.items()
    }


KINDS = {"apart": with_scores_apart, "tiny": with_tiny_activations}


def make_kinds(folder: Path, work: Path) -> dict[str, Path]:
    """The checkpoint itself as ``ordinary``, and a changed copy of it for each kind."""
    made = {"ordinary": folder}
    for kind, change in KINDS.items():
        made[kind] = work / "denormals" / f"{folder.name}-{kind}"
        if (made[kind] / "config.json").is_file():
            continue
        made[kind].mkdir(parents=True, exist_ok=True)
        tensors: Tensors = {}
        for file in weight_files(folder):
            tensors |= load_file(file)
        save_file(change(tensors), made[kind] / "model.safetensors", {"format": "pt"})
        shutil.copy(folder / "config.json", made[kind])
    return made


def main() -> None:
    """Time the kinds in turn, print and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--compute-type", default="float32,bfloat16,int8")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=len(choose_cpus(1024)))
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json")
    parser.add_argument("--work", type=Path, default=default_work())
    args = parser.parse_args()
    work = args.work.resolve()
    folder = model_folder(args.model, work)
    vocabulary = read_config(folder)["vocab_size"]
    ids = np.random.default_rng(0).integers(5, vocabulary, (1, 128)).tolist()
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "code": describe_code(),
        "busy": busy_fraction() or 0.0,
        "runs": [],
    }
    slow = False
    for compute_type in args.compute_type.split(","):
        setup = Setup(base="pyroberta", compute_type=compute_type)
        engines = {
            kind: setup.prepare(path, path, args.threads)
            for kind, path in make_kinds(folder, work).items()
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in engines}
        for number in range(args.rounds + 1):
            for kind, engine in engines.items():
                begin = time.perf_counter()
                engine(ids)
                if number:  # the first call of each is not counted
                    seconds[kind].append(time.perf_counter() - begin)
        for kind in KINDS:
            ordinary = seconds["ordinary"]
            ratio = spread([s / o for s, o in zip(seconds[kind], ordinary, strict=True)])
            slow |= ratio[1] > _ALLOWED
            results["runs"].append({"compute_type": compute_type, "kind": kind, "ratio": ratio})
            print(
                f"{compute_type}, 1x128, {kind}: {1e3 * spread(seconds[kind])[1]:.1f} ms, "
                f"{ratio[1]:.2f} [{ratio[0]:.2f}-{ratio[2]:.2f}] of ordinary numbers' time "
                f"(allowed: {_ALLOWED})",
                flush=True,
            )
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(slow)


if __name__ == "__main__":
    main()
