"""Arrays: the types that signatures name (shapes stand in the docstrings), and NumPy itself."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]
else:  # numpy.typing is for type checkers alone
    Array = BoolArray = IntArray = Any
# The shapes of tensors by their names.
Shapes = dict[str, tuple[int, ...]]


@functools.cache
def finish_imports() -> None:
    """Have NumPy import now what it would import when it is first used.

    A model may be called for the first time by a ``__del__`` while Python ends, when nothing can
    be imported any more.
    """
    numbers = np.zeros((2, 2))
    for method in ("any", "all", "sum", "max", "min", "mean", "prod", "std", "argmax", "argsort"):
        getattr(numbers, method)()
    np.isin(numbers, numbers)
