"""The small matrices of csrc/vec/neon_matrices.h by its words, where the CPU has them."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from vec.compiled import builds, library, runs_here
from vec.numbers import RNG, any_bits, assert_bits, bfloat16_of

pytestmark = pytest.mark.skipif(
    not runs_here("neon_matrices"), reason="this CPU or this binary cannot run neon_matrices"
)


def call(operation: str, *inputs: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """What an operation gives for vectors of eight words, or leaves in ``out``."""
    result = np.empty(8, np.float32) if out is None else out.view(np.float32).ravel().copy()
    arrays = [np.ascontiguousarray(a).view(np.float32).ravel() for a in (*inputs, result)]
    function = getattr(library("matrices.cpp", *builds()["neon_matrices"]), f"matrices_{operation}")
    function(*(ctypes.c_void_p(a.ctypes.data) for a in arrays))
    return arrays[-1]


def quarters(a: np.ndarray) -> np.ndarray:
    """A vector as [quarter, row, 2 words]."""
    return a.reshape(2, 2, 2)


def test_load_rows():
    p, q = any_bits(2), any_bits(2)
    assert_bits(call("load_rows", p, q), np.concatenate([p, q, p, q]))


@pytest.mark.parametrize(("operation", "row"), [("first_row", 0), ("second_row", 1)])
def test_a_row_of_quarters(operation, row):
    a, b = any_bits(8), any_bits(8)
    want = np.concatenate([quarters(a)[:, row].ravel(), quarters(b)[:, row].ravel()])
    assert_bits(call(operation, a, b), want)


def test_multiply_int8():
    for extreme in [False] * 50 + [True] * 8:
        shape = (2, 2, 2, 8)
        a, b = RNG.integers(-128, 128, shape).astype(np.int8)
        if extreme:  # nothing saturates
            a, b = RNG.choice([-128, 127], shape).astype(np.int8)
        acc = any_bits(8).view(np.int32)
        got = call("multiply_int8", a, b, out=acc).view(np.uint32).reshape(2, 2, 2)
        products = np.einsum("qrk,qck->qrc", a.astype(np.int64), b.astype(np.int64))
        want = (acc.reshape(2, 2, 2) + products).astype(np.uint32)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("whole", [True, False])
def test_multiply_bfloat16(whole):
    for _ in range(200):
        numbers = RNG.standard_normal((2, 2, 2, 4)).astype(np.float32)
        if whole:  # exact in any order
            numbers = RNG.integers(-99, 100, numbers.shape).astype(np.float32)
        a, b = bfloat16_of(numbers)
        acc = (RNG.integers(-99, 100, 8) if whole else RNG.standard_normal(8)).astype(np.float32)
        words = [(x.view(np.uint32) >> 16).astype(np.uint16) for x in (a, b)]
        got = call("multiply_bfloat16", *words, out=acc).reshape(2, 2, 2)
        want = acc.reshape(2, 2, 2) + np.einsum("qrk,qck->qrc", a.astype(np.float64), b)
        size = np.abs(acc).reshape(2, 2, 2) + np.einsum("qrk,qck->qrc", abs(a), abs(b))
        bound = 0 if whole else 5 * 2.0**-24
        assert np.all(np.abs(got - want) <= bound * size)
