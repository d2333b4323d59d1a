"""The types of arrays that signatures name: their shapes stand in the docstrings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
# The shapes of tensors by their names.
Shapes = dict[str, tuple[int, ...]]
