"""Each step by itself, in float64: from what feeds it to what it gives.

Exactly, or with every operation's result perturbed (see ``rounding.py``). A comparison computes
another implementation's steps from that implementation's own arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..activations import FORMULAS
from ..arrays import Array
from ..checkpoint import Source
from .case import Case
from .rounding import EXACT, Exact
from .steps import Step

# The derivative of gelu, whose erfc is slow in NumPy, is near enough that of its approximation.
_LIKE = {"gelu": "gelu_tanh", "gelu_clipped": "gelu_tanh"}
# By how many roundings the polynomials of engines are off: PyTorch's erf, the one of Abramowitz and
# Stegun 7.1.26, by up to 1.5e-7, which is 2.5 of float32's.
_POLYNOMIAL = 4
_DENSE = ("softmax", "log_softmax")


class Arithmetic:
    """Computes a step from its feeds, arrays of attended tokens in float64.

    Args:
        source: the weights.
        case: the inputs.
    """

    def __init__(self, source: Source, case: Case) -> None:
        self._source = source
        self.case = case
        self._memo: dict[tuple[object, ...], tuple[Array, ...]] = {}
        self._tensors: dict[str, Array] = {}

    def forget(self) -> None:
        """Drop what was kept for runs of the same step with the same feeds."""
        self._memo.clear()
        self._tensors.clear()

    def compute(self, step: Step, feeds: Sequence[Array], rounding: Exact = EXACT) -> Array:
        """The step's array from ``feeds``, in the order of ``step.feeds``."""
        y: Array = getattr(self, f"_{step.kind}")(step, rounding, *feeds)
        return y

    def tensor(self, name: str) -> Array:
        """A weight in float64."""
        if name not in self._tensors:
            self._tensors[name] = self._source.read(name, np.float64)
        return self._tensors[name]

    def table(self, step: Step, indices: Array) -> Array:
        """Rows of a step's table in float64."""
        return self._source.table(step.tensors[0]).rows(indices, np.float64)

    def rows_of(self, step: Step) -> int:
        """How many rows a step's table has."""
        return self._source.table(step.tensors[0]).shape[0]

    def _table(self, step: Step, rounding: Exact, indices: Array) -> Array:
        return rounding.result(self.table(step, indices))

    def _add(self, step: Step, rounding: Exact, *parts: Array) -> Array:
        total = parts[0]
        for part in parts[1:]:
            total = rounding.result(total + part)
        return total

    def _norm(self, step: Step, rounding: Exact, x: Array) -> Array:
        gamma, beta = (self.tensor(name) for name in step.tensors)
        return layer_norm(x, gamma, beta, self.case.config.layer_norm_epsilon, rounding)

    def _linear(self, step: Step, rounding: Exact, x: Array) -> Array:
        weight, bias = (self.tensor(name) for name in step.tensors)
        if rounding is EXACT:
            return self._product(x, weight)[0] + bias
        y, squares, norms = self._product(x, weight, spread=True)
        return rounding.result(rounding.dot(y, squares, x.shape[1], norms) + bias)

    def _product(self, x: Array, weight: Array, *, spread: bool = False) -> tuple[Array, ...]:
        """``x weight^T``; with ``spread`` the sums of the terms' squares, and ``|x|^2 |w|^2``."""
        key = id(x), id(weight), spread
        if key not in self._memo:
            if not spread:
                found = (x @ weight.T, x, weight)  # the last two keep their ids taken
            else:
                y, *_ = self._product(x, weight)
                xx, ww = x * x, weight * weight
                norms = xx.sum(axis=1, keepdims=True) * ww.sum(axis=1)
                self._memo[key] = (y, xx @ ww.T, norms, x, weight)
                return y, self._memo[key][1], norms
            self._memo[key] = found
        return self._memo[key][:3] if spread else self._memo[key]

    def _scores(self, step: Step, rounding: Exact, query: Array, key: Array) -> Array:
        heads = self.case.config.num_attention_heads
        width = query.shape[1] // heads
        flat = []
        for queries, keys, _ in self.case.spans(step):
            q, k = split(query[queries], heads), split(key[keys], heads)
            y, squares = q @ k.swapaxes(-1, -2), None
            if rounding is not EXACT:
                squares = (q * q) @ (k * k).swapaxes(-1, -2)
                norms = (q * q).sum(-1)[..., None] * (k * k).sum(-1)[:, None, :]
                y = rounding.result(rounding.dot(y, squares, width, norms))
            flat.append(rounding.result(y / math.sqrt(width)).ravel())
        return np.concatenate(flat) if flat else np.empty(0)

    def _weights(self, step: Step, rounding: Exact, scores: Array) -> Array:
        mask = self.case.heads_of(step)[:, None, None]
        flat = []
        for own, seen in self.case.attentions(step, scores):
            shifted = np.where(seen, own, -np.inf)
            largest = shifted.max(axis=-1, keepdims=True, initial=-np.inf)
            largest = np.where(seen.any(axis=-1, keepdims=True), largest, 0)
            e = np.where(seen, np.exp(rounding.inner(np.where(seen, own - largest, 0))), 0)
            e = rounding.inner(e)
            total = rounding.dot(
                e.sum(axis=-1, keepdims=True), (e * e).sum(axis=-1, keepdims=True), e.shape[-1]
            )
            w = rounding.result(e / np.where(total > 0, total, 1))
            flat.append((w * mask).ravel())
        return np.concatenate(flat) if flat else np.empty(0)

    def _context(self, step: Step, rounding: Exact, weights: Array, value: Array) -> Array:
        heads = self.case.config.num_attention_heads
        y = np.empty((len(self.case.ragged.ids), value.shape[1]))
        rows = zip(self.case.attentions(step, weights), self.case.spans(step), strict=True)
        for (w, seen), (queries, keys, _) in rows:
            v = split(value[keys], heads)
            w = np.where(seen, w, 0)
            one = w @ v
            if rounding is not EXACT:
                ww, vv = w * w, v * v
                norms = ww.sum(-1)[..., None] * vv.sum(-2)[:, None, :]
                one = rounding.result(rounding.dot(one, ww @ vv, w.shape[-1], norms))
            y[queries] = one.transpose(1, 0, 2).reshape(y[queries].shape)
        return y

    def _activation(self, step: Step, rounding: Exact, x: Array) -> Array:
        key = id(x), step.activation
        if key not in self._memo:
            self._memo[key] = (FORMULAS[step.activation](x), x)
        y = self._memo[key][0]
        if rounding is EXACT:
            return y
        slope_key = id(x), step.activation, "slope"
        if slope_key not in self._memo:
            self._memo[slope_key] = (_sensitivity(step.activation, x, y), x)
        # The argument's rounding, as a formula scales it, and that of terms of |x| / 2 which
        # cancel in formulas such as x / 2 (1 + erf(x / sqrt(2))): there the polynomial that takes
        # erf's place errs too.
        moved = rounding.inner(self._memo[slope_key][0]) - self._memo[slope_key][0]
        terms = np.minimum(np.abs(x), 8) / 2 * _POLYNOMIAL
        return rounding.result(y + moved + (rounding.inner(terms) - terms))

    def _first(self, step: Step, rounding: Exact, x: Array) -> Array:
        return rounding.result(x[self.case.ragged.first_tokens()])


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float, rounding: Exact = EXACT) -> Array:
    """``(x - mean) / sqrt(variance + eps) * gamma + beta``, every operation rounded."""
    terms = x.shape[1]

    def mean(values: Array) -> Array:
        total = values.sum(axis=1, keepdims=True)
        squares = (values * values).sum(axis=1, keepdims=True)
        return rounding.inner(rounding.dot(total, squares, terms) / terms)

    centred = rounding.inner(x - mean(x))
    variance = mean(rounding.inner(centred * centred))
    deviation = rounding.inner(np.sqrt(rounding.inner(variance + eps)))
    y = rounding.inner(rounding.inner(centred / deviation) * gamma)
    return rounding.result(y + beta)


def split(x: Array, heads: int) -> Array:
    """``[tokens, hidden]`` as ``[heads, tokens, head_size]``."""
    return x.reshape(len(x), heads, x.shape[1] // heads).transpose(1, 0, 2)


def _sensitivity(activation: str, x: Array, y: Array) -> Array:
    """``x f'(x)``: how much a relative change of the argument moves the result."""
    if activation in _DENSE:  # each result depends on its whole row
        widest = np.abs(x).max(axis=-1, keepdims=True)
        moved: Array = widest * (y if activation == "softmax" else np.ones_like(y))
        return moved
    f = FORMULAS[_LIKE.get(activation, activation)]
    h = 1e-5 * np.maximum(1, np.abs(x))
    with np.errstate(over="ignore", invalid="ignore"):
        slope = (f(x + h) - f(x - h)) / (2 * h)
    slopes: Array = x * np.where(np.isfinite(slope), slope, 0)
    return slopes
