"""Whether an engine's answer is right: its distance to float64, and what is said of a large one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .engines import Setup

# How far hidden states may be from float64's, root mean square over root mean square. Farther is
# not the rounding of that type: it is reported. int8's is wide, since peers that are set up as
# their makers say come to 0.4 on a trained model; what stands in the table is the error itself.
TOLERANCES = {"float32": 1e-4, "bfloat16x3": 1e-3, "bfloat16": 0.05, "int8": 0.5}
# How far any number may be from ours where both are float32 or near it: over all rows, of which
# float64 judges the first.
_AGREE = 1e-3
_NEAR = ("float32", "bfloat16x3")


def errors(
    output: NDArray[np.float32], exact: NDArray[np.float64] | None, batches: int = 1
) -> dict[str, float] | None:
    """Distances from the exact hidden states of the first rows of some batches of one size.

    Returns:
        ``max``: the largest of a batch, averaged over the batches, since one batch's largest is
        chance and changes by a third with the ids; ``largest``: that of them all; ``mean``; and
        ``relative`` to the hidden states, of root mean squares.
    """
    if exact is None:
        return None
    distance = np.abs(output[: len(exact)] - exact)
    relative = np.sqrt(np.mean(distance**2) / np.mean(exact**2))
    return {
        "max": float(np.mean([part.max() for part in np.split(distance, batches)])),
        "largest": float(distance.max()),
        "mean": float(distance.mean()),
        "relative": float(relative),
    }


def objections(
    engine: Setup, found: dict[str, float] | None, ours: Setup, difference: float
) -> list[str]:
    """What is wrong with an engine's output, if anything.

    Args:
        engine: the engine.
        found: its ``errors``.
        ours: the engine that the others are compared with.
        difference: the largest distance between the two outputs.
    """
    said = []
    allowed = TOLERANCES.get(engine.compute_type)
    # "not <=": NaN is far too.
    if found is not None and allowed is not None and not found["relative"] <= allowed:
        said.append(
            f"its error is {found['relative']:.2g} of the hidden states' size, more than "
            f"{engine.compute_type} explains ({allowed:g})"
        )
    near = engine.compute_type in _NEAR and ours.compute_type in _NEAR
    if near and not difference <= _AGREE:
        said.append(f"its output is {difference:.2g} from ours")
    return said
