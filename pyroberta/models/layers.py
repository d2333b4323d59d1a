"""The small layers that heads are made of, in float32 whatever the compute type."""

from __future__ import annotations

import dataclasses

from ..arrays import Array, Shapes
from ..checkpoint import Source
from ..config import RobertaConfig
from ..kernels import Kernels
from ..run_options import Dropout


def linear_shapes(name: str, n: int, k: int) -> Shapes:
    """The tensors of the layer ``name`` from ``k`` columns to ``n``."""
    return {f"{name}.weight": (n, k), f"{name}.bias": (n,)}


def linear_tensors(*names: str) -> tuple[str, ...]:
    """The names of the tensors of some layers."""
    return tuple(f"{name}.{part}" for name in names for part in ("weight", "bias"))


def drop(x: Array, dropout: Dropout | None) -> Array:
    """What a head reads in training: ``x`` after the classifier's dropout, or ``x`` itself."""
    return x if dropout is None else dropout(x, dropout.classifier_rate)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Linear:
    """``x weight^T + bias``."""

    weight: Array  # [n, k]
    bias: Array  # [n]

    @classmethod
    def load(cls, source: Source, name: str, kernels: Kernels) -> Linear:
        """Read ``name.weight`` and ``name.bias``."""
        return cls(
            source.read(f"{name}.weight", kernels.dtype), source.read(f"{name}.bias", kernels.dtype)
        )

    def __call__(self, kernels: Kernels, x: Array) -> Array:
        return kernels.linear_rows(x, self.weight, self.bias)


class Pooler:
    """``tanh(dense(first token))``, in ``RobertaModel`` and the multiple-choice model."""

    tensors = linear_tensors("pooler.dense")

    def __init__(self, source: Source, kernels: Kernels) -> None:
        self._dense = Linear.load(source, "pooler.dense", kernels)

    @staticmethod
    def shapes(config: RobertaConfig) -> Shapes:
        """The tensors that it reads."""
        return linear_shapes("pooler.dense", config.hidden_size, config.hidden_size)

    def __call__(self, kernels: Kernels, first: Array) -> Array:
        """``[batch, hidden]`` to ``[batch, hidden]``."""
        return kernels.activate("tanh", self._dense(kernels, first))


class LinearHead:
    """One linear layer: token classification, question answering, multiple choice."""

    def __init__(self, source: Source, kernels: Kernels, name: str) -> None:
        self._linear = Linear.load(source, name, kernels)

    @staticmethod
    def shapes(config: RobertaConfig, name: str, columns: int) -> Shapes:
        """The tensors that it reads."""
        return linear_shapes(name, columns, config.hidden_size)

    def __call__(self, kernels: Kernels, x: Array, dropout: Dropout | None = None) -> Array:
        """``[n, hidden]`` to ``[n, columns]``."""
        return self._linear(kernels, drop(x, dropout))
