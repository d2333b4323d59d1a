"""The rows of a generation: their tokens so far, and how long each may grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import IntArray

if TYPE_CHECKING:
    pass


class Rows:
    """Rows that go on growing. ``select`` leaves the finished ones out.

    Attributes:
        index: int64 ``[n]``: the row of the batch that each is, or is a beam of.
        prompts: int64 ``[n]``: tokens of its prompt.
        lengths: int64 ``[n]``: tokens that it has.
        least: int64 ``[n]``: it may not end before it has so many.
        most: int64 ``[n]``: it ends when it has so many.
    """

    def __init__(
        self, tokens: IntArray, prompts: IntArray, least: IntArray, most: IntArray
    ) -> None:
        self._tokens = tokens  # [n, capacity]
        self.index = np.arange(len(tokens), dtype=np.int64)
        self.prompts = prompts
        self.lengths = prompts.copy()
        self.least = least
        self.most = most

    def __len__(self) -> int:
        return len(self.index)

    def ids(self) -> list[IntArray]:
        """The tokens of each row, for reading."""
        views = [self._tokens[i, :n] for i, n in enumerate(self.lengths.tolist())]
        for view in views:
            view.flags.writeable = False
        return views

    def new_tokens(self, row: int) -> IntArray:
        """What row ``row`` has got since its prompt."""
        return self._tokens[row, self.prompts[row] : self.lengths[row]].copy()

    def append(self, tokens: IntArray) -> None:
        """Give each row one of ``tokens [n]``."""
        self._tokens[np.arange(len(self)), self.lengths] = tokens
        self.lengths = self.lengths + 1

    def select(self, rows: IntArray) -> Rows:
        """These rows, in this order, any of them more than once."""
        chosen = Rows.__new__(Rows)
        for name, value in vars(self).items():
            setattr(chosen, name, value[rows])
        return chosen
