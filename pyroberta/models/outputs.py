"""What a call of every model gives; each architecture adds to it in its own file.

Names are those of Hugging Face. What was not asked for, or does not exist, is ``None``. Arrays
have the dtype of the compute type's results: float32, or float64 from the float64 reference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import Array, IntArray
from ..errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelOutput:
    """What every model gives.

    Attributes:
        hidden_states: ``num_blocks + 1`` arrays ``[batch, tokens, hidden]``: the embeddings and
            each block's result; 0 at masked places. The last is ``last_hidden_state``, and where
            nothing is masked the two share their memory.
        attentions: ``num_blocks`` arrays ``[batch, heads, queries, keys]``: the attention weights
            after the head mask; 0 in masked rows and columns.
        offsets: of ``encode_rows``: int64 ``[rows + 1]``. The arrays of tokens are then
            ``[total, ...]``, and row ``r`` has the places from ``offsets[r]`` to
            ``offsets[r + 1]`` of them.
    """

    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None
    offsets: IntArray | None = None

    def __getitem__(self, name: str) -> Any:
        """What is called ``name``: ``output["logits"]`` is ``output.logits``.

        Raises:
            KeyError: there is no such output, or it is ``None``.
        """
        if name in self:
            return getattr(self, name)
        raise KeyError(f"output must be one of {', '.join(self.keys())}, not {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> tuple[str, ...]:
        """The names of what there is: all that is not ``None``."""
        names = (field.name for field in dataclasses.fields(self))
        return tuple(name for name in names if getattr(self, name) is not None)

    def of_rows(self, array: Array) -> list[Array]:
        """An array ``[total, ...]`` of ``encode_rows`` cut into its rows ``[tokens, ...]``: views.

        Raises:
            InputError: an output of a call with arrays, or an array of another length.
        """
        if self.offsets is None:
            raise InputError("output must come from encode_rows to have rows, not from a call")
        if len(array) != self.offsets[-1]:
            raise InputError(
                f"array must have the {self.offsets[-1]} places of the rows, not {len(array)}"
            )
        return np.split(array, self.offsets[1:-1]) if len(self.offsets) > 1 else []
