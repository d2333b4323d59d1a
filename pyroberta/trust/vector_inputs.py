"""Hard inputs for each function of the model, in three types of numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..activations import ACTIVATIONS
from ..arrays import Array
from ..compute_types import round_bfloat16

# Inputs are numbers of this type, so that an implementation in it reads them without rounding.
TYPES = ("float32", "float64", "bfloat16")
# The functions whose value at infinity is plain.
_AT_INFINITY = (
    *("linear", "relu", "relu6", "leaky_relu", "tanh", "sigmoid", "hard_sigmoid", "hard_tanh"),
    *("exp", "elu", "selu", "softplus"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One function and inputs.

    Attributes:
        name: e.g. ``"gelu.float32"``.
        function: what is computed; see the README that is written beside the vectors.
        inputs: by name, float64 or int64.
        parameters: numbers and flags.
    """

    name: str
    function: str
    inputs: dict[str, Array]
    parameters: dict[str, Any]


def all_cases() -> Iterator[Case]:
    """Every case, in order."""
    for kind in TYPES:
        rng = np.random.default_rng([7, TYPES.index(kind)])
        for activation in ACTIVATIONS:
            if activation not in ("softmax", "log_softmax"):
                x = _numbers(kind, activation)[None]
                function = "identity" if activation == "linear" else activation
                yield Case(f"{function}.{kind}", function, {"x": x}, {})
        for maker in (_softmax, _layer_norm, _linear, _attention, _model_parts):
            for name, function, inputs, parameters in maker(kind, rng):
                typed = {
                    key: value if value.dtype == np.int64 else rounded(kind, value)
                    for key, value in inputs.items()
                }
                yield Case(f"{name}.{kind}", function, typed, parameters)
    yield from _positions()


def rounded(kind: str, x: Array) -> Array:
    """Numbers of a type, as float64."""
    with np.errstate(over="ignore"):
        if kind == "bfloat16":
            return round_bfloat16(np.asarray(x, np.float32)).astype(np.float64)
        return np.asarray(x, np.float64).astype(kind).astype(np.float64)


def _numbers(kind: str, activation: str) -> Array:
    """Zeros, subnormals, numbers around every bend, large ones."""
    info = np.finfo(np.float64 if kind == "float64" else np.float32)
    tiny, least = float(info.tiny), float(info.smallest_subnormal)
    if kind == "bfloat16":
        least = 2.0**-133
    most = float(info.max) if kind != "bfloat16" else float(np.uint32(0x7F7F0000).view(np.float32))
    small = [least, 3 * least, tiny / 4, tiny, 1.5 * tiny, 1e-20, 1e-10, 1e-6, 2.0**-12, 1e-3]
    bends = [0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 2.9375, 3.0, 3.0625, 4.0, 5.0, 5.5, 6.0, 6.0625]
    large = [8.0, 9.5, 10.0, 10.5, 13.0, 20.0, 27.0, 38.0, 60.0, 87.0, 88.5, 103.5, 1e3, 1e10, most]
    if kind == "float64":
        large += [700.0, 709.5, 744.5, 1e100]
    positive = [*small, *bends, *large, *np.linspace(0.05, 7.9, 40).tolist()]
    x = np.array([0.0, *positive])
    both = rounded(kind, np.concatenate([x, -x]))
    if activation in ("exp", "relu_squared"):  # which overflow
        both = both[np.abs(both) < (1e150 if kind == "float64" else 1e15)]
        both = both[both < (700 if kind == "float64" else 85)] if activation == "exp" else both
    if activation in _AT_INFINITY:
        both = np.concatenate([both, [np.inf, -np.inf]])
    return both


Made = Iterator[tuple[str, str, dict[str, Array], dict[str, Any]]]


def _softmax(kind: str, rng: np.random.Generator) -> Made:
    large = 1e30
    x = np.stack(
        [
            rng.standard_normal(9),
            rng.standard_normal(9) * 20,
            np.zeros(9),
            np.full(9, -3.5),
            np.linspace(-100, 0, 9),
            np.where(np.arange(9) == 4, large, -large),
            1e4 + np.arange(9) * 0.5,
            np.where(np.arange(9) < 5, rng.standard_normal(9), -np.inf),
            np.where(np.arange(9) == 8, 1.0, -np.inf),
        ]
    )
    yield "softmax", "softmax", {"x": x}, {}
    yield "log_softmax", "log_softmax", {"x": x[:7]}, {}
    yield "softmax of one", "softmax", {"x": np.array([[3.25]])}, {}


def _layer_norm(kind: str, rng: np.random.Generator) -> Made:
    plain = rng.standard_normal((4, 16))
    rows = {
        "plain": plain,
        "far from 0": plain * 0.01 + 1000,
        "one large": np.where(np.arange(16) == 3, 1e4, plain),
        "large": plain * 1e15,
        "small": plain * 1e-15,
        "alternating": np.where(np.arange(16) % 2, 1.0, -1.0) * np.ones((2, 1)),
    }
    gamma, beta = 1 + 0.3 * rng.standard_normal(16), 0.5 * rng.standard_normal(16)
    for name, x in rows.items():
        inputs = {"x": x, "gamma": gamma, "beta": beta}
        yield f"layer_norm {name}", "layer_norm", inputs, {"eps": 1e-5}
    inputs = {"x": plain, "gamma": gamma, "beta": beta}
    yield "layer_norm with a small epsilon", "layer_norm", inputs, {"eps": 1e-12}
    constant = {"x": np.full((2, 16), 2.5), "gamma": gamma, "beta": beta}
    yield "layer_norm constant", "layer_norm", constant, {"eps": 1e-5}


def _linear(kind: str, rng: np.random.Generator) -> Made:
    x, w, b = rng.standard_normal((3, 24)), rng.standard_normal((5, 24)), rng.standard_normal(5)
    yield "linear plain", "linear", {"x": x, "weight": w, "bias": b}, {}
    yield "linear without a bias", "linear", {"x": x, "weight": w}, {}
    # Terms that cancel: what is left is far smaller than they are.
    half = rng.standard_normal((3, 12)) * 1e4
    pair, side = np.concatenate([half, half], 1), rng.standard_normal((5, 12))
    off = np.concatenate([side, -side * (1 + 2.0**-7)], 1)
    yield "linear with cancellation", "linear", {"x": pair, "weight": off, "bias": b}, {}
    # A sum that is half-way between two numbers of the type, and even at either side.
    ulp = {"float32": 2.0**-23, "float64": 2.0**-52, "bfloat16": 2.0**-7}[kind]
    ties = np.array([[1.0, ulp / 2], [1 + ulp, ulp / 2], [1.0, -ulp / 4], [-1.0, -ulp / 2]])
    yield "linear with ties", "linear", {"x": ties, "weight": np.ones((1, 2))}, {}
    zeros = {"x": np.array([[0.0, -0.0], [1.0, -1.0]]), "weight": np.ones((2, 2))}
    yield "linear of zeros", "linear", zeros, {}
    tiny = float(np.finfo(np.float64 if kind == "float64" else np.float32).tiny)
    small = np.array([[tiny, tiny / 2, -tiny / 4]])
    yield "linear of subnormals", "linear", {"x": small, "weight": np.ones((1, 3)) * 0.5}, {}
    large = np.array([[1e18, -1e18, 3.0]])
    yield "linear of large numbers", "linear", {"x": large, "weight": np.ones((1, 3)) * 1e15}, {}


def _attention(kind: str, rng: np.random.Generator) -> Made:
    q, k, v = (rng.standard_normal((n, 8)) for n in (4, 6, 6))
    inputs = {"q": q, "k": k, "v": v}
    masks = (("all keys", 6), ("causal", 1), ("causal after a cache", 3))
    for name, visible in masks:
        given = {"visible": visible, "scale": 0.25, "head_weight": 1.0}
        yield f"attention, {name}", "attention", inputs, given
        only = {"q": q, "k": k}
        yield f"attention weights, {name}", "attention_weights", only, given
    far = {"q": q * 100, "k": k * 100, "v": v}
    yield (
        "attention, far scores",
        "attention",
        far,
        {
            "visible": 6,
            "scale": 0.25,
            "head_weight": 0.5,
        },
    )
    same = {"q": q, "k": np.repeat(k[:1], 6, 0), "v": v}
    yield (
        "attention, equal keys",
        "attention",
        same,
        {
            "visible": 6,
            "scale": 0.25,
            "head_weight": 1.0,
        },
    )


def _model_parts(kind: str, rng: np.random.Generator) -> Made:
    wide = 8

    def draw(*shape: int) -> Array:
        return rng.standard_normal(shape)

    norm = {"gamma": 1 + 0.3 * draw(wide), "beta": 0.3 * draw(wide)}
    ids = np.array([0, 5, 3, 2, 11], np.int64)
    tables = {
        "word": draw(12, wide),
        "type": draw(2, wide),
        "position": draw(9, wide),
        "ids": ids,
        "types": np.array([0, 0, 1, 1, 0], np.int64),
        "positions": np.array([2, 3, 4, 5, 1], np.int64),
    }
    yield "embeddings", "embeddings", tables | norm, {"eps": 1e-5}
    dense = {"x": draw(3, wide), "weight": draw(wide, wide), "bias": draw(wide)}
    yield "pooler", "pooler", dense, {}
    out = {"out_weight": draw(3, wide), "out_bias": draw(3)}
    yield "sequence classification head", "classification_head", dense | out, {}
    head = {"table": draw(12, wide), "table_bias": draw(12)}
    yield "language-model head", "lm_head", dense | norm | head, {"eps": 1e-5}


def _positions() -> Iterator[Case]:
    ids = np.array(
        [[0, 7, 8, 2, 1, 1], [1, 1, 0, 7, 8, 2], [0, 1, 7, 1, 2, 1], [5, 6, 7, 8, 9, 3]], np.int64
    )
    for pad in (1, 0, 9):
        yield Case(f"positions, pad {pad}", "positions", {"ids": ids}, {"pad_token_id": pad})
