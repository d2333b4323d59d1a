"""Beam search: the texts of highest score among several that are followed side by side."""

from __future__ import annotations

import contextlib

import numpy as np

from ..arrays import Array, IntArray
from ..errors import InputError
from ..logits import highest, log_softmax
from .decoder import Decoder
from .options import GenerationOptions
from .processors import Processors, check_numbers, check_possible

# The score of a beam that is none. Real log-probabilities are far above it.
_NONE = -1e9
# Sums of log-probabilities divided or multiplied by it stay numbers.
_MOST_POWER = 1e280


class _Finished:
    """The best complete texts of one row, best first: ``beams`` places, empty ones last."""

    def __init__(self, beams: int) -> None:
        self._beams = beams
        self._texts: list[tuple[float, IntArray]] = []

    def add(self, found: list[tuple[float, IntArray]]) -> None:
        """Keep the best of those had and those found; of equals the earlier."""
        merged = sorted(self._texts + found, key=lambda text: -text[0])
        self._texts = merged[: self._beams]

    @property
    def full(self) -> bool:
        return len(self._texts) == self._beams

    @property
    def worst(self) -> float:
        return self._texts[-1][0]

    @property
    def best(self) -> IntArray:
        return self._texts[0][1]


def beam_search(decoder: Decoder, logits: Array, options: GenerationOptions) -> list[IntArray]:
    """The new tokens of each row's best text.

    Each step extends the ``num_beams`` running texts of a row by every token, and keeps the best
    by their summed log-probability. A text that ends among the ``num_beams`` best is complete, and
    its score is that sum divided by (new tokens) ``** length_penalty``. A row leaves the batch when
    ``early_stopping`` says that it is done, or it is full. Candidates, scores and stopping are
    those of Hugging Face's beam search.

    Args:
        decoder: has read the prompt.
        logits: after it, ``[batch, vocab]``.
        options: settled.

    Raises:
        InputError: a length_penalty whose power of the length is no float64.
    """
    assert options.num_beams is not None
    assert options.length_penalty is not None
    assert isinstance(options.eos_token_id, tuple)
    beams, eos = options.num_beams, np.array(options.eos_token_id, np.int64)
    vocab = logits.shape[1]
    # Enough that as many unfinished texts are left when every beam's best tokens are ends.
    width = min(max(2, 1 + len(eos)) * beams, beams * vocab)
    process = Processors(options)
    _check_length_penalty(
        options.length_penalty, int((decoder.rows.most - decoder.rows.prompts).max(initial=1))
    )
    batch = len(decoder.rows)
    finished = [_Finished(beams) for _ in range(batch)]

    # All beams of a row are one text at first: only the first of them counts.
    decoder.select(np.repeat(np.arange(batch, dtype=np.int64), beams))
    logits = np.repeat(logits, beams, axis=0)
    scores = np.tile(np.array([0.0] + [_NONE] * (beams - 1)), (batch, 1))
    new = 0
    while len(decoder.rows):
        rows = decoder.rows
        new += 1
        n = len(rows) // beams
        check_numbers(rows, logits)
        logits = process(rows, log_softmax(logits))
        totals = (logits + scores.reshape(-1, 1)).reshape(n, beams * vocab)
        check_possible(rows.select(np.arange(0, len(rows), beams)), totals)
        top = highest(totals, width)
        values = np.take_along_axis(totals, top, axis=1)
        beam, tokens = top // vocab, top % vocab
        full = rows.lengths[::beams] + 1 >= rows.most[::beams]
        ends = np.isin(tokens, eos) | full[:, None]

        going: list[int] = []
        unfinished = values + np.where(ends, _NONE, 0.0)
        kept = highest(unfinished, beams)
        scores = np.take_along_axis(unfinished, kept, axis=1)
        for i in range(n):
            row = finished[int(rows.index[i * beams])]
            complete = np.flatnonzero(ends[i, :beams] & (values[i, :beams] > -np.inf))
            row.add(
                [
                    (
                        float(values[i, j]) / new**options.length_penalty,
                        np.append(rows.new_tokens(i * beams + int(beam[i, j])), tokens[i, j]),
                    )
                    for j in complete.tolist()
                ]
            )
            limit = int(rows.most[i * beams] - rows.prompts[i * beams])
            if not full[i] and _may_improve(row, float(scores[i, 0]), new, limit, options):
                going.append(i)
        if not going:
            break
        index = np.array(going, np.int64)
        kept, scores = kept[index], scores[index]
        chosen = np.take_along_axis(tokens[index], kept, axis=1).ravel()
        source = index[:, None] * beams + np.take_along_axis(beam[index], kept, axis=1)
        decoder.select(source.ravel())
        decoder.rows.append(chosen)
        logits = decoder.step(chosen)
    return [row.best for row in finished]


def _check_length_penalty(penalty: float, longest: int) -> None:
    """Raise InputError where scores of texts of ``longest`` new tokens would not be numbers."""
    with contextlib.suppress(OverflowError):
        if longest ** abs(penalty) < _MOST_POWER:
            return
    raise InputError(
        f"length_penalty must be a number whose power of the length ({longest}) is below "
        f"{_MOST_POWER}, not {penalty}"
    )


def _may_improve(
    row: _Finished, best: float, new: int, limit: int, options: GenerationOptions
) -> bool:
    """Whether a running text, of which ``best`` is the highest sum, may yet be one of the best."""
    if not row.full:
        return True
    if options.early_stopping is True:
        return False
    assert options.length_penalty is not None
    # A positive penalty favours length, so the longest text bounds what "never" waits for.
    longest = options.early_stopping == "never" and options.length_penalty > 0
    return bool(best / (limit if longest else new) ** options.length_penalty > row.worst)
