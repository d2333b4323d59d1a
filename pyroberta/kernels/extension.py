"""The compiled extension: whether it is there, which of its builds runs, on how many threads."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np

from ..checks import check_count
from ..compute_types import COMPUTE_TYPES
from ..errors import ConfigError
from ..version import __version__
from .threads import MOST_THREADS, default_num_threads


@functools.cache
def _load_core() -> ModuleType | None:
    name = "pyroberta._core"
    try:
        _core = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        warnings.warn(
            f"pyroberta's compiled kernels are not in {Path(__file__).parents[1]}: models run on "
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
    """The compiled extension; once it is here, ``import _core`` has the types of its stub."""
    module = _load_core()
    if module is None:
        raise ImportError("pyroberta must have been built with its compiled extension")
    return module


def available_isas() -> list[str]:
    """The builds of the kernels that this CPU can run, fastest first."""
    core()
    from .. import _core

    return [isa for isa in _core.built_isas() if _core.find_kernels(isa) is not None]


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


def build_in_use() -> str:
    """The name of the kernels that native models run on: a build's, or ``"reference"``."""
    return chosen_isa() if has_core() else "reference"


def set_num_threads(n: int) -> None:
    """Set the number of threads of every native call from now on.

    Raises:
        InputError: ``n`` is not a whole number in [1, 1024].
    """
    n = check_count("n", n, 1, MOST_THREADS)
    if has_core():
        core().set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads of a native call; see ``default_num_threads`` for the first value."""
    if not has_core():
        return 1
    number: int = core().get_num_threads()
    return number


def show_config() -> None:
    """Print what runs here: builds of the kernels, threads, versions.

    Example:
        >>> pyroberta.show_config()  # doctest: +SKIP
        pyroberta  0.1.0
        kernels    avx512 (built: amx avx512 avx2 scalar; can run here: avx512 avx2 scalar)
        ...
    """
    import safetensors

    lines = {"pyroberta": __version__}
    if has_core():
        lines["kernels"] = (
            f"{chosen_isa()} (built: {' '.join(core().built_isas())}; "
            f"can run here: {' '.join(available_isas())})"
        )
        lines["threads"] = f"{get_num_threads()} ({core().threads})"
    else:
        lines["kernels"] = "reference (the compiled extension is missing)"
    lines["compute types"] = " ".join(COMPUTE_TYPES)
    lines["Python"] = sys.version.split()[0]
    lines["numpy"] = np.__version__
    lines["safetensors"] = safetensors.__version__
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:{width}}  {value}")
