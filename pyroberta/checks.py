"""Checks of arguments that many rooms make, each in one place with one sentence for its error."""

from __future__ import annotations

import contextlib
import operator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError

# What is shown of a value in an error.
_EXCERPT = 60


def check_count(name: str, value: Any, low: int) -> int:
    """A whole number of at least ``low``. Raises InputError."""
    with contextlib.suppress(TypeError):
        number = operator.index(value)
        if not isinstance(value, bool) and number >= low:
            return number
    raise InputError(f"{name} must be a whole number of at least {low}, not {value!r}")


def check_flag(
    name: str, value: Any, error: type[ValueError] = InputError, what: str = "True or False"
) -> bool:
    """``True`` or ``False``, NumPy's too. Raises ``error``."""
    if not isinstance(value, (bool, np.bool_)):
        raise error(f"{name} must be {what}, not {value!r}")
    return bool(value)


def pick_flag(name: str, asked: bool | None, default: bool) -> bool:
    """What a call asked for, or ``default`` for ``None``. Raises InputError."""
    return default if asked is None else check_flag(name, asked, what="True, False or None")


def check_path(
    name: str, value: Any, error: type[ValueError] = InputError, what: str = "a folder's"
) -> Path:
    """A path from a ``str`` or one. Raises ``error``."""
    try:
        return Path(value)
    except TypeError:
        raise error(f"{name} must be {what}, not {value!r}") from None


def excerpt(value: object) -> str:
    """``value`` for an error, its end left out where it is long."""
    shown = repr(value)
    return shown if len(shown) <= _EXCERPT else shown[: _EXCERPT - 3] + "..."
