"""From rows of ids of any lengths to one checked run of tokens: no padded array is made.

``inputs.py`` does the same for padded arrays and their mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import IntArray
from ..checks import as_array
from ..config import RobertaConfig
from ..errors import InputError
from .inputs import default_positions
from .ragged import Ragged

Rows = Sequence[Sequence[int]]


def read_rows(
    config: RobertaConfig, rows: Any, token_type_ids: Any = None, *, choices: bool = False
) -> Ragged:
    """Check the rows of a call and put them one after the other.

    Args:
        config: the sizes to check against.
        rows: for each row its ids in ``[0, vocab_size)``, at least one; all are attended.
        token_type_ids: for each row as many types in ``[0, max_token_types)``; ``None``: 0.
        choices: ``rows[r]`` are the rows of the choices of row ``r``, as many in each.

    Raises:
        InputError: rows of another shape, kind or range; it names the row.
    """
    count = 1
    if choices:
        rows, count = _flat_choices("rows", rows)
        if token_type_ids is not None:
            token_type_ids, _ = _flat_choices("token_type_ids", token_type_ids)
    ids, offsets = _joined("rows", rows)
    lengths = np.diff(offsets)
    if (lengths == 0).any():
        raise InputError(f"rows[{int(np.argmin(lengths))}] must have at least one id, not none")
    _check_range("rows", ids, offsets, config.vocab_size, "vocab_size")
    if token_type_ids is None:
        types: IntArray = np.zeros(len(ids), np.int64)
    else:
        types, type_offsets = _joined("token_type_ids", token_type_ids)
        if not np.array_equal(type_offsets, offsets):
            raise InputError("token_type_ids must have the lengths of rows, not others")
        _check_range("token_type_ids", types, offsets, config.max_token_types, "max_token_types")
    positions = _positions(ids, offsets, config.pad_token_id)
    if len(ids) and positions.max() >= config.max_positions:
        row = _row_of(int(np.argmax(positions >= config.max_positions)), offsets)
        raise InputError(
            f"rows[{row}] must have at most {config.max_tokens} tokens "
            f"(max_positions {config.max_positions} less the offset of "
            f"{config.pad_token_id + 1}), not {int(lengths[row])}"
        )
    return Ragged(
        batch=len(lengths),
        tokens=int(lengths.max(initial=0)),
        choices=count,
        ids=ids,
        types=types,
        positions=positions,
        offsets=offsets,
        places=None,
    )


def _positions(ids: IntArray, offsets: IntArray, pad_token_id: int) -> IntArray:
    """``default_positions`` of each row: they count up from its start, pads left out."""
    lengths = np.diff(offsets)
    positions: IntArray = np.arange(len(ids), dtype=np.int64)
    positions += pad_token_id + 1 - np.repeat(offsets[:-1], lengths)
    if (ids == pad_token_id).any():
        for row in {_row_of(int(at), offsets) for at in np.flatnonzero(ids == pad_token_id)}:
            own = slice(offsets[row], offsets[row + 1])
            positions[own] = default_positions(ids[own], pad_token_id)
    return positions


def _joined(name: str, rows: Any) -> tuple[IntArray, IntArray]:
    """All numbers in one run, int64 ``[total]``, and where each row begins."""
    if isinstance(rows, (str, bytes)) or not isinstance(rows, (Sequence, np.ndarray)):
        raise InputError(f"{name} must be a list of rows of ids, not {type(rows).__name__}")
    arrays = [_row(f"{name}[{i}]", row) for i, row in enumerate(rows)]
    offsets = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum(list(map(len, arrays)), out=offsets[1:])
    return np.concatenate([np.empty(0, np.int64), *arrays]), offsets


def _row(name: str, row: Any) -> IntArray:
    if type(row) is np.ndarray and row.dtype == np.int64 and row.ndim == 1:
        return row
    array = as_array(name, row)
    if array.ndim != 1:
        raise InputError(f"{name} must be [tokens], not of shape {list(array.shape)}")
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} must be integers, not {array.dtype}")
    if array.dtype.kind == "u" and int(array.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{name} must fit in 64 bits with a sign, not {int(array.max())}")
    return array.astype(np.int64, copy=False)


def _flat_choices(name: str, rows: Any) -> tuple[list[Any], int]:
    if isinstance(rows, (str, bytes)) or not isinstance(rows, (Sequence, np.ndarray)):
        raise InputError(f"{name} must be a list of lists of rows, not {type(rows).__name__}")
    for r, of_row in enumerate(rows):
        if isinstance(of_row, (str, bytes)) or not isinstance(of_row, (Sequence, np.ndarray)):
            raise InputError(f"{name}[{r}] must be a list of rows, not {type(of_row).__name__}")
        if len(of_row) != len(rows[0]) or len(of_row) == 0:
            raise InputError(
                f"{name}[{r}] must have as many choices as {name}[0] ({len(rows[0])}), "
                f"and one at least, not {len(of_row)}"
            )
    return [row for of_row in rows for row in of_row], len(rows[0]) if len(rows) else 1


def _row_of(place: int, offsets: IntArray) -> int:
    """The row that a place in the run belongs to."""
    return int(np.searchsorted(offsets, place, side="right")) - 1


def _check_range(
    name: str, values: IntArray, offsets: IntArray, limit: int, limit_name: str
) -> None:
    # Taken without their sign, negative numbers are above any limit.
    outside = values.view(np.uint64) >= limit
    if outside.any():
        place = int(np.argmax(outside))
        row = _row_of(place, offsets)
        raise InputError(
            f"{name} must be in [0, {limit_name}) = [0, {limit}), "
            f"not {int(values[place])} at [{row}, {place - int(offsets[row])}]"
        )
