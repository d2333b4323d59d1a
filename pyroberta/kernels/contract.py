"""The common face of the backends: the rest of the package sees this and no backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..arrays import Array, IntArray
from ..checkpoint import BlockTensors, Table
from ..config import RobertaConfig
from ..run_options import RunOptions

# The result, the attention weights and those of the cross attention: see reference.run_blocks.
RunResult = tuple[Array, Array | None, Array | None]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class HeadLinear:
    """A layer of the language-model head: ``x [rows, k]`` to ``x weight^T + bias``.

    Attributes:
        call: computes it.
        memory: the packed weight's bytes, where it is packed.
    """

    call: Callable[[Array], Array]
    memory: Array | None = None

    def __call__(self, x: Array) -> Array:
        return self.call(x)


class Kernels(Protocol):
    """What a model computes with. Arrays in and out have ``dtype``; ``x`` is ``[rows, cols]``."""

    backend: str
    compute_type: str
    dtype: np.dtype[Any]
    # Whether ``run_blocks`` takes dropout.
    has_dropout: bool

    @property
    def family(self) -> str | None:
        """The layout of packed weights: equal ones can read each other's packed files.

        ``None``: weights are not packed.
        """

    def block(self, config: RobertaConfig, tensors: BlockTensors, cross: bool) -> Any:
        """The weights of one block, with its cross attention's, laid out for ``run_blocks``."""

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        options: RunOptions,
        out: Array | None = None,
    ) -> RunResult:
        """See ``reference.run_blocks``."""

    def embeddings(
        self,
        word: Table,
        type: Array,
        position: Table,
        ids: IntArray,
        types: IntArray,
        positions: IntArray,
        gamma: Array,
        beta: Array,
        eps: float,
    ) -> Array:
        """See ``reference.embeddings``."""

    def linear_rows(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """See ``reference.linear_rows``."""

    def head_linear(self, weight: Table, bias: Array, packed: Array | None) -> HeadLinear:
        """A layer of the language-model head, in the type that ``compute_types`` says.

        The table is multiplied where it stands for float32. For other types it is laid out anew,
        or ``packed``, from a packed file, is used.
        """

    def linear(self, x: Array, weight: Array, bias: Array) -> Array:
        """See ``reference.linear``; a block's layer by itself, in the compute type."""

    def attention(
        self, q: Array, k: Array, v: Array, visible: int, scale: float, head_weights: Array
    ) -> Array:
        """See ``reference.attention``; of all heads, ``[heads, queries, head_size]``."""

    def attention_weights(
        self, q: Array, k: Array, visible: int, scale: float, head_weights: Array
    ) -> Array:
        """See ``reference.attention_weights``; ``[heads, queries, keys]``."""

    def activate(self, activation: str, x: Array) -> Array:
        """See ``reference.activate``; by name."""

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        """See ``reference.layer_norm``; with no residual."""
