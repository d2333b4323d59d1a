"""Spearman's rank correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Array


def spearman(values: Sequence[float], wanted: Sequence[float]) -> float:
    """Spearman's rank correlation of two rows of numbers, ties sharing their mean rank.

    0 where one of them is the same number throughout, which has no order to agree with.
    """
    first, second = (_centred_ranks(x) for x in (values, wanted))
    length = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / length if length else 0.0


def _centred_ranks(values: Sequence[float]) -> Array:
    """Ranks less their mean."""
    _, inverse, counts = np.unique(
        np.asarray(values, np.float64), return_inverse=True, return_counts=True
    )
    ends = np.cumsum(counts)
    ranks: Array = (ends - (counts + 1) / 2)[inverse]
    return ranks - (len(ranks) - 1) / 2
