"""The prompt of a generation, checked: its rows, and how long each may grow."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import BoolArray, IntArray
from ..errors import InputError
from ..models.inputs import read_batch
from .decoder import StepModel
from .options import DEFAULT_NEW_TOKENS, GenerationOptions
from .rows import Rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def read_prompt(
    model: StepModel,
    input_ids: IntArray,
    attended: BoolArray,
    options: GenerationOptions,
) -> Rows:
    """The rows of a checked prompt, and how long each may grow.

    Args:
        model: whose room counts.
        input_ids, attended: ``[batch, tokens]``.
        options: settled.

    Raises:
        InputError: a row without a token, one that is too long for what is asked, or options
            that contradict each other for it.
    """
    config = model.config
    batch, tokens = input_ids.shape
    lengths = np.count_nonzero(attended, axis=1).astype(np.int64)
    # Positions count what is not a pad, masked or not; the cache counts what is attended.
    taken = np.maximum(lengths, np.count_nonzero(input_ids != config.pad_token_id, axis=1))
    for row in range(batch):
        if lengths[row] == 0:
            raise InputError(
                f"attention_mask must attend to a token of every row, not none of {row}"
            )
    if options.max_length is not None:
        most = np.full(batch, options.max_length, np.int64)
        for row in np.flatnonzero(lengths >= most)[:1].tolist():
            raise InputError(
                f"input_ids must have fewer tokens than max_length ({options.max_length}), "
                f"not {lengths[row]} in row {row}"
            )
    elif options.max_new_tokens is not None:
        most = lengths + options.max_new_tokens
    else:
        most = lengths + np.minimum(DEFAULT_NEW_TOKENS, np.maximum(config.max_tokens - taken, 1))
    needed = taken + most - lengths
    for row in np.flatnonzero(needed > config.max_tokens)[:1].tolist():
        raise InputError(
            f"input_ids and new tokens must be at most the model's {config.max_tokens}, not "
            f"{needed[row]} in row {row}: {taken[row]} and {most[row] - lengths[row]} new ones"
        )
    least = lengths + (options.min_new_tokens or 0)
    if options.min_length is not None:
        least = np.maximum(lengths, options.min_length)
    for row in np.flatnonzero(least > most)[:1].tolist():
        name = "min_new_tokens" if options.min_length is None else "min_length"
        raise InputError(
            f"{name} must leave row {row} at most {most[row]} tokens, "
            f"not ask for {least[row]} ({name}={getattr(options, name)})"
        )
    kept = np.zeros((batch, int(most.max(initial=tokens))), np.int64)
    for row in range(batch):
        kept[row, : lengths[row]] = input_ids[row, attended[row]]
    return Rows(kept, lengths, least, most)


def read_ids(
    model: StepModel,
    input_ids: ArrayLike | None,
    attention_mask: ArrayLike | None,
    options: GenerationOptions,
) -> tuple[IntArray, BoolArray]:
    """``input_ids`` and which of them are attended, checked as a call of the model does.

    ``None`` for ids: one row of ``bos_token_id``.
    """
    if input_ids is None:
        if options.bos_token_id is None:
            raise InputError("input_ids must be given where there is no bos_token_id, not None")
        input_ids = np.array([[options.bos_token_id]], np.int64)
    mask = attention_mask
    if mask is None:
        with contextlib.suppress(ValueError):  # read_batch says what is wrong with a ragged list
            mask = np.ones(np.shape(input_ids), bool)
    ragged = read_batch(model.config, input_ids, mask, None, None)
    if attention_mask is None and (ragged.ids == model.config.pad_token_id).any():
        warnings.warn(
            f"input_ids hold pad_token_id ({model.config.pad_token_id}) and no attention_mask was "
            "given: the pads are attended to",
            stacklevel=5,
        )
    attended = np.zeros(ragged.batch * ragged.tokens, bool)
    attended[ragged.places] = True
    ids = np.array(input_ids, np.int64)
    return ids.reshape(ragged.batch, ragged.tokens), attended.reshape(ids.shape)
