"""The names of activations: which function each one means.

``ACTIVATIONS`` is in the order of ``enum class Activation`` in ``csrc/kernels.h``; the formulas
are in ``reference.py``.
"""

from __future__ import annotations

from .errors import ConfigError

ACTIVATIONS = (
    "linear",
    "gelu",
    "gelu_tanh",
    "gelu_clipped",
    "quick_gelu",
    "relu",
    "relu_squared",
    "relu6",
    "leaky_relu",
    "tanh",
    "sigmoid",
    "silu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "softsign",
    "exp",
    "elu",
    "selu",
    "softplus",
    "log_sigmoid",
    "sqrt_softplus",
    "mish",
    "laplace",
    "softmax",
    "log_softmax",
)

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
        raise ConfigError(f"activation must not be {name!r}: {REFUSED[name]}")
    known = ", ".join(sorted({*ACTIVATIONS, *ALIASES}))
    raise ConfigError(f"activation must be one of {known}, not {name!r}")


def activation_index(name: str) -> int:
    """The place in ``ACTIVATIONS`` of the function that ``name`` means: its number in C++."""
    return ACTIVATIONS.index(canonical_activation(name))
