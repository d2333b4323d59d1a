"""What is made of a run's seconds: medians and spreads, ratios, fractions of the limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .engines import COMPUTE_TYPES, Setup, find_engine
from .sizes import BYTES_PER_WEIGHT

Spread = tuple[float, float, float]  # 10th percentile, median, 90th percentile


def spread(values: list[float]) -> Spread:
    """The median and where the middle four fifths lie."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    return float(low), float(middle), float(high)


def ratios(run: dict[str, Any], ours: str) -> dict[str, Spread]:
    """Each peer's time over ours, turn by turn of one round: above 1, ours is faster."""
    own = run["engines"].get(ours)
    if own is None:
        return {}
    return {
        name: spread([p / o for p, o in zip(peer["seconds"], own["seconds"], strict=True)])
        for name, peer in run["engines"].items()
        if name != ours
    }


def is_fit(peer: Setup, ours: Setup) -> bool:
    """Whether a peer may be set against ours: held to the same ISA, in a type no less exact."""
    order = {name: n for n, name in enumerate(("float64", *COMPUTE_TYPES))}
    exact = order[peer.compute_type] <= order[ours.compute_type]
    return peer.base != ours.base and peer.isa == ours.isa and exact


def best_peer(run: dict[str, Any], ours: str, pads: bool = False) -> tuple[str, Spread] | None:
    """The fit peer with the lowest median ratio, the hardest one to beat; of those that pad."""
    own = find_engine(ours)
    found = {
        name: spread
        for name, spread in ratios(run, ours).items()
        if is_fit(find_engine(name), own) and not (pads and find_engine(name).spec.drops_padding)
    }
    return min(found.items(), key=lambda item: item[1][1]) if found else None


def limit(run: dict[str, Any], name: str) -> float | None:
    """A limit's median over the rounds."""
    values = run["limits"].get(name)
    return float(np.median(values)) if values else None


def type_limit(run: dict[str, Any], engine: Setup) -> float | None:
    """The operations a second of the best instructions that this engine's type and ISA allow.

    Any type can be computed by those of a more exact one; bfloat16x3 takes three products of
    bfloat16 for each of its own.
    """
    isas = {
        "scalar": (),
        "avx2": ("avx2",),
        "avx512": ("avx2", "avxvnni", "avx512"),
    }.get(engine.isa, ("avx2", "avxvnni", "avx512", "amx"))
    parts = {
        "float32": {"fma": 1},
        "bfloat16x3": {"fma": 1, "bfloat16": 3},
        "bfloat16": {"fma": 1, "bfloat16": 1},
        "int8": {"fma": 1, "bfloat16": 1, "int8": 1},
    }.get(engine.compute_type, {})
    found = [
        value / products
        for kind, products in parts.items()
        for isa in isas
        if (value := limit(run, f"{kind}_{isa}")) is not None
    ]
    return max(found, default=None)


def fractions(run: dict[str, Any], engine: str) -> tuple[float | None, float | None]:
    """An engine's median call as fractions of its type's peak and of memory bandwidth."""
    seconds, setup = spread(run["engines"][engine]["seconds"])[1], find_engine(engine)
    peak, read = type_limit(run, setup), limit(run, "read")
    size = BYTES_PER_WEIGHT[setup.compute_type] / BYTES_PER_WEIGHT["float32"]
    return (
        run["flops"] / seconds / peak if peak else None,
        run["weight_bytes"] * size / seconds / read if read else None,
    )
