"""The activations: the names of each, and its formula.

An activation's number in C++ is its place in ``ACTIVATIONS``: ``csrc/activations.inc`` has the same
names in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .arrays import Array
from .checks import excerpt
from .errors import ConfigError

_erfc_object = np.frompyfunc(math.erfc, 1, 1)


def _erfc(x: Array) -> Array:
    """The complementary error function by the C library, in the dtype of ``x``."""
    values: Array = np.asarray(_erfc_object(x.astype(np.float64)), dtype=np.float64)
    return values.astype(x.dtype, copy=False)


def _sigmoid(x: Array) -> Array:
    # exp of a negative number on both sides, so that nothing overflows.
    e = np.exp(-np.abs(x))
    y: Array = np.where(x >= 0, 1, e) / (1 + e)
    return y


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _gelu(x: Array) -> Array:
    """``x P(X < x) = x / 2 erfc(-x / sqrt(2))`` (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    y: Array = x * (_erfc(-x * math.sqrt(0.5)) * 0.5)
    return y


def _gelu_tanh(x: Array) -> Array:
    """``x / 2 (1 + tanh(u))``, ``u = sqrt(2 / pi) (x + 0.044715 x^3)``, without cancellation."""
    return x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


def _softmax(x: Array) -> Array:
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = e / e.sum(axis=-1, keepdims=True)
    return y


def _log_softmax(x: Array) -> Array:
    d: Array = x - x.max(axis=-1, keepdims=True)
    y: Array = d - np.log(np.exp(d).sum(axis=-1, keepdims=True))
    return y


# Each formula once, in the order of csrc/activations.inc, in the dtype of ``x``; softmax and
# log-softmax go over the last axis. selu's constants: Klambauer et al. 2017, arXiv:1706.02515.
# hard_sigmoid and hard_silu have Axon's slopes (0.2 x + 0.2), hard_swish has PyTorch's.
FORMULAS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "gelu_clipped": lambda x: np.clip(_gelu(x), -10, 10),
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu_squared": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x < 0, 0.01 * x, x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.2, 0, 1),
    "hard_silu": lambda x: x * np.clip(0.2 * x + 0.2, 0, 1),
    "hard_swish": lambda x: x * (np.clip(x + 3, 0, 6) / 6),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exp": np.exp,
    "elu": _elu,
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * _elu(x)),
    "softplus": _softplus,
    "log_sigmoid": lambda x: -_softplus(-x),
    "sqrt_softplus": lambda x: np.sqrt(_softplus(x)),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "laplace": lambda x: 0.5 * _erfc((0.707107 - x) / (0.282095 * math.sqrt(2))),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
}

ACTIVATIONS = tuple(FORMULAS)

# Other names for the same functions, in Hugging Face's and in Bumblebee's (Axon's) configurations.
ALIASES = {
    "celu": "elu",  # both at alpha = 1
    "gelu_10": "gelu_clipped",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_python": "gelu",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "hardswish": "hard_swish",
    "relu2": "relu_squared",
    "sqrtsoftplus": "sqrt_softplus",
    "swish": "silu",
}

# What Hugging Face calls the functions that have another name there.
HF_NAMES = {
    "gelu_clipped": "gelu_10",
    "gelu_tanh": "gelu_pytorch_tanh",
    "hard_swish": "hardswish",
    "relu_squared": "relu2",
    "sqrt_softplus": "sqrtsoftplus",
}

# Names that the ancestors know and that cannot stand between the two layers of a block.
REFUSED = {
    "log_sum_exp": "it reduces a row to one number, which no layer can follow",
    "log_sumexp": "it reduces a row to one number, which no layer can follow",
    "prelu": "it has a weight of its own, which checkpoints of this family do not hold",
    "xielu": "it has weights of its own, which checkpoints of this family do not hold",
}


def canonical_activation(name: str) -> str:
    """The entry of ``ACTIVATIONS`` that ``name`` means. Raises ConfigError for any other name."""
    name = ALIASES.get(name, name)
    if name in ACTIVATIONS:
        return name
    if name in REFUSED:
        raise ConfigError(f"activation must not be {excerpt(name)}: {REFUSED[name]}")
    known = ", ".join(sorted({*ACTIVATIONS, *ALIASES}))
    raise ConfigError(f"activation must be one of {known}, not {excerpt(name)}")


def activation_index(name: str) -> int:
    """The place in ``ACTIVATIONS`` of the function that ``name`` means: its number in C++."""
    return ACTIVATIONS.index(canonical_activation(name))
