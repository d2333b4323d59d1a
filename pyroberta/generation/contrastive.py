"""Contrastive search: tokens that are probable and unlike what was written before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..arrays import Array, BoolArray, IntArray
from ..logits import softmax
from .decoder import Decoder
from .options import GenerationOptions
from .processors import Processors, check_possible
from .steps import fill_column, goes_on


def contrastive_search(
    decoder: Decoder, logits: Array, attended: BoolArray, options: GenerationOptions
) -> Iterator[IntArray]:
    """The tokens of each step, int64 ``[batch]``, pads where a row has ended.

    Of the ``top_k`` most probable tokens ``v`` the one with the highest

        ``(1 - alpha) p(v) - alpha max_j cos(h_v, h_j)``

    is taken, where ``h_v`` is the last hidden state of ``v`` put at the row's end and ``h_j`` are
    those of the row's tokens before it (Su et al. 2022, arXiv:2202.06417, eq. 5). A token of
    probability 0 is not taken, whatever it is like.

    Args:
        decoder: has read the prompt, and keeps hidden states.
        logits: after the prompt, ``[batch, vocab]``.
        attended: of the prompt, ``[batch, tokens]``.
        options: settled.
    """
    assert options.top_k is not None
    assert options.alpha is not None
    k, alpha = options.top_k, options.alpha
    process = Processors(options)
    batch = len(decoder.rows)
    assert decoder.hidden is not None
    before = [_unit(states[mask]) for states, mask in zip(decoder.hidden, attended, strict=True)]
    while len(decoder.rows):
        rows = decoder.rows
        n = len(rows)
        logits = process(rows, logits)
        check_possible(rows, logits)
        p = softmax(logits)
        candidates = np.argsort(-p, axis=1, kind="stable")[:, :k]
        p = np.take_along_axis(p, candidates, axis=1)

        decoder.select(np.repeat(np.arange(n, dtype=np.int64), k))
        logits = decoder.step(candidates.ravel())
        assert decoder.hidden is not None
        states = _unit(decoder.hidden[:, 0]).reshape(n, k, -1)
        likeness = np.stack([(states[i] @ before[i].T).max(axis=1) for i in range(n)])
        scores = np.where(p > 0, (1 - alpha) * p - alpha * likeness, -np.inf)
        best = np.argmax(scores, axis=1)
        each = np.arange(n)
        tokens = candidates[each, best].astype(np.int64)
        yield fill_column(batch, rows, tokens, options)

        decoder.select(each * k + best)
        decoder.rows.append(tokens)
        going = np.flatnonzero(goes_on(decoder.rows, tokens, options))
        before = [np.concatenate([before[i], states[i, best[i]][None]]) for i in going.tolist()]
        logits = logits[each * k + best][going]
        decoder.select(going)


def _unit(x: Array) -> Array:
    """Each row ``[n, hidden]`` at length 1, in float64; zeros stay."""
    x = x.astype(np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    scaled: Array = x / np.where(norms == 0, 1, norms)
    return scaled
