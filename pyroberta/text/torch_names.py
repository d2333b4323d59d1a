"""Activations that sentence-transformers names by a class of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..activations import FORMULAS
from ..arrays import Array
from ..checks import excerpt
from ..errors import ConfigError

# The classes of torch.nn whose default is a formula of ours.
_ACTIVATIONS = {
    "Identity": "linear",
    "Tanh": "tanh",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "LeakyReLU": "leaky_relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Hardswish": "hard_swish",
    "Hardtanh": "hard_tanh",
    "Softsign": "softsign",
    "ELU": "elu",
    "CELU": "elu",
    "SELU": "selu",
    "Softplus": "softplus",
    "LogSigmoid": "log_sigmoid",
    "Mish": "mish",
}


def torch_activation(named: Any, name: str) -> Callable[[Array], Array]:
    """The formula of a class such as ``torch.nn.modules.activation.Tanh``.

    Args:
        named: the class's full name.
        name: what holds it, for errors.

    Raises:
        ConfigError: it is none that is computed here.
    """
    module, _, kind = named.rpartition(".") if isinstance(named, str) else ("", "", "")
    if module.split(".")[:2] != ["torch", "nn"] or kind not in _ACTIVATIONS:
        raise ConfigError(
            f"{name} must be a class of torch.nn among {', '.join(_ACTIVATIONS)}, "
            f"not {excerpt(named)}"
        )
    return FORMULAS[_ACTIVATIONS[kind]]
