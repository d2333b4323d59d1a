"""What is read from logits, in float64: probabilities and the highest of them."""

from __future__ import annotations

import numpy as np

from .arrays import Array, IntArray


def softmax(logits: Array) -> Array:
    """``exp(x - max) / sum`` over the last axis, in float64, which keeps the small scores apart."""
    x = logits.astype(np.float64)
    weights: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def sigmoid(logits: Array) -> Array:
    """``1 / (1 + exp(-x))`` in float64."""
    x: Array = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return x


def log_softmax(logits: Array) -> Array:
    """``x - max - log(sum(exp(x - max)))`` over the last axis, in float64."""
    x = logits.astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    x -= np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return x


def highest(values: Array, k: int) -> IntArray:
    """The places of the ``k`` highest of each row, highest first; of equals the first.

    Args:
        values: ``[..., n]``, without NaN.
        k: at least 1; all ``n`` where it is more.

    Returns:
        int64 ``[..., min(k, n)]``.

    Example:
        >>> highest(np.array([1.0, 3.0, 2.0, 3.0]), 3).tolist()
        [1, 3, 2]
    """
    k = min(k, values.shape[-1])
    rows = values.reshape(-1, values.shape[-1])
    best = np.empty((len(rows), k), np.int64)
    for row, kept in zip(rows, best, strict=True):
        # All that reach the k-th highest, which is far fewer than there are, then those in order.
        places = np.flatnonzero(row >= np.partition(row, len(row) - k)[len(row) - k])
        kept[:] = places[np.argsort(-row[places], kind="stable")][:k]
    return best.reshape(*values.shape[:-1], k)
