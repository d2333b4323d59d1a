"""The engines that are measured: one module each, all with the same two functions.

``convert(model, out, compute_type, option)`` writes what the engine loads, once, in a process that
may import anything. ``prepare(model, converted, threads, compute_type, option)`` gives the engine:
called with rows of ids, it gives ``last_hidden_state`` as float32 ``[batch, tokens, hidden]``.
Whatever an engine does to the ids (padding, a mask, tensors of its own) is part of the timed call.

A run names them ``ENGINE[-ISA][-TYPE]``: ``pyroberta-avx2-int8`` is pyroberta held to AVX2 in int8.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import ROOT

Rows = Sequence[Sequence[int]]

# From the most exact one to the least.
COMPUTE_TYPES = ("float32", "bfloat16x3", "bfloat16", "int8")

_PAD = 1


class Engine(Protocol):
    """A model, ready to be called."""

    def __call__(self, rows: Rows) -> NDArray[np.float32]:
        """``last_hidden_state``; what stands at padded places does not matter."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What there is to know of an engine before it is loaded.

    Attributes:
        module: the module in this package.
        packages: the distributions it runs on, the first one being the engine itself.
        compute_types: what it computes in; its name may end in one.
        isas: what it can be held to, with the variables that do so; its name may have one.
        option: passed to the module's functions, for engines that are run in two ways.
        drops_padding: whether padded places cost it nothing.
        environment: variables set before its process starts; ``{threads}`` is filled in.
        int8_packages: distributions that make its int8 model.
    """

    module: str
    packages: tuple[str, ...]
    compute_types: tuple[str, ...] = ("float32",)
    isas: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    option: str = ""
    drops_padding: bool = False
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    int8_packages: tuple[str, ...] = ()


_TORCH = Spec(
    module="torch_engine",
    packages=("torch", "transformers"),
    compute_types=("float32", "bfloat16"),
    isas={
        "avx2": {
            "ATEN_CPU_CAPABILITY": "avx2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
        }
    },
)
_ONNXRUNTIME = Spec(
    module="onnxruntime_engine",
    packages=("onnxruntime", "onnx"),
    compute_types=("float32", "int8"),
)

# The builds of the kernels, from the one list of them.
_BUILDS = re.findall(r"^BUILD\((\w+)", (ROOT / "csrc/isa/builds.inc").read_text(), re.M)

# The folder that another version of pyroberta is installed in, to take turns with this one.
BEFORE = os.environ.get("PYROBERTA_BEFORE", "")
# The folder that it is installed in over OpenMP's threads (cmake.define.PYROBERTA_THREADS=openmp).
OPENMP = os.environ.get("PYROBERTA_OPENMP", "")

_PYROBERTA = Spec(
    module="pyroberta_engine",
    packages=("pyroberta",),
    # float64: its NumPy reference, the judge of errors.
    compute_types=(*COMPUTE_TYPES, "float64"),
    isas={isa: {"PYROBERTA_ISA": isa} for isa in _BUILDS},
    drops_padding=True,
)

ENGINES: dict[str, Spec] = {
    "pyroberta": _PYROBERTA,
    # Weights mapped from a packed file: for cold starts, and what 4 KB pages cost.
    "pyroberta-packed": dataclasses.replace(
        _PYROBERTA, option="packed", compute_types=COMPUTE_TYPES
    ),
    "pyroberta-before": dataclasses.replace(_PYROBERTA, environment={"PYTHONPATH": BEFORE}),
    "pyroberta-openmp": dataclasses.replace(_PYROBERTA, environment={"PYTHONPATH": OPENMP}),
    "pyroberta-packed-before": dataclasses.replace(
        _PYROBERTA,
        option="packed",
        compute_types=COMPUTE_TYPES,
        environment={"PYTHONPATH": BEFORE},
    ),
    "torch": _TORCH,
    "torch-compiled": dataclasses.replace(
        _TORCH, option="compiled", environment={"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    ),
    "onnxruntime": _ONNXRUNTIME,
    "onnxruntime-optimised": dataclasses.replace(_ONNXRUNTIME, option="optimised"),
    "openvino": Spec(
        module="openvino_engine",
        packages=("openvino",),
        compute_types=("float32", "bfloat16", "int8"),
        int8_packages=("nncf",),
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
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """One engine as a run has it: held to an ISA or to none, in one compute type.

    Attributes:
        base: its name in ``ENGINES``.
        isa: a name in the spec's ``isas``, or nothing.
        compute_type: one of the spec's ``compute_types``.
    """

    base: str
    isa: str = ""
    compute_type: str = "float32"

    @property
    def spec(self) -> Spec:
        """What does not depend on ISA and type."""
        return ENGINES[self.base]

    @property
    def name(self) -> str:
        """``ENGINE[-ISA][-TYPE]``. Without a type, a name means float32."""
        compute_type = "" if self.compute_type == "float32" else self.compute_type
        return "-".join(filter(None, (self.base, self.isa, compute_type)))

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions that its times depend on."""
        spec = self.spec
        return spec.packages + (spec.int8_packages if self.compute_type == "int8" else ())

    def environment(self, threads: int) -> dict[str, str]:
        """The variables that its process starts with, beside those of this process."""
        common = {
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        own = {**self.spec.environment, **self.spec.isas.get(self.isa, {})}
        return common | {key: value.format(threads=threads) for key, value in own.items()}

    def convert(self, model: Path, out: Path) -> None:
        """Write what the engine loads into the folder ``out``."""
        self._module().convert(model, out, self.compute_type, self.spec.option)

    def prepare(self, model: Path, converted: Path, threads: int) -> Engine:
        """Load the engine in this process."""
        engine: Engine = self._module().prepare(
            model, converted, threads, self.compute_type, self.spec.option
        )
        return engine

    def _module(self) -> Any:
        return importlib.import_module(f"bench.engines.{self.spec.module}")


def find_engine(name: str) -> Setup:
    """The engine of a name, ``ENGINE[-ISA][-TYPE]``. Raises ValueError."""
    base, isa, compute_type = _parts(name)
    return Setup(base=base, isa=isa, compute_type=compute_type or "float32")


def in_types(names: Iterable[str], compute_types: Iterable[str]) -> list[str]:
    """The full names of engines in each of the types, once each; a name with a type has that one.

    An engine that lacks a type is left out, save that float32 stands in for bfloat16x3, which
    nobody else has.

    Raises:
        ValueError: a name is not an engine's.
    """
    found: dict[str, None] = {}
    parts = [_parts(name) for name in names]
    for wanted in compute_types:
        for base, isa, own in parts:
            known = ENGINES[base].compute_types
            fallback = "float32" if wanted == "bfloat16x3" else ""
            compute_type = own or (wanted if wanted in known else fallback)
            if compute_type:
                found[Setup(base=base, isa=isa, compute_type=compute_type).name] = None
    return list(found)


def _parts(name: str) -> tuple[str, str, str]:
    """Engine, ISA and compute type; the last two may be empty. Raises ValueError."""
    bases = [base for base in ENGINES if name == base or name.startswith(f"{base}-")]
    if not bases:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {name!r}")
    base = max(bases, key=len)
    spec, words = ENGINES[base], name[len(base) :].split("-")[1:]
    isa = words.pop(0) if words and words[0] in spec.isas else ""
    compute_type = words.pop(0) if words and words[0] in spec.compute_types else ""
    if words:
        isas, types = " or ".join(spec.isas) or "no ISA", " or ".join(spec.compute_types)
        raise ValueError(f"{base} can be followed by {isas} and then by {types}, not {name!r}")
    return base, isa, compute_type


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
