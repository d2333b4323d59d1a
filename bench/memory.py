"""The soak: memory must stay flat over calls of any shapes.

``python -m bench.memory`` calls a model 1,000 times with random shapes and compares the memory held
after 100 calls and after all. It ends with status 1 where that grew by more than 2 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from .held import peak_bytes, resident_bytes
from .machine import describe_code, describe_machine
from .models import default_work, model_folder, read_config
from .worker import choose_cpus

_ALLOWED = 0.02


def random_lengths(rng: np.random.Generator, most_tokens: int, longest: int) -> list[int]:
    """Rows of any lengths, at most so many tokens in all once padded."""
    rows = int(2 ** rng.uniform(0, 6))
    longest = max(1, min(longest, most_tokens // rows))
    return [int(n) for n in rng.integers(1, longest + 1, rows)]


def main() -> None:
    """Run the soak and print what was held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=len(choose_cpus(1024)))
    parser.add_argument("--most-tokens", type=int, default=2048)
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json")
    parser.add_argument("--work", type=Path, default=default_work())
    args = parser.parse_args()
    folder = model_folder(args.model, args.work.resolve())
    config = read_config(folder)

    from .engines import Setup

    setup = Setup(base="pyroberta", compute_type=args.compute_type)
    engine = setup.prepare(folder, folder, args.threads)
    loaded = resident_bytes()
    rng = np.random.default_rng(0)
    early = max(1, args.calls // 10)
    held = {}
    for call in range(1, args.calls + 1):
        lengths = random_lengths(rng, args.most_tokens, config["max_position_embeddings"] - 2)
        # Few words, so that what grows is not the part of the mapped table that was touched.
        engine([rng.integers(5, 105, n).tolist() for n in lengths])
        if call in (early, args.calls):
            held[call] = resident_bytes()
            print(f"after {call} calls: {held[call] / 1e6:.1f} MB", flush=True)
    growth = held[args.calls] / held[early] - 1
    print(f"loaded: {loaded / 1e6:.1f} MB; at most: {peak_bytes() / 1e6:.1f} MB")
    print(f"growth: {growth:+.2%} (allowed: {_ALLOWED:.0%})")
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        results = {
            "machine": describe_machine(),
            "code": describe_code(),
            "compute_type": args.compute_type,
            "loaded_bytes": loaded,
            "held_bytes": held,
            "peak_bytes": peak_bytes(),
            "growth": growth,
        }
        args.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(growth > _ALLOWED)


if __name__ == "__main__":
    main()
