"""Running sums: from batch after batch to the differences of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from .report import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DifferenceSums:
    """The sums behind one ``Difference``.

    Args:
        name: of the difference.
        cosines: whether rows are vectors to take the cosine of.
    """

    def __init__(self, name: str, *, cosines: bool = True) -> None:
        self.name = name
        self._cosines = cosines
        self._largest = self._errors = self._cosine = 0.0
        self._numbers = self._rows = 0

    def add(self, got: Array, exact: Array) -> None:
        """Take in ``got [rows, cols]`` and what it should be, which is finite."""
        if not exact.size:
            return
        x, y = got.astype(np.float64), exact.astype(np.float64, copy=False)
        if self._cosines:
            self._cosine += float(cosines(x, y).sum())
        x -= y
        error = np.abs(x, out=x)
        largest = float(error.max())
        if np.isfinite(largest):
            self._largest = max(self._largest, largest)
            self._errors += float(error.sum())
        else:  # a NaN would be lost in the comparison
            self._largest = self._errors = np.inf
        self._numbers += exact.size
        self._rows += len(exact)

    def difference(self) -> Difference:
        """What the sums amount to."""
        return Difference(
            name=self.name,
            max_error=self._largest,
            mean_error=self._errors / max(1, self._numbers),
            mean_cosine=self._cosine / max(1, self._rows) if self._cosines else None,
        )


class TypeSums:
    """The sums behind a ``TypeAccuracy``.

    Attributes:
        name: of the compute type.
        hidden_states: after the embeddings and after each block.
        logits, vectors: of heads and whole texts, where there are any.
        equal: decisions that are the exact model's.
    """

    def __init__(self, name: str, num_blocks: int) -> None:
        self.name = name
        names = ["embeddings", *(f"block {n}" for n in range(num_blocks))]
        self.hidden_states = [DifferenceSums(one) for one in names]
        self.logits = DifferenceSums("logits", cosines=False)
        self.vectors = DifferenceSums("vectors")
        self.equal = 0


def cosines(x: Array, y: Array) -> NDArray[np.float64]:
    """The cosine of each row of ``x`` with that of ``y``, both float64 ``[rows, cols]``.

    Two rows of zeros are equal and have 1; a row of zeros with another has 0, and so has one that
    is not finite.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        dot = np.einsum("ij,ij->i", x, y)
        lengths = np.sqrt(np.einsum("ij,ij->i", x, x) * np.einsum("ij,ij->i", y, y))
        cosine: NDArray[np.float64] = np.clip(dot / lengths, -1.0, 1.0)
    cosine[~np.isfinite(lengths)] = 0.0
    zero = lengths == 0
    cosine[zero] = np.where((x[zero] == y[zero]).all(axis=1), 1.0, 0.0)
    return cosine
