"""Greedy search and sampling: one token a row and step, chosen from its logits alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..arrays import Array, BoolArray, IntArray
from ..checks import check_count
from ..errors import InputError
from ..logits import softmax
from .decoder import Decoder
from .options import GenerationOptions
from .processors import Processors, check_possible
from .rows import Rows

Choose = Callable[[Rows, Array], IntArray]


def choose_best(rows: Rows, logits: Array) -> IntArray:
    """The highest of each row, of equals the first."""
    best: IntArray = np.argmax(logits, axis=1).astype(np.int64)
    return best


class Draw:
    """Tokens drawn by their probability, each row from a stream of its own.

    Args:
        seed: as in ``GenerationOptions``.
        batch: rows of the batch.

    Raises:
        InputError: a seed that is no whole number of at least 0, or not one for each row.
    """

    def __init__(self, seed: Any, batch: int) -> None:
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self._streams: list[np.random.Generator]
        if np.ndim(seed) == 0:
            number = check_count("seed", seed, 0)
            self._streams = [np.random.default_rng([number, row]) for row in range(batch)]
            return
        if np.ndim(seed) != 1 or len(seed) != batch:
            raise InputError(
                f"seed must be one number, or one for each of {batch} rows, not {seed}"
            )
        self._streams = [np.random.default_rng(check_count("seed", one, 0)) for one in seed]

    def __call__(self, rows: Rows, logits: Array) -> IntArray:
        """One token a row: the first whose cumulated probability is above a uniform number."""
        tokens = np.empty(len(rows), np.int64)
        sums = np.cumsum(softmax(logits), axis=1)
        for i, row in enumerate(rows.index.tolist()):
            u = self._streams[row].random() * sums[i, -1]
            # Rounding may put u at the very end: the last token with a probability is meant.
            u = min(u, np.nextafter(sums[i, -1], 0))
            tokens[i] = np.searchsorted(sums[i], u, side="right")
        return tokens


def step_by_step(
    decoder: Decoder, logits: Array, options: GenerationOptions, choose: Choose
) -> Iterator[IntArray]:
    """The tokens of each step, int64 ``[batch]``, pads where a row has ended.

    Args:
        decoder: has read the prompt.
        logits: after it, ``[batch, vocab]``.
        options: settled.
        choose: takes the rows that go on and their logits.
    """
    process = Processors(options)
    batch = len(decoder.rows)
    while len(decoder.rows):
        rows = decoder.rows
        logits = process(rows, logits)
        check_possible(rows, logits)
        tokens = choose(rows, logits)
        del logits  # else they would stand beside the next step's
        yield fill_column(batch, rows, tokens, options)
        rows.append(tokens)
        going = np.flatnonzero(goes_on(rows, tokens, options))
        if not len(going):
            return
        decoder.select(going)
        logits = decoder.step(tokens[going])


def fill_column(batch: int, rows: Rows, tokens: IntArray, options: GenerationOptions) -> IntArray:
    """``tokens`` of the rows that go on, put in their places of the batch."""
    column = np.full(batch, options.pad_token_id, np.int64)
    column[rows.index] = tokens
    return column


def goes_on(rows: Rows, tokens: IntArray, options: GenerationOptions) -> BoolArray:
    """Which rows neither ended with ``tokens``, their last, nor are full."""
    assert isinstance(options.eos_token_id, tuple)
    ended = np.isin(tokens, np.array(options.eos_token_id, np.int64))
    going: BoolArray = ~ended & (rows.lengths < rows.most)
    return going
