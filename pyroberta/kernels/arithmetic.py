"""The arithmetic that a call is computed with, whatever the program around it has set."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import numpy as np

from .extension import core, has_core

_P = ParamSpec("_P")
_R = TypeVar("_R")


@contextlib.contextmanager
def usual_arithmetic() -> Iterator[None]:
    """Rounding to nearest, nothing trapped, no NumPy warning; all as it was after.

    The native kernels see to themselves; this is for what NumPy computes around them: a program
    may have set another rounding mode, unmasked floating-point exceptions, or ``np.seterr``.
    """
    with np.errstate(all="ignore"):
        if not has_core():
            yield
            return
        usual = core().UsualArithmetic()
        usual.enter()
        try:
            yield
        finally:
            usual.leave()


def usual_steps(iterator: Iterator[_R]) -> Iterator[_R]:
    """What the iterator gives, each made in ``usual_arithmetic`` and given out of it."""
    while True:
        with usual_arithmetic():
            try:
                step = next(iterator)
            except StopIteration:
                return
        yield step


def in_usual_arithmetic(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A decorator: the function runs in ``usual_arithmetic``."""

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with usual_arithmetic():
            return function(*args, **kwargs)

    return wrapped
