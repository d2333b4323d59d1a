"""Rows of ids, and what their decisions should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

IntArray = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Row:
    """What a model reads as one row, special tokens included.

    Attributes:
        ids: its tokens.
        places: for a language model: the tokens whose logits are compared; ``None``: all.
        gold: what each decision of the row should be, -1 where that is not known; ``None`` where
            none is.
    """

    ids: Sequence[int]
    places: Sequence[int] | None = None
    gold: Sequence[int] | None = None


def gold_of(rows: list[Row]) -> IntArray | None:
    """What the decisions of these rows should be, one row after the other."""
    found = [row.gold for row in rows if row.gold is not None]
    if not found:
        return None
    if len(found) != len(rows):
        raise InputError("gold must be given for every row or for none, not for some")
    return np.array([one for gold in found for one in gold], np.int64)


def pad(rows: list[Row], pad_token_id: int) -> tuple[IntArray, NDArray[np.bool_]]:
    """``input_ids`` and ``attention_mask``, filled up on the right."""
    lengths = np.array([len(row.ids) for row in rows])
    mask = np.arange(lengths.max(initial=1)) < lengths[:, None]
    ids = np.full(mask.shape, pad_token_id, np.int64)
    ids[mask] = [token_id for row in rows for token_id in row.ids]
    return ids, mask
