"""From vectors to logits: the pooler and the head of each architecture.

Each head says which tensors it reads (``shapes``), reads them (``load``), and computes only what is
asked for: the first token of each row, or the places whose logits are wanted.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from numpy.typing import NDArray

from .checkpoint import Source, Table
from .config import RobertaConfig
from .errors import CheckpointError
from .kernels import Kernels
from .reference import Dropout

Array = NDArray[Any]
Shapes = dict[str, tuple[int, ...]]

_DENSE, _DECODER = "lm_head.dense.weight", "lm_head.decoder.weight"


def _linear_shapes(name: str, n: int, k: int) -> Shapes:
    return {f"{name}.weight": (n, k), f"{name}.bias": (n,)}


@dataclasses.dataclass(frozen=True)
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

    def __init__(self, source: Source, kernels: Kernels) -> None:
        self._dense = Linear.load(source, "pooler.dense", kernels)

    @staticmethod
    def shapes(config: RobertaConfig) -> Shapes:
        """The tensors that it reads."""
        return _linear_shapes("pooler.dense", config.hidden_size, config.hidden_size)

    def __call__(self, kernels: Kernels, first: Array) -> Array:
        """``[batch, hidden]`` to ``[batch, hidden]``."""
        return kernels.activate("tanh", self._dense(kernels, first))


class LMHead:
    """``layer_norm(gelu(dense(x)))`` times the word table, plus a bias: logits of each word.

    The activation is exact GELU whatever the configuration's is, as in the models that trained
    the checkpoints. In float32 a tied head multiplies by the mapped word table as it stands in the
    file.
    """

    def __init__(
        self, config: RobertaConfig, source: Source, kernels: Kernels, words: Table
    ) -> None:
        bias = source.read("lm_head.dense.bias", kernels.dtype)
        self._dense = kernels.head_linear(source.table(_DENSE), bias, source.packed(_DENSE))
        self._gamma = source.read("lm_head.layer_norm.weight", kernels.dtype)
        self._beta = source.read("lm_head.layer_norm.bias", kernels.dtype)
        self._eps = config.layer_norm_epsilon
        if _DECODER in source.names():
            words = source.table(_DECODER)
        bias = source.read("lm_head.bias", kernels.dtype)
        self._words = kernels.head_linear(words, bias, source.packed(_DECODER))

    def packed(self) -> dict[str, Array]:
        """The packed weights, for a packed file."""
        memory = {_DENSE: self._dense.memory, _DECODER: self._words.memory}
        return {name: array for name, array in memory.items() if array is not None}

    @staticmethod
    def shapes(config: RobertaConfig, names: set[str] | None = None) -> Shapes:
        """The tensors that it reads: of a file with ``names``, or of a new model.

        Raises:
            CheckpointError: the weight of the decoder is neither in the file nor tied.
        """
        hidden = config.hidden_size
        shapes = _linear_shapes("lm_head.dense", hidden, hidden)
        shapes["lm_head.layer_norm.weight"] = shapes["lm_head.layer_norm.bias"] = (hidden,)
        shapes["lm_head.bias"] = (config.vocab_size,)
        has_own = not config.tie_word_embeddings if names is None else _DECODER in names
        if has_own:
            shapes[_DECODER] = (config.vocab_size, hidden)
        elif not config.tie_word_embeddings:
            raise CheckpointError(
                f"checkpoint must hold {_DECODER} [{config.vocab_size}, {hidden}] where "
                "tie_word_embeddings is false"
            )
        return shapes

    def __call__(self, kernels: Kernels, x: Array) -> Array:
        """``[n, hidden]`` to ``[n, vocab]``."""
        y = kernels.activate("gelu", self._dense(x))
        return self._words(kernels.layer_norm(y, self._gamma, self._beta, self._eps))


class SequenceHead:
    """``out_proj(tanh(dense(first token)))``; dropout before each layer in training."""

    def __init__(self, source: Source, kernels: Kernels) -> None:
        self._dense = Linear.load(source, "classifier.dense", kernels)
        self._out = Linear.load(source, "classifier.out_proj", kernels)

    @staticmethod
    def shapes(config: RobertaConfig) -> Shapes:
        """The tensors that it reads."""
        hidden = config.hidden_size
        return _linear_shapes("classifier.dense", hidden, hidden) | _linear_shapes(
            "classifier.out_proj", config.num_labels, hidden
        )

    def __call__(self, kernels: Kernels, first: Array, dropout: Dropout | None) -> Array:
        """``[batch, hidden]`` to ``[batch, num_labels]``."""
        y = kernels.activate("tanh", self._dense(kernels, _drop(first, dropout)))
        return self._out(kernels, _drop(y, dropout))


class LinearHead:
    """One linear layer: token classification, question answering, multiple choice."""

    def __init__(self, source: Source, kernels: Kernels, name: str) -> None:
        self._linear = Linear.load(source, name, kernels)

    @staticmethod
    def shapes(config: RobertaConfig, name: str, columns: int) -> Shapes:
        """The tensors that it reads."""
        return _linear_shapes(name, columns, config.hidden_size)

    def __call__(self, kernels: Kernels, x: Array, dropout: Dropout | None = None) -> Array:
        """``[n, hidden]`` to ``[n, columns]``."""
        return self._linear(kernels, _drop(x, dropout))


def _drop(x: Array, dropout: Dropout | None) -> Array:
    return x if dropout is None else dropout(x, dropout.classifier_rate)
