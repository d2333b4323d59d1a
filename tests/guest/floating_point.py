"""The C library's floating-point environment, for what a program around the model may set."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterator

import pytest

UPWARD, DOWNWARD, TOWARD_ZERO = 0x800, 0x400, 0xC00
INVALID, DIVISION, OVERFLOW, UNDERFLOW, INEXACT = 1, 4, 8, 16, 32
_MXCSR = 28  # where glibc's fenv_t has it

on_glibc = pytest.mark.skipif(
    not (sys.platform.startswith("linux") and platform.machine() == "x86_64")
    or platform.libc_ver()[0] != "glibc",
    reason="sets the environment as glibc on x86-64 keeps it",
)


def control_word() -> int:
    """This thread's MXCSR."""
    return int.from_bytes(_environment()[_MXCSR : _MXCSR + 4], "little")


def _environment() -> bytes:
    buffer = ctypes.create_string_buffer(32)
    ctypes.CDLL("libm.so.6").fegetenv(buffer)
    return buffer.raw


@contextlib.contextmanager
def set_to(rounding: int = 0, traps: int = 0, subnormals_as_zero: bool = False) -> Iterator[None]:
    """Another environment in this thread: a rounding mode, exceptions that trap, subnormals."""
    libm, before = ctypes.CDLL("libm.so.6"), _environment()
    try:
        libm.fesetround(rounding)
        libm.feenableexcept(traps)
        if subnormals_as_zero:
            changed = bytearray(_environment())
            word = int.from_bytes(changed[_MXCSR : _MXCSR + 4], "little") | 0x8040
            changed[_MXCSR : _MXCSR + 4] = word.to_bytes(4, "little")
            libm.fesetenv(bytes(changed))
        yield
    finally:
        libm.fesetenv(before)
