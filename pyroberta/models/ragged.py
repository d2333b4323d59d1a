"""A ragged batch: what every layer works on, and how results are put back to the caller's shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..arrays import Array, IntArray
from ..errors import InputError


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Ragged:
    """The attended tokens of a batch, row after row.

    Attributes:
        batch: how many rows there are.
        tokens: the width of the arrays that the call was given; of rows the longest's.
        choices: how many rows in a row belong together; 1 but for multiple choice.
        ids, types, positions: int64 ``[total]``.
        offsets: int64 ``[batch + 1]``: row ``r`` is ``ids[offsets[r]:offsets[r + 1]]``.
        places: int64 ``[total]``: where each token stood in the flattened ``[batch * tokens]``;
            ``None`` where the call was given rows: then results stay ragged.
    """

    batch: int
    tokens: int
    choices: int
    ids: IntArray
    types: IntArray
    positions: IntArray
    offsets: IntArray
    places: IntArray | None

    def scatter(self, values: Array, fill: float = 0.0) -> Array:
        """``values [total, ...]`` put back to ``[batch, tokens, ...]``, ``fill`` where masked.

        Where nothing is masked they are in order already: a view of them, and no copy. Those of
        rows stay as they are.
        """
        if self.places is None:
            return values
        if len(values) == self.batch * self.tokens:
            return values.reshape(self.batch, self.tokens, *values.shape[1:])
        flat = np.full((self.batch * self.tokens, *values.shape[1:]), fill, values.dtype)
        flat[self.places] = values
        return flat.reshape(self.batch, self.tokens, *values.shape[1:])

    def scatter_attentions(self, flat: Array, heads: int) -> Array:
        """The attentions of ``run_blocks`` as ``[batch, heads, tokens, tokens]``."""
        columns = [self._columns(row) for row in range(self.batch)]
        return self.scatter_keys(flat, heads, columns, self.tokens)

    def scatter_keys(
        self, flat: Array, heads: int, columns: Sequence[IntArray], width: int
    ) -> Array:
        """Attentions over any keys as ``[batch, heads, tokens, width]``.

        ``columns``: for each row, the column of each of its keys, int64 ``[keys]``.
        """
        dense = np.zeros((self.batch, heads, self.tokens, width), flat.dtype)
        at = 0
        for row, keys in enumerate(columns):
            queries = self._columns(row)
            shape = (heads, len(queries), len(keys))
            size = shape[0] * shape[1] * shape[2]
            dense[row][:, queries[:, None], keys] = flat[at : at + size].reshape(shape)
            at += size
        return dense

    def _columns(self, row: int) -> IntArray:
        """Where the row's attended tokens stand in it."""
        assert self.places is not None
        places = self.places[self.offsets[row] : self.offsets[row + 1]]
        columns: IntArray = places - row * self.tokens
        return columns

    def first_tokens(self) -> IntArray:
        """Where each row's first token stands in ``ids``, int64 ``[batch]``.

        Raises:
            InputError: a row's first token is masked.
        """
        begins = self.offsets[:-1]
        if self.places is None:
            return begins
        lengths = np.diff(self.offsets)
        for row in range(self.batch):
            if lengths[row] == 0 or self.places[begins[row]] != row * self.tokens:
                raise InputError(
                    f"attention_mask must attend to the first token of every row, which this "
                    f"model's head reads, not mask it in row {row}"
                )
        return begins
