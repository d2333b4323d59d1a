"""A ragged batch: what every layer works on, and how results are put back to the caller's shape."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

if TYPE_CHECKING:
    from .decoder import CrossInputs

Array = NDArray[Any]
IntArray = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Ragged:
    """The attended tokens of a batch, row after row.

    Attributes:
        batch, tokens: the shape of the arrays that the call was given.
        choices: how many rows in a row belong together; 1 but for multiple choice.
        ids, types, positions: int64 ``[total]``.
        offsets: int64 ``[batch + 1]``: row ``r`` is ``ids[offsets[r]:offsets[r + 1]]``.
        places: int64 ``[total]``: where each token stood in the flattened ``[batch * tokens]``.
    """

    batch: int
    tokens: int
    choices: int
    ids: IntArray
    types: IntArray
    positions: IntArray
    offsets: IntArray
    places: IntArray

    def scatter(self, values: Array, fill: float = 0.0) -> Array:
        """``values [total, ...]`` put back to ``[batch, tokens, ...]``, ``fill`` where masked.

        Where nothing is masked they are in order already: a view of them, and no copy.
        """
        if len(values) == self.batch * self.tokens:
            return values.reshape(self.batch, self.tokens, *values.shape[1:])
        flat = np.full((self.batch * self.tokens, *values.shape[1:]), fill, values.dtype)
        flat[self.places] = values
        return flat.reshape(self.batch, self.tokens, *values.shape[1:])

    def scatter_attentions(self, flat: Array, heads: int) -> Array:
        """The attentions of ``run_blocks`` as ``[batch, heads, tokens, tokens]``."""
        columns = [self._columns(row) for row in range(self.batch)]
        return self._scatter(flat, heads, columns, self.tokens)

    def scatter_keys(self, flat: Array, heads: int, lengths: IntArray) -> Array:
        """Attentions over a cache as ``[batch, heads, tokens, longest]``, keys in its order.

        ``lengths [batch]`` are the keys of each row, ``longest`` the largest of them.
        """
        rows = (np.arange(n) for n in lengths.tolist())
        return self._scatter(flat, heads, list(rows), int(lengths.max(initial=0)))

    def scatter_cross(self, flat: Array, heads: int, cross: CrossInputs) -> Array:
        """Cross attentions as ``[batch, heads, tokens, encoder tokens]``."""
        columns = [
            cross.places[cross.offsets[row] : cross.offsets[row + 1]] - row * cross.tokens
            for row in cross.rows.tolist()
        ]
        return self._scatter(flat, heads, columns, cross.tokens)

    def _columns(self, row: int) -> IntArray:
        """Where the row's attended tokens stand in it."""
        places = self.places[self.offsets[row] : self.offsets[row + 1]]
        columns: IntArray = places - row * self.tokens
        return columns

    def _scatter(self, flat: Array, heads: int, keys: list[IntArray], width: int) -> Array:
        """Ragged attentions to ``[batch, heads, tokens, width]``; ``keys``: each row's columns."""
        dense = np.zeros((self.batch, heads, self.tokens, width), flat.dtype)
        at = 0
        for row, columns in enumerate(keys):
            queries = self._columns(row)
            shape = (heads, len(queries), len(columns))
            size = shape[0] * shape[1] * shape[2]
            dense[row][:, queries[:, None], columns] = flat[at : at + size].reshape(shape)
            at += size
        return dense

    def first_tokens(self) -> IntArray:
        """Where each row's first token stands in ``ids``.

        Raises:
            InputError: a row's first token is masked.
        """
        lengths = np.diff(self.offsets)
        begins = self.offsets[:-1]
        for row in range(self.batch):
            if lengths[row] == 0 or self.places[begins[row]] != row * self.tokens:
                raise InputError(
                    f"attention_mask must attend to the first token of every row, which this "
                    f"model's head reads, not mask it in row {row}"
                )
        return begins
