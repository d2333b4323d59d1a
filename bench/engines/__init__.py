"""The engines that are measured: one module each, all with the same two functions.

``convert(model, out, compute_type, option)`` writes what the engine loads, once, in a process that
may import anything. ``prepare(model, converted, threads, compute_type, option)`` gives the engine:
called with rows of ids, it gives ``last_hidden_state`` as float32 ``[batch, tokens, hidden]``.
Whatever an engine does to the ids (padding, a mask, tensors of its own) is part of the timed call.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[Sequence[int]]

_PAD = 1


class Engine(Protocol):
    """A model, ready to be called."""

    def __call__(self, rows: Rows) -> NDArray[np.float32]:
        """``last_hidden_state``; what stands at padded places does not matter."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """How an engine is started.

    Attributes:
        module: the module in this package.
        packages: the distributions it runs on, the first one being the engine itself.
        compute_types: what it computes in.
        option: passed to the module's functions, for engines that are run in two ways.
        drops_padding: whether padded places cost it nothing.
        environment: variables set before its process starts; ``{threads}`` is filled in.
    """

    module: str
    packages: tuple[str, ...]
    compute_types: tuple[str, ...] = ("float32",)
    option: str = ""
    drops_padding: bool = False
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def convert(self, model: Path, out: Path, compute_type: str) -> None:
        """Write what the engine loads into the folder ``out``."""
        self._load().convert(model, out, compute_type, self.option)

    def prepare(self, model: Path, converted: Path, threads: int, compute_type: str) -> Engine:
        """Load the engine in this process."""
        engine: Engine = self._load().prepare(model, converted, threads, compute_type, self.option)
        return engine

    def _load(self) -> Any:
        return importlib.import_module(f"bench.engines.{self.module}")


_TORCH = Spec(
    module="torch_engine",
    packages=("torch", "transformers"),
    compute_types=("float32", "bfloat16"),
)
_TORCH_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
_PYROBERTA = Spec(
    module="pyroberta_engine",
    packages=("pyroberta",),
    drops_padding=True,
    compute_types=("float32", "bfloat16x3", "bfloat16", "int8"),
)
_ONNXRUNTIME = Spec(
    module="onnxruntime_engine",
    packages=("onnxruntime", "onnx"),
    compute_types=("float32", "int8"),
)

ENGINES: dict[str, Spec] = {
    "pyroberta": _PYROBERTA,
    "torch": _TORCH,
    "torch-compiled": dataclasses.replace(
        _TORCH, option="compiled", environment={"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    ),
    "onnxruntime": _ONNXRUNTIME,
    "onnxruntime-optimised": dataclasses.replace(_ONNXRUNTIME, option="optimised"),
    "openvino": Spec(
        module="openvino_engine", packages=("openvino",), compute_types=("float32", "bfloat16")
    ),
    "ctranslate2": Spec(
        module="ctranslate2_engine",
        packages=("ctranslate2",),
        compute_types=("float32", "int8"),
        drops_padding=True,
    ),
    "jax": Spec(
        module="jax_engine",
        packages=("jax", "jaxlib"),
        compute_types=("float32", "bfloat16"),
        environment={"NPROC": "{threads}", "JAX_PLATFORMS": "cpu"},
    ),
    # Not run unless asked for: the same engines held to AVX2.
    "pyroberta-avx2": dataclasses.replace(_PYROBERTA, environment={"PYROBERTA_ISA": "avx2"}),
    "torch-avx2": dataclasses.replace(_TORCH, environment=_TORCH_AVX2),
    "torch-compiled-avx2": dataclasses.replace(
        _TORCH,
        option="compiled",
        environment=_TORCH_AVX2 | {"TORCHINDUCTOR_COMPILE_THREADS": "1"},
    ),
}
DEFAULT_ENGINES = tuple(name for name in ENGINES if not name.endswith("-avx2"))


def environment(name: str, threads: int) -> dict[str, str]:
    """The variables that an engine's process starts with, beside those of this process."""
    common = {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    own = ENGINES[name].environment
    return common | {key: value.format(threads=threads) for key, value in own.items()}


def pad(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Rows as ids ``[batch, tokens]`` and their mask, ``None`` where all have one length."""
    longest = max(map(len, rows))
    if min(map(len, rows)) == longest:
        return np.array(rows, np.int64), None
    ids = np.full((len(rows), longest), _PAD, np.int64)
    mask = np.zeros(ids.shape, np.int64)
    for r, row in enumerate(rows):
        ids[r, : len(row)] = row
        mask[r, : len(row)] = 1
    return ids, mask


def pad_with_mask(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As ``pad``, for graphs that demand a mask."""
    ids, mask = pad(rows)
    return ids, np.ones_like(ids) if mask is None else mask


def strip(hidden: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
    """``[batch, tokens, hidden]`` without its padded places: ``[total, hidden]``."""
    return np.concatenate([hidden[r, : len(row)] for r, row in enumerate(rows)])
