"""The one door to the kernels: which build runs, on how many threads, in which compute type.

``NativeKernels`` calls the compiled extension, ``ReferenceKernels`` the same functions in NumPy.
The rest of the package sees their common face and never asks which one it has.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import reference
from .activations import ACTIVATIONS, canonical_activation
from .checkpoint import Table
from .config import RobertaConfig
from .errors import ConfigError, InputError
from .reference import CrossAttention, Dropout, KeyValueCache
from .threads import default_num_threads

Array = NDArray[Any]
IntArray = NDArray[np.int64]
# The result, the attention weights and those of the cross attention: see reference.run_blocks.
BlocksResult = tuple[Array, Array | None, Array | None]
# A tensor of a block, by the last part of its name, e.g. "attention.self.query.weight".
ReadTensor = Callable[[str], Array]

NATIVE_COMPUTE_TYPES = ("float32",)
REFERENCE_COMPUTE_TYPES = ("float32", "float64")


class Kernels(Protocol):
    """What a model computes with. Arrays in and out have ``dtype``; ``x`` is ``[rows, cols]``."""

    backend: str
    compute_type: str
    dtype: np.dtype[Any]

    def block(self, config: RobertaConfig, read: ReadTensor, cross: bool) -> Any:
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

    def linear_table(self, x: Array, table: Table, bias: Array) -> Array:
        """``linear_rows`` with the rows of a table as the weight."""

    def activate(self, activation: str, x: Array) -> Array:
        """See ``reference.activate``; by name."""

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        """See ``reference.layer_norm``; with no residual."""


# The linear layers of a block: each is one or more of the file's, one below the other.
_LINEARS = {
    "query_key_value": tuple(f"attention.self.{name}" for name in ("query", "key", "value")),
    "attention_output": ("attention.output.dense",),
    "intermediate": ("intermediate.dense",),
    "output": ("output.dense",),
}
_NORMS = {"attention_norm": "attention.output.LayerNorm", "output_norm": "output.LayerNorm"}
_CROSS_LINEARS = {
    "cross_query": ("crossattention.self.query",),
    "cross_key_value": ("crossattention.self.key", "crossattention.self.value"),
    "cross_output": ("crossattention.output.dense",),
}
_CROSS_NORMS = {"cross_norm": "crossattention.output.LayerNorm"}


def _block_tensors(
    read: ReadTensor, cross: bool
) -> tuple[Iterator[tuple[str, Array, Array]], Iterator[tuple[str, Array, Array]]]:
    """The linear layers (name, weight, bias) and the norms (name, gamma, beta) of a block.

    One after the other, so that no more than one layer stands beside the packed weights.
    """

    def join(names: tuple[str, ...], part: str) -> Array:
        parts = [read(f"{name}.{part}") for name in names]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    linears = _LINEARS | (_CROSS_LINEARS if cross else {})
    norms = _NORMS | (_CROSS_NORMS if cross else {})
    return (
        ((field, join(names, "weight"), join(names, "bias")) for field, names in linears.items()),
        ((field, read(f"{n}.weight"), read(f"{n}.bias")) for field, n in norms.items()),
    )


class ReferenceKernels:
    """``reference.py`` in float32 or float64."""

    backend = "reference"

    def __init__(self, compute_type: str) -> None:
        self.compute_type = compute_type
        self.dtype = np.dtype(compute_type)

    def block(self, config: RobertaConfig, read: ReadTensor, cross: bool) -> reference.Block:
        linears, norms = _block_tensors(read, cross)
        return reference.Block(
            heads=config.num_attention_heads,
            activation=_index(config.activation),
            eps=config.layer_norm_epsilon,
            **{name: (first, second) for name, first, second in itertools.chain(linears, norms)},
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
    ) -> BlocksResult:
        mask = None if head_mask is None else head_mask.astype(self.dtype)
        return reference.run_blocks(
            blocks, x, offsets, mask, causal, want_attentions, dropout, cache, cross
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

    def linear_table(self, x: Array, table: Table, bias: Array) -> Array:
        # Piece by piece: the table in this dtype can be two gigabytes.
        rows, piece = len(bias), max(1, 2**24 // max(1, x.shape[1]))
        y = np.empty((len(x), rows), self.dtype)
        for at in range(0, rows, piece):
            end = min(at + piece, rows)
            part = table.rows(slice(at, end), self.dtype)
            y[:, at:end] = reference.linear_rows(x, part, bias[at:end])
        return y

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
        self._workspaces = self._core.Workspaces()

    def block(self, config: RobertaConfig, read: ReadTensor, cross: bool) -> Any:
        block = self._core.Block(
            self._kernels,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            _index(config.activation),
            config.layer_norm_epsilon,
            cross,
        )
        linears, norms = _block_tensors(read, cross)
        for linear in linears:
            block.set_linear(*linear)
        for norm in norms:
            block.set_norm(*norm)
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

    def linear_table(self, x: Array, table: Table, bias: Array) -> Array:
        return self.linear_rows(x, table.array(), bias)

    def activate(self, activation: str, x: Array) -> Array:
        y: Array = self._kernels.activate(_index(activation), x)
        return y

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        y: Array = self._kernels.layer_norm(x, None, gamma, beta, eps)
        return y


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


@functools.cache
def _load_core() -> ModuleType | None:
    try:
        from . import _core
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}._core":
            raise
        warnings.warn(
            f"pyroberta's compiled kernels are not in {os.path.dirname(__file__)}: models run on "
            "the slow NumPy reference. (In a source tree, install with `pip install -e .` or "
            "start Python elsewhere.)",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    _core.set_num_threads(default_num_threads())
    return _core


def has_core() -> bool:
    """Whether the compiled extension is installed."""
    return _load_core() is not None


def core() -> ModuleType:
    """The compiled extension."""
    module = _load_core()
    if module is None:
        raise ImportError("pyroberta must have been built with its compiled extension")
    return module


def available_isas() -> list[str]:
    """The builds of the kernels that this CPU can run, fastest first."""
    module = core()
    return [isa for isa in module.built_isas() if module.find_kernels(isa) is not None]


@functools.cache
def chosen_isa() -> str:
    """The build in use: the fastest, or the one that ``PYROBERTA_ISA`` names.

    Raises:
        ConfigError: ``PYROBERTA_ISA`` names none that can run here.
    """
    available = available_isas()
    wanted = os.environ.get("PYROBERTA_ISA")
    if wanted is None:
        return available[0]
    if wanted not in available:
        unfit = [isa for isa in core().built_isas() if isa not in available]
        raise ConfigError(
            f"PYROBERTA_ISA must be one of {', '.join(available)}, not {wanted!r}"
            + (f" (built, but not for this CPU: {', '.join(unfit)})" if unfit else "")
        )
    return wanted


def set_num_threads(n: int) -> None:
    """Set the number of threads of every native call from now on.

    Raises:
        InputError: ``n`` is not a whole number of at least 1.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n must be a whole number of at least 1, not {n!r}")
    if has_core():
        core().set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads of a native call; see ``default_num_threads`` for the first value."""
    return int(core().get_num_threads()) if has_core() else 1


def show_config() -> None:
    """Print what runs here: builds of the kernels, threads, versions.

    Example:
        >>> pyroberta.show_config()  # doctest: +SKIP
        pyroberta  0.1.0
        kernels    avx512 (built: amx avx512 avx2 scalar; can run here: avx512 avx2 scalar)
        ...
    """
    import safetensors

    from . import __version__

    lines = {"pyroberta": __version__}
    if has_core():
        lines["kernels"] = (
            f"{chosen_isa()} (built: {' '.join(core().built_isas())}; "
            f"can run here: {' '.join(available_isas())})"
        )
        lines["threads"] = str(get_num_threads())
        lines["OpenMP"] = _openmp_runtime()
    else:
        lines["kernels"] = "reference (the compiled extension is missing)"
    lines["compute types"] = " ".join(NATIVE_COMPUTE_TYPES)
    lines["Python"] = sys.version.split()[0]
    lines["numpy"] = np.__version__
    lines["safetensors"] = safetensors.__version__
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:{width}}  {value}")


def _openmp_runtime() -> str:
    version = core().openmp
    try:
        with open("/proc/self/maps") as maps:
            names = {os.path.basename(line.split()[-1]) for line in maps if "omp" in line}
    except OSError:
        names = set()
    runtimes = sorted(name for name in names if ".so" in name and "mp" in name)
    return f"{version} ({', '.join(runtimes)})" if runtimes else str(version)
