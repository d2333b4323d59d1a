"""From the arrays of a call to one checked run of tokens.

A masked token is dropped here, wherever it stands: nothing attends to it, so the others are
unchanged.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, BoolArray, IntArray
from ..checks import as_array
from ..config import RobertaConfig
from ..errors import InputError
from .ragged import Ragged

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def read_batch(
    config: RobertaConfig,
    input_ids: ArrayLike,
    attention_mask: ArrayLike | None,
    token_type_ids: ArrayLike | None,
    position_ids: ArrayLike | None,
    *,
    choices: bool = False,
    before: IntArray | None = None,
) -> Ragged:
    """Check the inputs of a call and drop the masked tokens.

    Args:
        config: the sizes to check against.
        input_ids: integers ``[batch, tokens]`` in ``[0, vocab_size)``.
        attention_mask: ``[batch, tokens]``, bool, integer or float, finite and not negative;
            above 0 means attended. ``None``: every token is, pads too.
        token_type_ids: integers ``[batch, tokens]`` in ``[0, max_token_types)``; ``None``: 0.
        position_ids: integers ``[batch, tokens]``, in ``[0, max_positions)`` where attended;
            ``None``: see ``default_positions``.
        choices: the arrays are ``[batch, choices, tokens]``; the result has
            ``batch * choices`` rows.
        before: int64 ``[batch]``: how many tokens, pads left out, came before in each row (in a
            cache): default positions go on from there.

    Raises:
        InputError: an argument of another shape, kind or range.
    """
    rank = 3 if choices else 2
    ids = _integers("input_ids", input_ids)
    wanted = "[batch, choices, tokens]" if choices else "[batch, tokens]"
    if ids.ndim != rank:
        raise InputError(f"input_ids must be {wanted}, not of shape {list(ids.shape)}")
    if ids.shape[-1] == 0:
        raise InputError(f"input_ids must have at least one token a row, not {list(ids.shape)}")
    if choices and ids.shape[1] == 0:
        raise InputError(f"input_ids must have at least one choice, not {list(ids.shape)}")
    _check_range("input_ids", ids, config.vocab_size, "vocab_size")

    if token_type_ids is None:
        types: IntArray = np.zeros(ids.shape, np.int64)
    else:
        types = _integers("token_type_ids", token_type_ids)
        _check_shape("token_type_ids", types, ids)
        _check_range("token_type_ids", types, config.max_token_types, "max_token_types")

    has_pads = bool((ids == config.pad_token_id).any())
    attended: BoolArray | None = None
    if attention_mask is None:
        if has_pads:
            warnings.warn(
                f"input_ids hold pad_token_id ({config.pad_token_id}) and no attention_mask was "
                "given: the pads are attended to",
                stacklevel=5,
            )
    else:
        attended = _read_mask("attention_mask", attention_mask, ids.shape, wanted, "input_ids")

    if position_ids is None:
        if has_pads:
            positions = default_positions(ids, config.pad_token_id, before)
        else:
            positions = _count_up(ids.shape, config.pad_token_id + 1, before)
        _check_length(positions, attended, config)
    else:
        positions = _integers("position_ids", position_ids)
        _check_shape("position_ids", positions, ids)
        _check_range("position_ids", positions, config.max_positions, "max_positions", attended)

    tokens = ids.shape[-1]
    rows = ids.size // tokens
    offsets, places = _attended_places(attended, rows, tokens)
    ids_of, types_of, positions_of = (
        array.ravel() if len(places) == ids.size else array.ravel()[places]
        for array in (ids, types, positions)
    )
    return Ragged(
        batch=rows,
        tokens=tokens,
        choices=ids.shape[1] if choices else 1,
        ids=ids_of,
        types=types_of,
        positions=positions_of,
        offsets=offsets,
        places=places,
    )


def _attended_places(
    attended: BoolArray | None, rows: int, tokens: int
) -> tuple[IntArray, IntArray]:
    """Where each of ``rows`` begins in the run of attended tokens, and where those stood.

    ``attended [..., tokens]``; ``None``: all are.
    """
    if attended is None:
        return np.arange(rows + 1, dtype=np.int64) * tokens, np.arange(
            rows * tokens, dtype=np.int64
        )
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.count_nonzero(attended.reshape(rows, tokens), axis=1), out=offsets[1:])
    return offsets, np.flatnonzero(attended)


def default_positions(ids: IntArray, pad_token_id: int, before: IntArray | None = None) -> IntArray:
    """Positions by Hugging Face's rule, along the last axis of ``ids``.

    Tokens that are not the pad count up from ``pad_token_id + 1``, or go on after the
    ``before [batch]`` tokens of each row; pads get ``pad_token_id`` and are not counted. Masked
    tokens count, unless they are pads.

    Example:
        >>> default_positions(np.array([[7, 8, 1, 9, 1]]), pad_token_id=1)
        array([[2, 3, 1, 4, 1]])
    """
    real = ids != pad_token_id
    counts = np.cumsum(real, axis=-1, dtype=np.int64)
    if before is not None:
        counts += before[:, None]
    positions: IntArray = counts * real + pad_token_id
    return positions


def _count_up(shape: tuple[int, ...], first: int, before: IntArray | None) -> IntArray:
    """``default_positions`` of rows that have no pad."""
    positions = np.empty(shape, np.int64)
    positions[...] = np.arange(first, first + shape[-1])
    if before is not None:
        positions += before[:, None]
    return positions


def count_tokens(input_ids: ArrayLike, pad_token_id: int) -> IntArray:
    """How many tokens of each row are not pads: int64 ``[batch]``. The ids are checked already."""
    counts: IntArray = np.count_nonzero(np.asarray(input_ids) != pad_token_id, axis=-1)
    return counts.astype(np.int64)


def read_encoder_batch(hidden: Array, mask: ArrayLike | None) -> tuple[Array, IntArray, IntArray]:
    """The attended places of an encoder's output ``[batch, tokens, hidden]``.

    Returns:
        ``[total, hidden]``, offsets int64 ``[batch + 1]`` and places int64 ``[total]``.

    Raises:
        InputError: a mask of another shape or kind.
    """
    rows, tokens = hidden.shape[:2]
    attended: BoolArray | None = None
    if mask is not None:
        attended = _read_mask(
            "encoder_attention_mask",
            mask,
            (rows, tokens),
            "[batch, encoder tokens]",
            "encoder_hidden_state",
        )
    offsets, places = _attended_places(attended, rows, tokens)
    return hidden.reshape(rows * tokens, -1)[places], offsets, places


def read_head_mask(name: str, mask: ArrayLike | None, config: RobertaConfig) -> Array | None:
    """A head mask as float64 ``[num_blocks, heads]``, or ``None``. Raises InputError."""
    if mask is None:
        return None
    array = as_array(name, mask)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold numbers, not {array.dtype}")
    wanted = [config.num_blocks, config.num_attention_heads]
    if list(array.shape) != wanted:
        raise InputError(
            f"{name} must be [num_blocks, num_attention_heads] {wanted}, "
            f"not of shape {list(array.shape)}"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite, not {array[~np.isfinite(array)][0]}")
    return array


def read_logit_positions(positions: ArrayLike, ragged: Ragged) -> IntArray:
    """``logit_positions [n, 2]`` (row, token) as indices into the run of tokens.

    Raises:
        InputError: not ``[n, 2]`` integers, out of range, or a masked place.
    """
    pairs = _integers("logit_positions", positions)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InputError(
            f"logit_positions must be [n, 2] (row, token), not of shape {list(pairs.shape)}"
        )
    for column, (what, limit) in enumerate((("row", ragged.batch), ("token", ragged.tokens))):
        outside = (pairs[:, column] < 0) | (pairs[:, column] >= limit)
        if outside.any():
            value = pairs[outside, column][0]
            raise InputError(f"logit_positions must have a {what} in [0, {limit}), not {value}")
    if ragged.places is None:
        found = ragged.offsets[pairs[:, 0]] + pairs[:, 1]
        beyond = found >= ragged.offsets[pairs[:, 0] + 1]
        if beyond.any():
            row, token = pairs[beyond][0]
            length = int(ragged.offsets[row + 1] - ragged.offsets[row])
            raise InputError(
                f"logit_positions must have a token in [0, {length}) in row {row}, not {token}"
            )
        return found
    flat = pairs[:, 0] * ragged.tokens + pairs[:, 1]
    found = np.searchsorted(ragged.places, flat)
    inside = np.minimum(found, max(len(ragged.places) - 1, 0))
    masked = ragged.places[inside] != flat if len(ragged.places) else np.ones(len(flat), bool)
    if masked.any():
        row, token = pairs[masked][0]
        raise InputError(
            f"logit_positions must be attended places, not ({row}, {token}), which is masked"
        )
    return found.astype(np.int64)


def _integers(name: str, values: ArrayLike) -> IntArray:
    """``values`` as a new, contiguous int64 array in the machine's byte order."""
    array = as_array(name, values)
    if array.size == 0 and array.dtype == np.float64 and not isinstance(values, np.ndarray):
        array = array.astype(np.int64)  # an empty list has no dtype of its own
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} must be integers, not {array.dtype}")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{name} must fit in 64 bits with a sign, not {int(array.max())}")
    if isinstance(values, (list, tuple)) and array.dtype == np.int64:
        return array
    # A copy: another thread may write to the caller's array while we compute.
    return np.array(array, dtype=np.int64, order="C", copy=True, subok=False)


def _read_mask(
    name: str, mask: ArrayLike, shape: tuple[int, ...], wanted: str, other: str
) -> BoolArray:
    """A mask as bool; ``wanted`` is the shape in words, ``other`` the argument that has it."""
    array = as_array(name, mask)
    if array.size == 0:
        array = array.astype(bool)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be bool, integer or float, not {array.dtype}")
    if array.ndim != len(shape):
        raise InputError(
            f"{name} must be {wanted}, not of shape {list(array.shape)}: "
            "masks for each query and additive masks are not read"
        )
    if array.shape != shape:
        raise InputError(
            f"{name} must have the shape of {other} {list(shape)}, not {list(array.shape)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"{name} must be finite (above 0 means attended), "
            f"not {array[~np.isfinite(array)][0]}: is it an additive mask?"
        )
    if array.dtype.kind != "b" and (array < 0).any():
        raise InputError(
            f"{name} must not be negative (above 0 means attended), "
            f"not {array[array < 0][0]}: is it an additive mask?"
        )
    attended: BoolArray = array > 0
    return attended


def _check_shape(name: str, array: Array, ids: IntArray) -> None:
    if array.shape != ids.shape:
        raise InputError(
            f"{name} must have the shape of input_ids {list(ids.shape)}, not {list(array.shape)}"
        )


def _check_range(
    name: str, values: IntArray, limit: int, limit_name: str, where: Array | None = None
) -> None:
    # Taken without their sign, negative numbers are above any limit.
    outside = values.view(np.uint64) >= limit
    if where is not None:
        outside &= where
    if outside.any():
        place = [int(i) for i in np.argwhere(outside)[0]]
        raise InputError(
            f"{name} must be in [0, {limit_name}) = [0, {limit}), "
            f"not {int(values[outside][0])} at {place}"
        )


def _check_length(positions: IntArray, attended: BoolArray | None, config: RobertaConfig) -> None:
    """Refuse rows that count past the position table."""
    outside = positions >= config.max_positions
    if attended is not None:
        outside &= attended
    if outside.any():
        longest = int(positions[outside].max()) - config.pad_token_id
        raise InputError(
            f"input_ids must have at most {config.max_tokens} tokens a row "
            f"(max_positions {config.max_positions} less the offset of "
            f"{config.pad_token_id + 1}), not {longest}"
        )
