"""Checks of arguments that many rooms make, each in one place with one sentence for its error."""

from __future__ import annotations

import contextlib
import operator
import sys
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Array
from .errors import InputError

# What is shown of a value in an error.
_EXCERPT = 60


def check_count(name: str, value: Any, low: int, high: int | None = None) -> int:
    """A whole number of at least ``low`` (and at most ``high``). Raises InputError."""
    with contextlib.suppress(TypeError):
        number = operator.index(value)
        if not isinstance(value, bool) and number >= low and (high is None or number <= high):
            return number
    wanted = f"of at least {low}" if high is None else f"in [{low}, {high}]"
    raise InputError(f"{name} must be a whole number {wanted}, not {excerpt(value)}")


def check_flag(
    name: str, value: Any, error: type[ValueError] = InputError, what: str = "True or False"
) -> bool:
    """``True`` or ``False``, NumPy's too. Raises ``error``."""
    if not isinstance(value, (bool, np.bool_)):
        raise error(f"{name} must be {what}, not {excerpt(value)}")
    return bool(value)


def pick_flag(name: str, asked: bool | None, default: bool) -> bool:
    """What a call asked for, or ``default`` for ``None``. Raises InputError."""
    return default if asked is None else check_flag(name, asked, what="True, False or None")


def is_name_of(value: object, names: Container[str]) -> bool:
    """Whether ``value`` is one of ``names``; what cannot be a key of a dictionary is none."""
    return isinstance(value, str) and value in names


def check_path(
    name: str, value: Any, error: type[ValueError] = InputError, what: str = "a folder's"
) -> Path:
    """A path from a ``str`` or one. Raises ``error``."""
    try:
        return Path(value)
    except TypeError:
        raise error(f"{name} must be {what}, not {excerpt(value)}") from None


def check_patterns(name: str, value: Any) -> list[str]:
    """A list or tuple of ``str``, as a list. Raises InputError."""
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return list(value)
    raise InputError(f"{name} must be a list of patterns, not {excerpt(value)}")


def as_array(name: str, value: Any) -> Array:
    """``value`` as NumPy reads it. Raises InputError where it cannot, and for a masked array."""
    # numpy.ma is not asked: it is not imported before somebody needs it, and cannot be at the end.
    if isinstance(value, np.ndarray) and hasattr(value, "mask"):
        raise InputError(
            f"{name} must be an array without a mask of its own, not a masked array: "
            "give its data, and what is attended to as attention_mask"
        )
    try:
        array: Array = np.asarray(value)
    except ValueError:
        if isinstance(value, (list, tuple)):
            raise InputError(
                f"{name} must be an array with rows of one length, not a ragged list"
            ) from None
        raise _unreadable(name, value) from None
    except Exception:  # another library's array raises what it likes
        raise _unreadable(name, value) from None
    return array


def _unreadable(name: str, value: object) -> InputError:
    error = sys.exc_info()[1]
    return InputError(
        f"{name} must be what NumPy can read, not this {type(value).__name__} "
        f"({excerpt(str(error))}): a tensor of PyTorch is read as tensor.detach().float().numpy()"
    )


def excerpt(value: object) -> str:
    """``value`` for an error, its end left out where it is long."""
    shown = repr(value)
    return shown if len(shown) <= _EXCERPT else shown[: _EXCERPT - 3] + "..."
