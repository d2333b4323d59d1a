"""The small BLAS of bundles: each function against NumPy, in every order, transposed, by steps."""

from __future__ import annotations

import ctypes
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyroberta

LIBRARY = Path(pyroberta.__file__).with_name("_small_blas.so")
pytestmark = pytest.mark.skipif(
    not LIBRARY.is_file(), reason="the small BLAS is built on Linux alone"
)

TYPES = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}
SCALARS = {"s": ctypes.c_float, "d": ctypes.c_double}
ROW, COLUMN = 101, 102
NO, TRANSPOSED, CONJUGATED = 111, 112, 113
UPPER, LOWER = 121, 122
SIZES = [(0, 3, 2), (1, 1, 1), (5, 3, 7), (17, 8, 0), (4, 33, 9)]


@pytest.fixture(params=TYPES)
def letter(request):
    return request.param


def function(letter: str, name: str) -> Any:
    found = getattr(ctypes.CDLL(str(LIBRARY)), f"scipy_cblas_{letter}{name}64_")
    found.restype = SCALARS[letter] if name == "dot" else None
    return found


def draw(rng: np.random.Generator, letter: str, *shape: int) -> Any:
    values = rng.standard_normal(shape)
    if letter in "cz":
        values = values + 1j * rng.standard_normal(shape)
    return np.ascontiguousarray(values, TYPES[letter])


def scalar(letter: str, value: complex) -> Any:
    """As the functions take it: real ones by value, complex ones by address."""
    if letter in SCALARS:
        return SCALARS[letter](value.real)
    return np.array([value], TYPES[letter]).ctypes.data_as(ctypes.c_void_p)


def at(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def long(n: int) -> ctypes.c_int64:
    return ctypes.c_int64(n)


def check(letter: str, got: Any, wanted: Any) -> None:
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4 if letter in "sc" else 1e-12)


def stored(matrix: Any, order: int, extra: int) -> tuple[Any, int]:
    """A matrix as it stands in memory, with lines longer by ``extra``, and their length."""
    lines = matrix if order == ROW else matrix.T
    room = np.full((lines.shape[0], lines.shape[1] + extra), 9, matrix.dtype)
    room[:, : lines.shape[1]] = lines
    return room, room.shape[1]


def taken(room: Any, shape: tuple[int, int], order: int) -> Any:
    rows, cols = shape if order == ROW else shape[::-1]
    lines = room[:rows, :cols]
    return lines if order == ROW else lines.T


def applied(matrix: Any, how: int) -> Any:
    return {NO: matrix, TRANSPOSED: matrix.T, CONJUGATED: matrix.conj().T}[how]


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_gemm(letter, m, n, k):
    rng = np.random.default_rng(0)
    alpha, beta = 0.5 - 0.25j * (letter in "cz"), -1.5 + 2j * (letter in "cz")
    for order, left, right in itertools.product(
        (ROW, COLUMN), (NO, TRANSPOSED, CONJUGATED), (NO, TRANSPOSED, CONJUGATED)
    ):
        a = draw(rng, letter, *((m, k) if left == NO else (k, m)))
        b = draw(rng, letter, *((k, n) if right == NO else (n, k)))
        c = draw(rng, letter, m, n)
        (a_room, lda), (b_room, ldb) = stored(a, order, 2), stored(b, order, 1)
        for factor in (beta, 0):
            c_room, ldc = stored(c, order, 3)
            if factor == 0:
                c_room[:] = np.nan  # not read where beta is 0
            function(letter, "gemm")(
                *(order, left, right, long(m), long(n), long(k), scalar(letter, alpha)),
                *(at(a_room), long(lda), at(b_room), long(ldb), scalar(letter, factor)),
                *(at(c_room), long(ldc)),
            )
            wanted = alpha * (applied(a, left) @ applied(b, right)) + (factor * c if factor else 0)
            check(letter, taken(c_room, (m, n), order), wanted)


@pytest.mark.parametrize(("m", "n", "_"), SIZES)
@pytest.mark.parametrize(("step_x", "step_y"), [(1, 1), (2, 3), (-1, 2), (1, -2)])
def test_gemv(letter, m, n, _, step_x, step_y):
    rng = np.random.default_rng(1)
    for order, how in itertools.product((ROW, COLUMN), (NO, TRANSPOSED, CONJUGATED)):
        a = draw(rng, letter, m, n)
        rows, cols = applied(a, how).shape
        x, y = draw(rng, letter, cols * abs(step_x)), draw(rng, letter, rows * abs(step_y))
        room, lda = stored(a, order, 2)
        got = y.copy()
        function(letter, "gemv")(
            *(order, how, long(m), long(n), scalar(letter, 0.5), at(room), long(lda)),
            *(at(x), long(step_x), scalar(letter, 2), at(got), long(step_y)),
        )
        wanted = y.copy()
        wanted[by_steps(rows, step_y)] *= 2
        wanted[by_steps(rows, step_y)] += 0.5 * (applied(a, how) @ x[by_steps(cols, step_x)])
        check(letter, got, wanted)


def by_steps(n: int, step: int) -> Any:
    """The places of a vector's elements: a negative step begins at the end."""
    places = np.arange(n) * abs(step)
    return places if step > 0 else places[::-1]


@pytest.mark.parametrize(("n", "k", "_"), SIZES)
def test_syrk(letter, n, k, _):
    rng = np.random.default_rng(2)
    for order, triangle, how in itertools.product((ROW, COLUMN), (UPPER, LOWER), (NO, TRANSPOSED)):
        a = draw(rng, letter, *((n, k) if how == NO else (k, n)))
        c = draw(rng, letter, n, n)
        (room, lda), (c_room, ldc) = stored(a, order, 1), stored(c, order, 2)
        function(letter, "syrk")(
            *(order, triangle, how, long(n), long(k), scalar(letter, 0.5), at(room), long(lda)),
            *(scalar(letter, -2), at(c_room), long(ldc)),
        )
        own = applied(a, how)
        wanted = 0.5 * (own @ own.T) - 2 * c
        part = np.triu if triangle == UPPER else np.tril
        got = taken(c_room, (n, n), order)
        check(letter, part(got), part(wanted))
        check(letter, got - part(got), c - part(c))  # the other triangle stays


@pytest.mark.parametrize("n", [0, 1, 2, 31, 1000])
@pytest.mark.parametrize(("step_x", "step_y"), [(1, 1), (3, 2), (-2, 1), (-1, -3)])
def test_products_and_sums_of_vectors(letter, n, step_x, step_y):
    rng = np.random.default_rng(3)
    x, y = draw(rng, letter, n * abs(step_x)), draw(rng, letter, n * abs(step_y))
    own_x, own_y = x[by_steps(n, step_x)], y[by_steps(n, step_y)]
    given = long(n), at(x), long(step_x), at(y), long(step_y)
    tolerance = 1e-4 if letter in "sc" else 1e-11
    if letter in SCALARS:
        assert function(letter, "dot")(*given) == pytest.approx(float(own_x @ own_y), abs=tolerance)
    else:
        for name, wanted in (("dotu_sub", own_x @ own_y), ("dotc_sub", own_x.conj() @ own_y)):
            got = np.zeros(1, TYPES[letter])
            function(letter, name)(*given, at(got))
            assert got[0] == pytest.approx(complex(wanted), abs=tolerance)
    alpha = 0.5 + 2j if letter in "cz" else 0.5
    wanted = y.copy()
    wanted[by_steps(n, step_y)] += TYPES[letter](alpha) * own_x
    function(letter, "axpy")(
        *(long(n), scalar(letter, alpha), at(x), long(step_x), at(y), long(step_y))
    )
    check(letter, y, wanted)
