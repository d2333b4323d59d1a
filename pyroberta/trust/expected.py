"""What a step should be of another implementation's own arrays, and how far rounding takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..arrays import Array
from .arithmetic import Arithmetic
from .rounding import NumberType, Perturbed
from .steps import INPUTS, Step


class Expected:
    """Computes steps exactly and in perturbed runs, from arrays that are put in by name.

    Args:
        arithmetic: of the model and the inputs.
        kind: what every operation's result is perturbed by one rounding of.
        runs: how many perturbed runs.
        seed: of their draws.
    """

    def __init__(self, arithmetic: Arithmetic, kind: NumberType, runs: int, seed: int) -> None:
        self.arithmetic = arithmetic
        self._roundings = [
            Perturbed(kind, np.random.default_rng([seed, run])) for run in range(runs)
        ]
        self._exact: dict[str, Array] = {}
        self._runs: dict[str, list[Array]] = {}

    def put(self, name: str, values: Array) -> None:
        """What later steps read under this name: an input, or theirs."""
        self._exact[name] = values
        self._runs[name] = [values] * len(self._roundings)

    def compose(self, step: Step) -> None:
        """Compute a step that theirs lacks, for those that read it: in each run anew."""
        self._exact[step.name], self._runs[step.name] = self._compute(step)

    def of(self, step: Step, fused: Sequence[Step] = ()) -> tuple[Array, Array]:
        """The step exactly, and the error that rounding is expected to make of each number.

        ``fused``: steps before it, in order, that are computed anew in place of theirs: an
        implementation that computes some steps as one need not use what it gives of them.

        The second is half of the number's own and half of its row's (of an attention: of the
        step's), as root mean squares over the runs: some runs say little of one number.
        """
        kept = {one.name: (self._exact[one.name], self._runs[one.name]) for one in fused}
        for one in fused:
            self.compose(one)
        exact, runs = self._compute(step)
        for name, (values, several) in kept.items():
            self._exact[name], self._runs[name] = values, several
        variance = np.zeros(exact.shape)
        for run in runs:
            variance += (run - exact) ** 2
        variance /= len(runs)
        axis = -1 if exact.ndim > 1 else None
        pooled = variance.mean(axis=axis, keepdims=True) if variance.size else variance
        return exact, np.sqrt((variance + pooled) / 2)

    def feeds(self, step: Step) -> list[Array]:
        """What the step reads, theirs or exact."""
        return [self._exact[name] for name in step.feeds]

    def forget(self, after: str, readers: Mapping[str, str]) -> None:
        """Drop what no step after this one reads; ``readers``: the last reader of each."""
        for name in [n for n in self._exact if readers.get(n, after) == after and n != after]:
            if name not in INPUTS:
                del self._exact[name], self._runs[name]

    def _compute(self, step: Step) -> tuple[Array, list[Array]]:
        compute = self.arithmetic.compute
        exact = compute(step, self.feeds(step))
        runs = []
        for n, rounding in enumerate(self._roundings):
            feeds = [self._runs[name][n] for name in step.feeds]
            runs.append(compute(step, feeds, rounding))
        self.arithmetic.forget()
        return exact, runs
