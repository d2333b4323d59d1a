"""From the hidden states of a text's tokens to its vector: pooling, steps, length."""

from __future__ import annotations

import dataclasses

from ..arrays import Array
from ..checks import check_count
from .pooling import Vector, pool
from .sentence_steps import Step, normalized


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorMaker:
    """How the vector of a text is made of those of its tokens, in float64.

    Attributes:
        poolings: of ``pooling.POOLINGS``; several are put one after the other.
        steps: what is made of the pooled vector, in order.
        truncate_dim: only so many of its first numbers are kept; ``None``: all.
        normalize: the vector has length 1 in the end.
    """

    poolings: tuple[str, ...] = ("mean",)
    steps: tuple[Step, ...] = ()
    truncate_dim: int | None = None
    normalize: bool = False

    def width(self, hidden_size: int) -> int:
        """The numbers of a vector. Raises ConfigError where a step does not take what is before."""
        width = len(self.poolings) * hidden_size
        for step in self.steps:
            width = step.width(width)
        return width if self.truncate_dim is None else min(width, self.truncate_dim)

    def cut(self, truncate_dim: int | None) -> VectorMaker:
        """The same with another ``truncate_dim``; ``None``: itself. Raises InputError."""
        if truncate_dim is None:
            return self
        return dataclasses.replace(self, truncate_dim=check_count("truncate_dim", truncate_dim, 1))

    def __call__(self, hidden: Array, skipped: int = 0) -> Vector:
        """The vector of a text.

        Args:
            hidden: ``[tokens, hidden]``, at least one token more than ``skipped``.
            skipped: the first tokens, which are a prompt's, are not pooled.
        """
        vector = pool(hidden, self.poolings, skipped)
        for step in self.steps:
            vector = step(vector)
        if self.truncate_dim is not None:
            vector = vector[: self.truncate_dim]
        return normalized(vector) if self.normalize else vector
