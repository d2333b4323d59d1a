"""A guess at why a step differs: known mistakes, each tried on theirs before the step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..arrays import Array
from ..compute_types import round_bfloat16
from .arithmetic import Arithmetic
from .mistakes import MISTAKES
from .rounding import fits_type, narrowest
from .steps import Step

# A mistake fits where what it leaves is within what rounding does, or a small part of what was.
_MOST_LEFT = 4.0
_SMALL_PART = 0.02
_MOST_CAUSES = 3


def guess(
    arithmetic: Arithmetic,
    step: Step,
    feeds: Sequence[Array],
    theirs: Array,
    exact: Array,
    error: Array,
    seen: Array | None,
    leak: float,
) -> tuple[str, ...]:
    """The mistakes that explain a step best, the nearest first; none where none fits.

    Args:
        arithmetic: of the model and the inputs.
        step: the first that differs by more than rounding.
        feeds: what theirs has before it.
        theirs: what theirs gives.
        exact: what it should.
        error: what rounding may do to each number.
        seen: of scores, which of them count.
        leak: the most weight on a masked key.
    """
    if leak > 1e-6:
        return (f"masked keys are attended to: with a weight of up to {leak:.3g}",)
    stored = narrowest(theirs)
    if stored in ("float16", "bfloat16") and not fits_type(exact, stored):
        in_fewer_bits: tuple[str, ...] = (f"computed in {stored}: each number is one of it",)
    else:
        in_fewer_bits = ()
    part: Callable[[Array], Array] = (lambda x: x) if seen is None else (lambda x: x[seen])
    rms = _rms(part(error))
    off = _rms(part(theirs - exact))
    if not np.isfinite(part(theirs)).all():
        return ("numbers that are not finite",)
    if not np.isfinite(off):
        return ("finite where the step gives numbers that are not",)
    found: list[tuple[float, int, str]] = []
    # One candidate in memory at a time: of logits each is as large as all else here.
    tried = itertools.chain(
        MISTAKES[step.kind](arithmetic, step, feeds), _general(part, theirs, exact, feeds)
    )
    for number, (cause, candidate) in enumerate(tried):
        if candidate.shape != theirs.shape:
            continue
        with np.errstate(all="ignore"):
            # NaN where a mistake does not say what it gives: of rows with masked tokens.
            said = ~np.isnan(part(candidate))
            left, was = (_rms(part(theirs - one)[said]) for one in (candidate, exact))
        fits = left <= _MOST_LEFT * rms or left <= _SMALL_PART * was
        if said.any() and np.isfinite(left) and fits and left <= was / 2:
            found.append((max(left, rms), number, cause))
    arithmetic.forget()
    nearest = tuple(cause for _, _, cause in sorted(found)[:_MOST_CAUSES])
    return nearest or in_fewer_bits


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x.astype(np.float64) ** 2))) if x.size else 0.0


def _general(
    part: Callable[[Array], Array], theirs: Array, exact: Array, feeds: Sequence[Array]
) -> Iterator[tuple[str, Array]]:
    """What may happen to any step."""
    yield "all zeros: left out", np.zeros_like(exact)
    with np.errstate(all="ignore"):
        yield "rounded to float16", exact.astype(np.float16).astype(np.float64)
        yield "rounded to bfloat16", round_bfloat16(exact.astype(np.float32)).astype(np.float64)
        mine, own = part(exact), part(theirs)
        square = float((mine * mine).sum())
        if square:
            factor = float((mine * own).sum()) / square
            yield f"multiplied by {factor:.4g}", exact * factor
        shift = float((own - mine).mean()) if mine.size else 0.0
        yield f"{shift:.4g} added to every number", exact + shift
        # Dropout: zeros here and there, and the others scaled up.
        zeros = (theirs == 0) & (exact != 0)
        rate = float(part(zeros).mean()) if mine.size else 0.0
        if 0 < rate < 0.9:
            kept = np.where(theirs == 0, 0, exact / (1 - round(rate, 1) if rate > 0.05 else 1))
            yield f"dropout was left on: {rate:.0%} of the numbers are 0", kept
    if len(feeds) == 2 and exact.ndim > 1 and feeds[0].shape == feeds[1].shape == exact.shape:
        gone = np.isclose(theirs, feeds[1], rtol=1e-6, atol=1e-12) & (feeds[0] != 0)
        rate = float(gone.mean())
        if 0 < rate < 0.9:
            kept = np.where(gone, 0, feeds[0] / (1 - round(rate, 1) if rate > 0.05 else 1))
            what = f"dropout was left on: {rate:.0%} of what is added are 0"
            yield what, feeds[1] + kept
    if exact.ndim > 1 and len(exact) > 1:
        yield "tokens in the reverse order", exact[::-1]
