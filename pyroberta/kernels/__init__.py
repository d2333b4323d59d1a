"""The one door to the kernels: on which backend, in which compute type, on which build.

``contract.py`` is what every backend gives; ``native.py`` and ``extension.py`` are the only files
that know the compiled extension.
"""

from __future__ import annotations

from ..checks import is_name_of
from ..compute_types import COMPUTE_TYPES
from ..errors import ConfigError
from .contract import HeadLinear, Kernels, RunResult
from .extension import (
    available_isas,
    build_in_use,
    chosen_isa,
    core,
    get_num_threads,
    has_core,
    set_num_threads,
    show_config,
)
from .native import NativeKernels, layout_family
from .numpy_backend import ReferenceKernels

__all__ = [
    "HeadLinear",
    "Kernels",
    "NativeKernels",
    "ReferenceKernels",
    "RunResult",
    "available_isas",
    "build_in_use",
    "choose_kernels",
    "chosen_isa",
    "core",
    "get_num_threads",
    "has_core",
    "layout_family",
    "set_num_threads",
    "show_config",
]

_TYPES = {"native": COMPUTE_TYPES, "reference": ("float64", *COMPUTE_TYPES)}


def choose_kernels(backend: str, compute_type: str) -> Kernels:
    """The kernels for ``backend`` (``"native"`` or ``"reference"``) and ``compute_type``.

    Where the package was built without its extension, native means the reference, in float32.

    Raises:
        ConfigError: another name.
    """
    if not is_name_of(backend, _TYPES):
        raise ConfigError(f"backend must be 'native' or 'reference', not {backend!r}")
    if not is_name_of(compute_type, _TYPES[backend]):
        names = " or ".join(repr(name) for name in _TYPES[backend])
        raise ConfigError(
            f"compute_type must be {names} on the {backend} backend, not {compute_type!r}"
        )
    if backend == "native" and has_core():
        return NativeKernels(compute_type)
    return ReferenceKernels(compute_type)
