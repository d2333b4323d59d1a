"""Known mistakes of ports in attention: what each would give in the step's place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..arrays import Array
from .arithmetic import Arithmetic, split
from .steps import Step

# A cause in words, and what it would give: the attended tokens in float64.
Tried = Iterator[tuple[str, Array]]


def _scores(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    query, key = feeds
    config = arithmetic.case.config
    heads = config.num_attention_heads
    width = query.shape[1] // heads
    exact = arithmetic.compute(step, feeds)
    root = math.sqrt(width)
    yield f"not divided by sqrt(head_size) = {root:.4g}", exact * root
    yield f"multiplied by {1 / root:.4g}: divided by sqrt(head_size) twice", exact / root
    yield "divided by head_size in place of its root", exact * root / width
    over = root / math.sqrt(query.shape[1])
    yield "divided by sqrt(hidden_size) in place of sqrt(head_size)", exact * over
    ways: dict[str, Callable[[Array], Array]] = {
        "heads split as [head_size, heads]": lambda x: x.reshape(len(x), width, heads).transpose(
            2, 0, 1
        ),
        "heads split before the tokens: [heads, tokens, head_size] of the memory": (
            lambda x: _whole(arithmetic, x, x.reshape(heads, len(x), width))
        ),
    }
    for cause, cut in ways.items():
        parts = [
            (cut(query[q]) @ cut(key[k]).swapaxes(-1, -2) / root).ravel()
            for q, k, _ in arithmetic.case.spans(step)
        ]
        yield cause, np.concatenate(parts or [np.empty(0)])
    if not step.is_cross:
        parts = [w.swapaxes(-1, -2).ravel() for w, _ in arithmetic.case.attentions(step, exact)]
        yield "queries and keys swapped", np.concatenate(parts or [np.empty(0)])


def _weights(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    (scores,) = feeds
    case = arithmetic.case
    root = math.sqrt(case.config.hidden_size // case.config.num_attention_heads)

    def rows(weigh: Callable[[Array, Array], Array]) -> Array:
        parts = [weigh(own, seen).ravel() for own, seen in case.attentions(step, scores)]
        return np.concatenate(parts or [np.empty(0)])

    def softmax(x: Array, seen: Array, axis: int = -1) -> Array:
        x = np.where(seen, x, -np.inf)
        with np.errstate(invalid="ignore"):
            e = np.where(seen, np.exp(x - x.max(axis=axis, keepdims=True, initial=-1e300)), 0)
            return np.asarray(e / np.maximum(e.sum(axis=axis, keepdims=True), 1e-300))

    def everything(x: Array) -> Array:
        return np.ones(x.shape[-2:], bool)

    mask = case.heads_of(step)[:, None, None]
    yield "the causal mask is missing", rows(lambda x, seen: softmax(x, everything(x)) * mask)
    yield (
        "a causal mask where there is none",
        rows(lambda x, seen: softmax(x, np.tril(everything(x))) * mask),
    )
    yield (
        "the causal mask hides the token itself",
        rows(lambda x, seen: softmax(x, np.tril(everything(x), -1)) * mask),
    )
    yield "softmax over the queries", rows(lambda x, seen: softmax(x, seen, -2) * mask)
    yield (
        "the scores are divided by sqrt(head_size) again",
        rows(lambda x, seen: softmax(x / root, seen) * mask),
    )
    yield (
        "the scores are multiplied by sqrt(head_size)",
        rows(lambda x, seen: softmax(x * root, seen) * mask),
    )
    yield (
        "softmax with 2 in place of e",
        rows(lambda x, seen: softmax(x * math.log(2), seen) * mask),
    )
    yield (
        "softmax with 1 added to the sum",
        rows(
            lambda x, seen: (
                np.where(seen, np.exp(x), 0)
                / (1 + np.where(seen, np.exp(x), 0).sum(axis=-1, keepdims=True))
                * mask
            )
        ),
    )
    yield "no softmax", rows(lambda x, seen: np.where(seen, x, 0) * mask)
    yield "the head mask is not applied", rows(lambda x, seen: softmax(x, seen))
    yield "the head mask is applied to the scores", rows(lambda x, seen: softmax(x * mask, seen))
    with np.errstate(all="ignore"):
        half = rows(lambda x, s: softmax(x.astype(np.float16).astype(np.float64), s) * mask)
        yield "scores rounded to float16", half


def _context(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    weights, value = feeds
    case = arithmetic.case
    heads = case.config.num_attention_heads

    def rows(gather: Callable[[Array, Array], Array]) -> Array:
        y = np.zeros((len(case.ragged.ids), value.shape[1]))
        pairs = zip(case.attentions(step, weights), case.spans(step), strict=True)
        for (w, _), (queries, keys, _) in pairs:
            y[queries] = gather(w, value[keys])
        return y

    def joined(x: Array) -> Array:
        return x.transpose(1, 0, 2).reshape(x.shape[1], len(x) * x.shape[2])

    yield (
        "heads joined without bringing the tokens first",
        rows(
            lambda w, v: _whole(
                arithmetic, v, (w @ split(v, heads)).reshape(w.shape[1], v.shape[1])
            )
        ),
    )
    yield (
        "heads joined as [head_size, heads]",
        rows(lambda w, v: (w @ split(v, heads)).transpose(1, 2, 0).reshape(w.shape[1], v.shape[1])),
    )
    if not step.is_cross:
        yield (
            "the weights are transposed",
            rows(lambda w, v: _whole(arithmetic, v, joined(w.swapaxes(-1, -2) @ split(v, heads)))),
        )
    mask = case.heads_of(step)[:, None, None]
    if (mask != 1).any():
        yield (
            "the head mask is applied twice",
            rows(lambda w, v: joined(w * mask @ split(v, heads))),
        )
    yield (
        "the values themselves",
        rows(lambda w, v: v if len(v) == w.shape[1] else np.full((w.shape[1], v.shape[1]), np.nan)),
    )


def _whole(arithmetic: Arithmetic, row: Array, values: Array) -> Array:
    """``values``, or NaN of a row with masked tokens, which has more in the caller's arrays."""
    return values if len(row) == arithmetic.case.ragged.tokens else np.full_like(values, np.nan)


OF_ATTENTION: dict[str, Callable[[Arithmetic, Step, Sequence[Array]], Tried]] = {
    "scores": _scores,
    "weights": _weights,
    "context": _context,
}
