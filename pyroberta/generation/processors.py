"""What changes logits before a token is chosen: small functions, and the order they run in.

Each takes logits ``[rows, vocab]`` and returns new ones; a token with ``-inf`` is not chosen. The
formulas and the order are those of Hugging Face's processors of like names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, BoolArray, IntArray
from ..errors import InputError
from ..logits import softmax
from .options import GenerationOptions
from .rows import Rows


def penalise_repetition(ids: Sequence[IntArray], logits: Array, penalty: float) -> Array:
    """Logits of tokens in ``ids`` divided by ``penalty`` above 0, multiplied below.

    Keskar et al. 2019, arXiv:1909.05858. A token that occurs twice is penalised once.

    Raises:
        InputError: a penalty by which a logit is no number of its type any more.
    """
    new = logits.copy()
    for row, own in enumerate(ids):
        held = logits[row, own]
        with np.errstate(all="ignore"):
            penalised = np.where(held < 0, held * penalty, held / penalty)
        if not np.isfinite(penalised[np.isfinite(held)]).all():
            raise InputError(
                f"repetition_penalty must leave each logit a number of {logits.dtype}, which "
                f"{penalty} does not"
            )
        new[row, own] = penalised
    return new


def forbid_repeated_ngrams(ids: Sequence[IntArray], logits: Array, length: int) -> Array:
    """``-inf`` for tokens that would end a run of ``length`` tokens which ``ids`` hold already."""
    new = logits.copy()
    for row, own in enumerate(ids):
        if len(own) >= length:
            runs = np.lib.stride_tricks.sliding_window_view(own, length)
            end = own[len(own) - length + 1 :]
            new[row, runs[(runs[:, :-1] == end).all(axis=1), -1]] = -np.inf
    return new


def forbid(logits: Array, token_ids: Sequence[int], rows: BoolArray | None = None) -> Array:
    """``-inf`` for these tokens, in the rows where ``rows [rows]`` is true or in all."""
    new = logits.copy()
    places = np.arange(len(logits)) if rows is None else np.flatnonzero(rows)
    new[np.ix_(places, np.asarray(token_ids, np.int64))] = -np.inf
    return new


def force(logits: Array, token_id: int, rows: BoolArray) -> Array:
    """0 for this token and ``-inf`` for all others, in the rows where ``rows [rows]`` is true."""
    new = logits.copy()
    new[rows] = -np.inf
    new[rows, token_id] = 0
    return new


def warm(logits: Array, temperature: float) -> Array:
    """``x / temperature`` in float64.

    A row that would not be numbers any more is taken from its highest logit first, which then is 0
    however small the temperature: the probabilities are the same.
    """
    x = logits.astype(np.float64)
    with np.errstate(over="ignore"):
        warmed: Array = x / temperature
        spoilt = np.isinf(warmed.max(axis=1)) & np.isfinite(x.max(axis=1))
        if spoilt.any():
            x = x[spoilt]
            warmed[spoilt] = (x - x.max(axis=1, keepdims=True)) / temperature
    return warmed


def keep_top_k(logits: Array, k: int) -> Array:
    """``-inf`` for what is below the ``k``-th highest of its row: equals of that stay."""
    floor = np.partition(logits, logits.shape[1] - k, axis=1)[:, logits.shape[1] - k]
    return np.where(logits < floor[:, None], -np.inf, logits).astype(logits.dtype, copy=False)


def keep_top_p(logits: Array, p: float) -> Array:
    """``-inf`` for the least probable tokens of a row that together have at most ``1 - p``.

    Holtzman et al. 2019, arXiv:1904.09751. The most probable token always stays.
    """
    order = np.argsort(logits, axis=1, kind="stable")
    ascending = np.take_along_axis(softmax(logits), order, axis=1)
    dropped = np.cumsum(ascending, axis=1) <= 1 - p
    dropped[:, -1:] = False
    mask = np.zeros(logits.shape, bool)
    np.put_along_axis(mask, order, dropped, axis=1)
    return np.where(mask, -np.inf, logits).astype(logits.dtype, copy=False)


class Processors:
    """All that the options ask for, in order.

    Repetition penalty, n-grams, least length, forced first and last tokens, suppressed tokens, the
    user's own functions, temperature, top_k, top_p.

    Args:
        options: settled.
    """

    def __init__(self, options: GenerationOptions) -> None:
        self._options = options

    def __call__(self, rows: Rows, logits: Array) -> Array:
        """Logits ``[rows, vocab]`` to the ones to choose by.

        Raises:
            InputError: a function of the user's that returns something else than logits; a logit
                that is NaN or infinite.
        """
        options = self._options
        ids = rows.ids()
        if options.repetition_penalty not in (None, 1):
            logits = penalise_repetition(ids, logits, options.repetition_penalty)
        if options.no_repeat_ngram_length is not None:
            logits = forbid_repeated_ngrams(ids, logits, options.no_repeat_ngram_length)
        eos = options.eos_token_id
        assert isinstance(eos, tuple)
        early = rows.lengths < rows.least
        if eos and early.any():
            logits = forbid(logits, eos, early)
        first = rows.lengths == 1
        if options.forced_bos_token_id is not None and first.any():
            logits = force(logits, options.forced_bos_token_id, first)
        last = rows.lengths == rows.most - 1
        if options.forced_eos_token_id is not None and last.any():
            logits = force(logits, options.forced_eos_token_id, last)
        if options.suppressed_token_ids:
            logits = forbid(logits, options.suppressed_token_ids)
        for number, process in enumerate(options.logits_processors):
            logits = _checked(process(ids, logits), logits.shape, number)
        check_numbers(rows, logits)
        if options.strategy != "sampling":
            return logits
        if options.temperature not in (None, 1):
            logits = warm(logits, options.temperature)
        if options.top_k is not None:
            logits = keep_top_k(logits, options.top_k)
        if options.top_p is not None and options.top_p < 1:
            logits = keep_top_p(logits, options.top_p)
        return logits


def check_possible(rows: Rows, logits: Array) -> None:
    """Raise InputError where a row has no token left to choose."""
    best = logits.max(axis=1)
    if not (best > -np.inf).all():
        bad = int(np.flatnonzero(~(best > -np.inf))[0])
        raise InputError(
            "the options and logits_processors must leave a token to choose, "
            f"not none for row {rows.index[bad]} after {rows.lengths[bad]} tokens"
        )


def check_numbers(rows: Rows, logits: Array) -> None:
    """Raise InputError where a row's highest logit is infinite, or one is NaN."""
    best = logits.max(axis=1)
    sound = best < np.inf
    if not sound.all():
        bad = int(np.flatnonzero(~sound)[0])
        raise InputError(
            "logits must be finite, or -inf for a token that is not to be chosen, not "
            f"{best[bad]} for row {rows.index[bad]} after {rows.lengths[bad]} tokens: a weight "
            "of the model or one of logits_processors makes them so"
        )


def _checked(logits: Any, shape: tuple[int, ...], number: int) -> Array:
    array: Array = np.asarray(logits)
    if array.dtype.kind != "f" or array.shape != shape:
        raise InputError(
            f"logits_processors[{number}] must return floats {list(shape)}, "
            f"not {array.dtype} {list(array.shape)}"
        )
    # At least float32, in this machine's order of bytes; not what NumPy has beyond float64.
    return array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64, copy=False)
