"""What a sentence-transformers folder makes of a pooled vector: one step after the other.

Each step is read from the folder that ``modules.json`` gives it. What its class would compute in
another way than here is refused with the file, the key and its value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..arrays import Array
from ..checkpoint import open_checkpoint
from ..checks import excerpt
from ..errors import CheckpointError, ConfigError
from ..small_json import read_json_object
from .pooling import Vector
from .torch_names import torch_activation

_VECTOR = "sentence_embedding"
_NORM_EPSILON = 1e-5  # of torch.nn.LayerNorm


class Step(Protocol):
    """A vector to a vector, in float64."""

    def __call__(self, vector: Vector) -> Vector:
        """The step's vector of ``vector``."""

    def describe(self) -> str:
        """What it is, in a few words."""

    def width(self, before: int) -> int:
        """The numbers of its vector; ConfigError where it does not take one of ``before``."""


@dataclasses.dataclass(frozen=True)
class Normalize:
    """A vector of length 1. One of zeros stays one."""

    def __call__(self, vector: Vector) -> Vector:
        return normalized(vector)

    def describe(self) -> str:
        return "normalised"

    def width(self, before: int) -> int:
        return before


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """``(x - mean) / sqrt(variance + 1e-5) * weight + bias``; both of ``[width]``."""

    name: str
    weight: Array
    bias: Array

    def __call__(self, vector: Vector) -> Vector:
        centred = vector - vector.mean()
        deviation = np.sqrt((centred * centred).mean() + _NORM_EPSILON)
        result: Vector = centred / deviation * self.weight + self.bias
        return result

    def describe(self) -> str:
        return "layer norm"

    def width(self, before: int) -> int:
        return _check_width(self.name, before, len(self.weight))


@dataclasses.dataclass(frozen=True)
class Dense:
    """``activation(weight x + bias)``, and x beside it where the module is residual.

    Attributes:
        name: of its folder, for errors.
        weight: ``[out, in]``.
        bias: ``[out]`` or 0.
        activation: of ``activations.FORMULAS``.
        adds: x is added to the result, multiplied by ``projection`` where there is one.
        projection: ``[out, in]``.
    """

    name: str
    weight: Array
    bias: Array | float
    activation: Callable[[Array], Array]
    adds: bool = False
    projection: Array | None = None

    def __call__(self, vector: Vector) -> Vector:
        result: Vector = self.activation(self.weight @ vector + self.bias)
        if self.adds:
            result = result + (vector if self.projection is None else self.projection @ vector)
        return result

    def describe(self) -> str:
        after, before = self.weight.shape
        return f"dense {before} to {after}"

    def width(self, before: int) -> int:
        _check_width(self.name, before, self.weight.shape[1])
        return len(self.weight)


def normalized(vector: Vector) -> Vector:
    """``vector`` over its length, which counts as 1e-12 where it is less."""
    # Asked of the ufunc itself: of a short text's vector the calls are most of the time.
    return vector / max(math.sqrt(np.add.reduce(vector * vector)), 1e-12)


def read_normalize(folder: Path) -> Step:
    """The step of a ``Normalize`` module."""
    config = read_json_object(folder / "config.json", missing_ok=True)
    _check_places(folder / "config.json", config)
    return Normalize()


def read_layer_norm(folder: Path) -> Step:
    """The step of a ``LayerNorm`` module."""
    config = read_json_object(folder / "config.json")
    width = _count(folder / "config.json", config, "dimension")
    tensors = _tensors(folder, {"norm.weight": (width,), "norm.bias": (width,)})
    return LayerNorm(folder.name, tensors["norm.weight"], tensors["norm.bias"])


def read_dense(folder: Path) -> Step:
    """The step of a ``Dense`` module."""
    file = folder / "config.json"
    config = read_json_object(file)
    _check_places(file, config)
    before, after = (_count(file, config, key) for key in ("in_features", "out_features"))
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (after, before)}
    if _flag(file, config, "bias", True):
        shapes["linear.bias"] = (after,)
    adds = _flag(file, config, "use_residual", False)
    if adds and before != after:
        shapes["residual.weight"] = (after, before)
    tensors = _tensors(folder, shapes)
    return Dense(
        name=folder.name,
        weight=tensors["linear.weight"],
        bias=tensors.get("linear.bias", 0.0),
        activation=_activation(file, config),
        adds=adds,
        projection=tensors.get("residual.weight"),
    )


# The modules that may follow the pooling; Dropout does nothing outside training.
STEPS: dict[str, Callable[[Path], Step | None]] = {
    "Dense": read_dense,
    "Dropout": lambda folder: None,
    "LayerNorm": read_layer_norm,
    "Normalize": read_normalize,
}


def _activation(file: Path, config: Mapping[str, Any]) -> Callable[[Array], Array]:
    named = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    return torch_activation(named, f"activation_function in {file}")


def _check_places(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse a step that reads or writes anything but the vector of the text."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, _VECTOR):
            raise ConfigError(f"{key} in {file} must be {_VECTOR!r}, not {excerpt(config[key])}")


def _count(file: Path, config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**20:
        raise ConfigError(
            f"{key} in {file} must be a whole number in [1, {2**20}], not {excerpt(value)}"
        )
    return value


def _flag(file: Path, config: Mapping[str, Any], key: str, default: bool) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} in {file} must be true or false, not {excerpt(value)}")
    return value


def _tensors(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The tensors of the folder in float64, which must be exactly these."""
    found = open_checkpoint(folder)
    there = {name: tensor.shape for name, tensor in found.items()}
    if there != dict(shapes):
        wanted, got = (
            ", ".join(f"{name} {list(shape)}" for name, shape in sorted(one.items()))
            for one in (shapes, there)
        )
        raise CheckpointError(
            f"{folder} must hold {wanted}, as its config.json says, not {got or 'nothing'}"
        )
    return {name: tensor.read(np.float64) for name, tensor in found.items()}


def _check_width(name: str, before: int, wanted: int) -> int:
    if before != wanted:
        raise ConfigError(f"{name} must follow a vector of {wanted} numbers, not of {before}")
    return wanted
