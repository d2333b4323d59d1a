"""Texts to batches: what the tasks share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError

# A batch's budget where none is given: enough rows to keep every core busy, while the hidden states
# of a base model's batch stay near 6 MB. What is computed is what counts: no pads are in it.
BATCH_TOKENS = 2048


def as_python(inputs: Any) -> Any:
    """The values of a column of Arrow, whose own elements are no ``str``; else what came."""
    return inputs.to_pylist() if hasattr(inputs, "to_pylist") else inputs


def read_texts(texts: Any) -> tuple[list[str], bool]:
    """The texts of a call as a list, and whether it was one ``str``.

    Raises:
        InputError: neither a ``str`` nor several in a list, an array ``[n]`` or any iterable.
    """
    if isinstance(texts, np.ndarray) and texts.ndim == 1 and not hasattr(texts, "mask"):
        texts = texts.tolist()
    texts = as_python(texts)
    if isinstance(texts, str):
        return [texts], True
    if isinstance(texts, (bytes, Mapping, np.ndarray)) or not isinstance(texts, Iterable):
        raise InputError(f"texts must be a str or a list of str, not {type(texts).__name__}")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts[{i}] must be a str, not {type(text).__name__}")
    return texts, False


def plan_batches(
    lengths: Sequence[int],
    batch_tokens: int,
    weights: Sequence[int] | None = None,
    max_weight: int = 0,
) -> Iterator[list[int]]:
    """Which rows to compute together: the numbers of each batch's rows.

    As few batches as the budget allows, and of about as many tokens each: a large one beside a
    small one costs more memory, and more time where it leaves the caches. The longest rows come
    first, so that memory is short at the start if at all.

    Args:
        lengths: tokens of each row.
        batch_tokens: the most tokens of a batch; a longer row is a batch alone. No padding is
            computed, so none is counted.
        weights: another cost of each row.
        max_weight: the most of that in a batch, again but for a row alone.
    """
    left = sum(lengths)
    share = _share(left, batch_tokens)
    batch: list[int] = []
    tokens = weight = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        cost = 0 if weights is None else weights[row]
        is_full = tokens + lengths[row] > batch_tokens or weight + cost > max_weight
        if batch and (is_full or tokens + lengths[row] / 2 > share):
            yield batch
            left -= tokens
            share = _share(left, batch_tokens)
            batch, tokens, weight = [], 0, 0
        batch.append(row)
        tokens += lengths[row]
        weight += cost
    if batch:
        yield batch


def _share(tokens: int, most: int) -> float:
    """The tokens of each of the fewest batches that hold so many."""
    return tokens / max(1, -(-tokens // most))
