"""The one door to the kernels: on which backend, in which compute type.

``NativeKernels`` calls the compiled extension, ``ReferenceKernels`` the same functions in NumPy.
The rest of the package sees their common face and never asks which one it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import reference
from .activations import ACTIVATIONS, canonical_activation
from .checkpoint import BlockTensors, Table, block_layers
from .compute_types import COMPUTE_TYPES, head_type
from .config import RobertaConfig
from .errors import CheckpointError, ConfigError, InputError
from .extension import NATIVE_COMPUTE_TYPES, available_isas, chosen_isa, core, has_core
from .reference import CrossAttention, Dropout, KeyValueCache

Array = NDArray[Any]
IntArray = NDArray[np.int64]
# The result, the attention weights and those of the cross attention: see reference.run_blocks.
BlocksResult = tuple[Array, Array | None, Array | None]

__all__ = ["Kernels", "available_isas", "choose_kernels", "core", "has_core"]

REFERENCE_COMPUTE_TYPES = ("float64", *COMPUTE_TYPES)


class Kernels(Protocol):
    """What a model computes with. Arrays in and out have ``dtype``; ``x`` is ``[rows, cols]``."""

    backend: str
    compute_type: str
    dtype: np.dtype[Any]

    def block(self, config: RobertaConfig, tensors: BlockTensors, cross: bool) -> Any:
        """The weights of one block, with its cross attention's, laid out for ``run_blocks``."""

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        head_mask: Array | None,
        causal: bool,
        want_attentions: bool,
        dropout: Dropout | None = None,
        cache: KeyValueCache | None = None,
        cross: CrossAttention | None = None,
        out: Array | None = None,
    ) -> BlocksResult:
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
        """A layer of the language-model head, in ``compute_types.head_type``.

        The table is multiplied where it stands for float32. For other types it is laid out anew,
        or ``packed``, from a packed file, is used.
        """

    def activate(self, activation: str, x: Array) -> Array:
        """See ``reference.activate``; by name."""

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        """See ``reference.layer_norm``; with no residual."""


@dataclasses.dataclass(frozen=True)
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


class ReferenceKernels:
    """``reference.py`` in float64, in float32, or in float32 with another type's rounding."""

    backend = "reference"

    def __init__(self, compute_type: str) -> None:
        self.compute_type = compute_type
        self.dtype = np.dtype("float64" if compute_type == "float64" else "float32")

    def block(self, config: RobertaConfig, tensors: BlockTensors, cross: bool) -> reference.Block:
        linears, norms = block_layers(cross)
        pairs = {
            field: (
                tensors.joined(names, "weight", self.dtype),
                tensors.joined(names, "bias", self.dtype),
            )
            for field, names in (linears | {f: (n,) for f, n in norms.items()}).items()
        }
        return reference.Block(
            heads=config.num_attention_heads,
            activation=_index(config.activation),
            eps=config.layer_norm_epsilon,
            compute_type=self.compute_type,
            **pairs,
        )

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        head_mask: Array | None,
        causal: bool,
        want_attentions: bool,
        dropout: Dropout | None = None,
        cache: KeyValueCache | None = None,
        cross: CrossAttention | None = None,
        out: Array | None = None,
    ) -> BlocksResult:
        mask = None if head_mask is None else head_mask.astype(self.dtype)
        return reference.run_blocks(
            blocks, x, offsets, mask, causal, want_attentions, dropout, cache, cross, out
        )

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
        rows = np.arange(len(ids))
        w, t, p = word.rows(ids, self.dtype), type[types], position.rows(positions, self.dtype)
        return reference.embeddings(w, t, p, rows, rows, rows, gamma, beta, eps)

    def linear_rows(self, x: Array, weight: Array, bias: Array | None) -> Array:
        return reference.linear_rows(x, weight, bias)

    def head_linear(self, weight: Table, bias: Array, packed: Array | None) -> HeadLinear:
        rounding, rows = head_type(self.compute_type), len(bias)

        def call(x: Array) -> Array:
            # Piece by piece: the table in this dtype can be two gigabytes.
            piece = max(1, 2**24 // max(1, x.shape[1]))
            y = np.empty((len(x), rows), self.dtype)
            for at in range(0, rows, piece):
                end = min(at + piece, rows)
                part = weight.rows(slice(at, end), self.dtype)
                y[:, at:end] = reference.linear(x, part, bias[at:end], 0, rounding)
            return y

        return HeadLinear(call)

    def activate(self, activation: str, x: Array) -> Array:
        return reference.activate(_index(activation), x)

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        return reference.layer_norm(x, None, gamma, beta, eps)


class NativeKernels:
    """The compiled extension, on the build for this CPU."""

    backend = "native"

    def __init__(self, compute_type: str) -> None:
        self.compute_type = compute_type
        self.dtype = np.dtype(np.float32)
        self._core = core()
        self._kernels = self._core.find_kernels(chosen_isa())
        self._type = COMPUTE_TYPES.index(compute_type)
        self._workspaces = self._core.Workspaces()

    def block(self, config: RobertaConfig, tensors: BlockTensors, cross: bool) -> Any:
        packed = tensors.packed()
        try:
            block = self._core.Block(
                self._kernels,
                config.hidden_size,
                config.intermediate_size,
                config.num_attention_heads,
                _index(config.activation),
                config.layer_norm_epsilon,
                cross,
                self._type,
                packed,
            )
        except ValueError as error:  # of a packed file that says other sizes of itself than it has
            raise CheckpointError(
                f"{tensors.name} must be packed with hidden_size {config.hidden_size}, "
                f"intermediate_size {config.intermediate_size} and "
                f"{'a' if cross else 'no'} cross attention: {error}"
            ) from None
        if packed is not None:
            return block
        linears, norms = block_layers(cross)
        for field, names in linears.items():
            bias = tensors.joined(names, "bias", self.dtype)
            places = tensors.in_files(names)
            if places is None:
                block.set_linear(field, tensors.joined(names, "weight", self.dtype), bias)
                continue
            # Straight from the file into the packed layout: no copy of the weight in between.
            try:
                block.read_linear(field, places, bias)
            except OSError as error:
                raise CheckpointError(f"checkpoint must hold all of {names}: {error}") from None
        for field, name in norms.items():
            gamma = tensors.read(f"{name}.weight", self.dtype)
            block.set_norm(field, gamma, tensors.read(f"{name}.bias", self.dtype))
        return block

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        head_mask: Array | None,
        causal: bool,
        want_attentions: bool,
        dropout: Dropout | None = None,
        cache: KeyValueCache | None = None,
        cross: CrossAttention | None = None,
        out: Array | None = None,
    ) -> BlocksResult:
        if dropout is not None:
            raise InputError("training must run on the reference kernels")
        result: BlocksResult = self._core.run_blocks(
            list(blocks),
            x,
            offsets,
            _float32_mask(head_mask),
            causal,
            want_attentions,
            self._workspaces,
            None if cache is None else (list(cache.keys), list(cache.values), cache.lengths),
            None
            if cross is None
            else (
                list(cross.key_values),
                cross.offsets,
                cross.rows,
                _float32_mask(cross.head_mask),
            ),
            out,
        )
        return result

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
        words, ids = _float32_rows(word, ids)
        places, positions = _float32_rows(position, positions)
        y: Array = self._kernels.embeddings(
            words, type, places, ids, types, positions, gamma, beta, eps
        )
        return y

    def linear_rows(self, x: Array, weight: Array, bias: Array | None) -> Array:
        y: Array = self._kernels.linear_rows(x, weight, bias)
        return y

    def head_linear(self, weight: Table, bias: Array, packed: Array | None) -> HeadLinear:
        compute_type = head_type(self.compute_type)
        if compute_type == "float32":
            return HeadLinear(lambda x: self.linear_rows(x, weight.array(), bias))
        index = COMPUTE_TYPES.index(compute_type)
        if packed is None:
            matrix = self._core.Packed(self._kernels, weight.rows(slice(None)), index)
        else:
            try:
                matrix = self._core.Packed(self._kernels, packed, *weight.shape, index)
            except ValueError as error:
                raise CheckpointError(
                    f"the packed language-model head must be {list(weight.shape)}: {error}"
                ) from None

        def call(x: Array) -> Array:
            y: Array = self._kernels.linear(x, matrix, bias, 0)
            return y

        return HeadLinear(call, matrix.memory())

    @property
    def family(self) -> str:
        """The layout of packed weights: equal ones can read each other's packed files."""
        return layout_family(self._kernels, self.compute_type)

    def activate(self, activation: str, x: Array) -> Array:
        y: Array = self._kernels.activate(_index(activation), x)
        return y

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        y: Array = self._kernels.layer_norm(x, None, gamma, beta, eps)
        return y


def layout_family(build: Any, compute_type: str) -> str:
    """``NativeKernels.family`` of one of the extension's builds, in use or not."""
    whole = compute_type == "bfloat16x3" and not build.has_bfloat16x3
    return f"{'float32' if whole else compute_type} in panels of {build.panel}"


def _float32_mask(mask: Array | None) -> Array | None:
    return None if mask is None else np.ascontiguousarray(mask, np.float32)


def _index(activation: str) -> int:
    return ACTIVATIONS.index(canonical_activation(activation))


def _float32_rows(table: Table, ids: IntArray) -> tuple[Array, IntArray]:
    """A float32 table and the indices into it that stand for ``ids``."""
    if table.is_float32:
        return table.array(), ids
    return table.rows(ids), np.arange(len(ids))


def choose_kernels(backend: str, compute_type: str) -> Kernels:
    """The kernels for ``backend`` (``"native"`` or ``"reference"``) and ``compute_type``.

    Where the package was built without its extension, native means the reference, in float32.

    Raises:
        ConfigError: another name.
    """
    if backend not in ("native", "reference"):
        raise ConfigError(f"backend must be 'native' or 'reference', not {backend!r}")
    known = NATIVE_COMPUTE_TYPES if backend == "native" else REFERENCE_COMPUTE_TYPES
    if compute_type not in known:
        names = " or ".join(repr(name) for name in known)
        raise ConfigError(
            f"compute_type must be {names} on the {backend} backend, not {compute_type!r}"
        )
    if backend == "native" and has_core():
        return NativeKernels(compute_type)
    return ReferenceKernels(compute_type)
