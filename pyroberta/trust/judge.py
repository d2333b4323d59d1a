"""One step of theirs judged: how far off it is, and whether rounding alone takes it there."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from .comparison import StepComparison
from .steps import Step

# What is beyond rounding. The runs perturb each operation by up to a whole rounding, and the sums
# of engines are shorter than one of all terms: of 96,880 steps of ten (bench/results/trust.md) the
# medians are at 0.3 to 0.8 of the expected error, the largest at 2.8, and single numbers at most at
# 15.3, whose own expected error a few runs say with little certainty.
_MOST_MEAN = 3.0
_MOST_SINGLE = 16.0


def judge(
    step: Step,
    name: str,
    values: Array,
    exact: Array,
    error: Array,
    seen: Array | None,
    mine: Array | None,
    leak: float,
    note: str,
) -> StepComparison:
    """What is said of one step.

    Args:
        step: which.
        name: what theirs calls it.
        values: theirs.
        exact: computed from what theirs has before it.
        error: what rounding may do to each number.
        seen: of scores, which of them count; ``None``: all.
        mine: the trace's own array.
        leak: the most weight on a masked key.
        note: how theirs is laid out.
    """
    if seen is not None:
        values, exact, error = values[seen], exact[seen], error[seen]
        mine = None if mine is None else mine[seen]
    with np.errstate(all="ignore"):
        whole = np.isfinite(values) & np.isfinite(exact)
        # Where one of the two is no number the other is to be the same.
        same = (values == exact) | (np.isnan(values) & np.isnan(exact))
        agree = bool((whole | same).all())
        values, exact, error = values[whole], exact[whole], error[whole]
        mine = None if mine is None else np.asarray(mine, np.float64)[whole]
        off = np.abs(values - exact)
        mean = float(np.sqrt((off**2).sum() / max((error**2).sum(), 1e-300)))
        single = float((off / np.maximum(error, 1e-300)).max(initial=0))
        far = off if mine is None else np.abs(values - mine)
        base = exact if mine is None else mine
        scale = float(np.sqrt(np.mean(base**2))) if base.size else 0.0
        cosine = (
            float((values * base).sum() / np.sqrt((values**2).sum() * (base**2).sum()))
            if base.size
            else 1.0
        )
    beyond = not agree or mean > _MOST_MEAN or single > _MOST_SINGLE or leak > 1e-6
    return StepComparison(
        name=step.name,
        theirs=name,
        formula=step.formula,
        reads=step.feeds,
        max_error=float(far.max(initial=0)),
        mean_error=float(far.mean()) if far.size else 0.0,
        relative_error=float(far.max(initial=0)) / scale if scale else float(far.max(initial=0)),
        cosine=cosine,
        ulps=_ulps(far, base),
        mean_ratio=mean,
        single_ratio=single,
        is_beyond=beyond,
        layout=note,
    )


def _ulps(far: Array, base: Array) -> float:
    """The largest error in float32 units in the last place of the step's root mean square."""
    if not far.size:
        return 0.0
    scale = np.float32(np.sqrt(np.mean(base.astype(np.float64) ** 2)))
    return float(far.max() / np.spacing(max(scale, np.finfo(np.float32).tiny)))
