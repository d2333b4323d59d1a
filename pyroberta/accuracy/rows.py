"""Rows of ids, and what their decisions should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..arrays import IntArray
from ..errors import InputError


@dataclasses.dataclass(frozen=True)
class Row:
    """What a model reads as one row, special tokens included.

    Attributes:
        ids: its tokens.
        places: for a language model: the tokens whose logits are compared; ``None``: all.
        gold: what each decision of the row should be, -1 where that is not known; ``None`` where
            none is.
        types: of its tokens; ``None``: all 0.
    """

    ids: Sequence[int]
    places: Sequence[int] | None = None
    gold: Sequence[int] | None = None
    types: Sequence[int] | None = None


def types_of(rows: Sequence[Row]) -> list[Sequence[int]] | None:
    """The types of all tokens of these rows, ``None`` where no row has any."""
    if all(row.types is None for row in rows):
        return None
    return [[0] * len(row.ids) if row.types is None else row.types for row in rows]


def gold_of(rows: list[Row]) -> IntArray | None:
    """What the decisions of these rows should be, one row after the other."""
    found = [row.gold for row in rows if row.gold is not None]
    if not found:
        return None
    if len(found) != len(rows):
        raise InputError("gold must be given for every row or for none, not for some")
    return np.array([one for gold in found for one in gold], np.int64)
