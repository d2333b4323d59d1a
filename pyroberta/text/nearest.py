"""Exact search: the vectors most alike to a query, of any number that a file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import IntArray
from ..logits import highest
from .similarity import similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of the index at a time: 64 MB of float64 at 1,024 numbers a vector.
_ROWS = 8192


def nearest(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], top_k: int, name: str = "cosine"
) -> tuple[IntArray, NDArray[np.float32]]:
    """The vectors most alike to each query, the most alike first; of equals the first.

    Args:
        vectors: ``[n, dimension]``, maybe mapped from a file: it is read once, part by part.
        queries: ``[m, dimension]``.
        top_k: how many; all where there are fewer.
        name: of ``similarity``.

    Returns:
        Their numbers, int64 ``[m, top_k]``, and how alike they are, float32 ``[m, top_k]``.

    Example:
        >>> rows = np.array([[0, 1], [1, 0], [1, 1]], np.float32)
        >>> nearest(rows, rows[:1], 2)[0].tolist()
        [[0, 2]]
    """
    count = len(queries)
    places = np.empty((count, 0), np.int64)
    scores = np.empty((count, 0), np.float32)
    for start in range(0, len(vectors), _ROWS):
        part = similarity(queries, np.asarray(vectors[start : start + _ROWS]), name)
        new = np.broadcast_to(np.arange(start, start + part.shape[1]), part.shape)
        scores = np.concatenate([scores, part], axis=1)
        places = np.concatenate([places, new], axis=1)
        best = highest(scores, top_k)
        scores = np.take_along_axis(scores, best, axis=1)
        places = np.take_along_axis(places, best, axis=1)
    return places, scores
