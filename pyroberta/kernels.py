"""The one door to the kernels: which build runs, on how many threads, in which compute type.

``NativeKernels`` calls the compiled extension, ``ReferenceKernels`` the same functions in NumPy.
The rest of the package sees their common face and never asks which one it has.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import reference
from .activations import ACTIVATIONS, canonical_activation
from .checkpoint import Table
from .config import RobertaConfig
from .errors import ConfigError, InputError
from .reference import Dropout
from .threads import default_num_threads

Array = NDArray[Any]
IntArray = NDArray[np.int64]
# A tensor of a block, by the last part of its name, e.g. "attention.self.query.weight".
ReadTensor = Callable[[str], Array]

NATIVE_COMPUTE_TYPES = ("float32",)
REFERENCE_COMPUTE_TYPES = ("float32", "float64")


class Kernels(Protocol):
    """What a model computes with. Arrays in and out have ``dtype``; ``x`` is ``[rows, cols]``."""

    backend: str
    compute_type: str
    dtype: np.dtype[Any]

    def block(self, config: RobertaConfig, read: ReadTensor) -> Any:
        """The weights of one block, laid out for ``run_blocks``."""

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        head_mask: Array | None,
        causal: bool,
        want_attentions: bool,
        dropout: Dropout | None,
    ) -> tuple[Array, Array | None]:
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

    def activate(self, activation: str, x: Array) -> Array:
        """See ``reference.activate``; by name."""

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        """See ``reference.layer_norm``; with no residual."""


def _query_key_value(read: ReadTensor, part: str) -> Array:
    return np.concatenate([read(f"attention.self.{n}.{part}") for n in ("query", "key", "value")])


_LINEARS = {
    "attention_output": "attention.output.dense",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
}
_NORMS = {"attention_norm": "attention.output.LayerNorm", "output_norm": "output.LayerNorm"}


class ReferenceKernels:
    """``reference.py`` in float32 or float64."""

    backend = "reference"

    def __init__(self, compute_type: str) -> None:
        self.compute_type = compute_type
        self.dtype = np.dtype(compute_type)

    def block(self, config: RobertaConfig, read: ReadTensor) -> reference.Block:
        def get(name: str) -> tuple[Array, Array]:
            return tuple(  # type: ignore[return-value]  # two items, as the generator has
                read(f"{name}.{part}").astype(self.dtype) for part in ("weight", "bias")
            )

        return reference.Block(
            heads=config.num_attention_heads,
            activation=_index(config.activation),
            eps=config.layer_norm_epsilon,
            query_key_value=(
                _query_key_value(read, "weight").astype(self.dtype),
                _query_key_value(read, "bias").astype(self.dtype),
            ),
            **{field: get(name) for field, name in (_LINEARS | _NORMS).items()},
        )

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        head_mask: Array | None,
        causal: bool,
        want_attentions: bool,
        dropout: Dropout | None,
    ) -> tuple[Array, Array | None]:
        mask = None if head_mask is None else head_mask.astype(self.dtype)
        return reference.run_blocks(blocks, x, offsets, mask, causal, want_attentions, dropout)

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
        gathered = (word.rows(ids), type[types], position.rows(positions), gamma, beta)
        w, t, p, g, b = (array.astype(self.dtype) for array in gathered)
        return reference.embeddings(w, t, p, rows, rows, rows, g, b, eps)

    def linear_rows(self, x: Array, weight: Array, bias: Array | None) -> Array:
        # A table of another dtype is widened piece by piece: it can be a gigabyte.
        piece = max(1, 2**24 // max(1, weight.shape[1]))
        y = np.empty((len(x), len(weight)), self.dtype)
        for at in range(0, len(weight), piece):
            part = weight[at : at + piece].astype(self.dtype, copy=False)
            y[:, at : at + piece] = reference.linear_rows(x, part, None)
        return y if bias is None else y + bias

    def activate(self, activation: str, x: Array) -> Array:
        return reference.activate(_index(activation), x)

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        gamma, beta = gamma.astype(self.dtype), beta.astype(self.dtype)
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

    def block(self, config: RobertaConfig, read: ReadTensor) -> Any:
        block = self._core.Block(
            self._kernels,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            _index(config.activation),
            config.layer_norm_epsilon,
        )
        block.set_linear(
            "query_key_value", _query_key_value(read, "weight"), _query_key_value(read, "bias")
        )
        for field, name in _LINEARS.items():
            block.set_linear(field, read(f"{name}.weight"), read(f"{name}.bias"))
        for field, name in _NORMS.items():
            block.set_norm(field, read(f"{name}.weight"), read(f"{name}.bias"))
        return block

    def run_blocks(
        self,
        blocks: Sequence[Any],
        x: Array,
        offsets: IntArray,
        head_mask: Array | None,
        causal: bool,
        want_attentions: bool,
        dropout: Dropout | None,
    ) -> tuple[Array, Array | None]:
        if dropout is not None:
            raise InputError("training must run on the reference kernels")
        mask = None if head_mask is None else np.ascontiguousarray(head_mask, np.float32)
        result: tuple[Array, Array | None] = self._core.run_blocks(
            list(blocks), x, offsets, mask, causal, want_attentions, self._workspaces
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

    def activate(self, activation: str, x: Array) -> Array:
        y: Array = self._kernels.activate(_index(activation), x)
        return y

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        y: Array = self._kernels.layer_norm(x, None, gamma, beta, eps)
        return y


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
