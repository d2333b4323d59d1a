"""Each step as a model computes it: by the kernels of its backend, in its compute type."""

from __future__ import annotations

import math

import numpy as np

from ..arrays import Array
from ..checkpoint import Source
from ..kernels import Kernels
from .case import Case, seen
from .steps import Step


class KernelSteps:
    """Computes steps by a model's kernels: the bits of a call, but for the scores.

    Native kernels never write the scores: those are NumPy's, of the kernels' queries and keys.

    Args:
        kernels: the model's.
        source: its weights; those of one step are in memory at a time.
        case: the inputs.
    """

    def __init__(self, kernels: Kernels, source: Source, case: Case) -> None:
        self._kernels = kernels
        self._source = source
        self._case = case
        self.dtype = kernels.dtype

    def compute(self, step: Step, feeds: dict[str, Array]) -> Array:
        """The step's array of attended tokens, in the kernels' dtype.

        Args:
            step: of the case's graph.
            feeds: what was computed before, by name: at least the step's feeds, and for the
                weights and the context of an attention its queries, keys and values.
        """
        if step.kind in ("weights", "context"):
            return self._attention(step, feeds)
        x = [feeds[name] for name in step.feeds]
        y: Array = getattr(self, f"_{step.kind}")(step, *x)
        return y

    def _table(self, step: Step, indices: Array) -> Array:
        return self._source.table(step.tensors[0]).rows(indices, self.dtype)

    def _add(self, step: Step, *parts: Array) -> Array:
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _norm(self, step: Step, x: Array) -> Array:
        gamma, beta = (self._source.read(name, self.dtype) for name in step.tensors)
        return self._kernels.layer_norm(x, gamma, beta, self._case.config.layer_norm_epsilon)

    def _linear(self, step: Step, x: Array) -> Array:
        weight, bias = step.tensors
        read, x = self._source.read, np.ascontiguousarray(x, self.dtype)
        if step.name.startswith("block."):
            return self._kernels.linear(x, read(weight, self.dtype), read(bias, self.dtype))
        if bias.startswith("lm_head."):
            table = self._source.table(weight)
            return self._kernels.head_linear(table, read(bias, self.dtype), None)(x)
        return self._kernels.linear_rows(x, read(weight, self.dtype), read(bias, self.dtype))

    def _scores(self, step: Step, query: Array, key: Array) -> Array:
        flat = []
        for queries, keys, visible in self._case.spans(step):
            q, k = self._heads(query[queries]), self._heads(key[keys])
            scores = (q * self.dtype.type(self._scale)) @ k.swapaxes(-1, -2)
            sees = seen(scores.shape[1], scores.shape[2], visible)
            flat.append(np.where(sees, scores, self.dtype.type(-np.inf)).ravel())
        return np.concatenate(flat) if flat else np.empty(0, self.dtype)

    def _attention(self, step: Step, feeds: dict[str, Array]) -> Array:
        here = step.name.rpartition(".")[0]
        query, key, value = (feeds[f"{here}.{name}"] for name in ("query", "key", "value"))
        head_weights = self._case.heads_of(step)
        gathered, flat = np.empty_like(query), []
        for queries, keys, visible in self._case.spans(step):
            q, k, v = map(self._heads, (query[queries], key[keys], value[keys]))
            if step.kind == "weights":
                flat.append(
                    self._kernels.attention_weights(
                        q, k, visible, self._scale, head_weights
                    ).ravel()
                )
                continue
            y = self._kernels.attention(q, k, v, visible, self._scale, head_weights)
            gathered[queries] = y.transpose(1, 0, 2).reshape(gathered[queries].shape)
        if step.kind == "context":
            return gathered
        return np.concatenate(flat) if flat else np.empty(0, self.dtype)

    def _activation(self, step: Step, x: Array) -> Array:
        return self._kernels.activate(step.activation, x)

    def _first(self, step: Step, x: Array) -> Array:
        return np.ascontiguousarray(x[self._case.ragged.first_tokens()])

    @property
    def _scale(self) -> float:
        config = self._case.config
        return 1 / math.sqrt(config.hidden_size // config.num_attention_heads)

    def _heads(self, x: Array) -> Array:
        """``[tokens, hidden]`` as ``[heads, tokens, head_size]``."""
        heads = self._case.config.num_attention_heads
        return x.reshape(len(x), heads, x.shape[1] // heads).transpose(1, 0, 2)
