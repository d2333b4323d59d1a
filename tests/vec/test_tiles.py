"""The tiles of csrc/vec/amx.h by its words: in plain C++, and AMX's own where it runs."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest
from vec.compiled import library, runs_here
from vec.numbers import RNG, bfloat16_of

TILES = {"emulated-amx": ["-DPYROBERTA_EMULATE_AMX"]} | ({"amx": []} if runs_here("amx") else {})
WHOLE = [16] * 8
DOTS = [(0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7)]


class Tiles:
    """Eight tiles of [rows, row_bytes]."""

    def __init__(self, *options: str) -> None:
        self._library = library("tiles.cpp", *options)

    def set_shapes(self, rows: list[int], row_bytes: list[int]) -> None:
        self.rows, self.row_bytes = rows, row_bytes
        shapes = (ctypes.c_uint8 * 8)(*rows), (ctypes.c_uint16 * 8)(*row_bytes)
        self._library.tiles_set_shapes(*shapes)

    def release(self) -> None:
        self._library.tiles_release()

    def clear(self, tile: int) -> None:
        self._library.tiles_clear(tile)

    def load(self, tile: int, array: np.ndarray) -> None:
        """``array``: bytes [rows, anything], of which the first of each row are the tile's."""
        address, stride = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.strides[0])
        self._library.tiles_load(tile, address, stride)

    def stored(self, tile: int, gap: int = 0) -> np.ndarray:
        """What the tile stores into 16 rows of 64 bytes, ``gap`` apart, of 0xA5."""
        out = np.full((17, 64 + gap), 0xA5, np.uint8)
        address, stride = ctypes.c_void_p(out.ctypes.data), ctypes.c_size_t(out.strides[0])
        self._library.tiles_store(tile, address, stride)
        assert np.all(out[:, 64:] == 0xA5)
        assert np.all(out[16] == 0xA5)
        return np.ascontiguousarray(out[:16, :64])

    def dot(self, kind: str, c: int) -> None:
        getattr(self._library, f"tiles_dot_{kind}")(c)


@pytest.fixture(params=TILES)
def tiles(request: pytest.FixtureRequest) -> Iterator[Tiles]:
    here = Tiles(*TILES[request.param])
    yield here
    here.release()


def some_bytes(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("gap", [0, 4, 64])
def test_a_tile_stores_what_it_loaded(tiles, gap):
    tiles.set_shapes(WHOLE, [64] * 8)
    given = some_bytes(8, 16, 64 + gap)
    for tile in range(8):
        tiles.load(tile, given[tile])
    for tile in range(8):
        np.testing.assert_array_equal(tiles.stored(tile, gap), given[tile][:, :64])


def test_only_what_the_shape_says_is_loaded_and_stored(tiles):
    rows, row_bytes = [1, 2, 3, 7, 8, 11, 15, 16], [4, 64, 60, 32, 8, 64, 12, 64]
    tiles.set_shapes(rows, row_bytes)
    given = some_bytes(8, 16, 64)
    for tile in range(8):
        tiles.load(tile, given[tile])
    for tile in range(8):
        want = np.full((16, 64), 0xA5, np.uint8)
        inside = np.ix_(range(rows[tile]), range(row_bytes[tile]))
        want[inside] = given[tile][inside]
        np.testing.assert_array_equal(tiles.stored(tile), want)


def test_set_shapes_and_clear_make_zeros(tiles):
    tiles.set_shapes(WHOLE, [64] * 8)
    given = some_bytes(16, 64) | 1
    for tile in range(8):
        tiles.load(tile, given)
    for cleared in range(8):
        tiles.clear(cleared)
        for tile in range(8):
            want = given if tile > cleared else np.zeros_like(given)
            np.testing.assert_array_equal(tiles.stored(tile), want)
    for tile in range(8):
        tiles.load(tile, given)
    tiles.set_shapes(WHOLE, [64] * 8)
    assert not any(tiles.stored(tile).any() for tile in range(8))


def shapes(rows: int, words: int) -> tuple[list[int], list[int]]:
    """Tiles of so many rows of C and A, and words in a row of A."""
    return [rows] * 6 + [words] * 2, [64] * 4 + [4 * words] * 2 + [64] * 2


def load_words(tiles: Tiles, tile: int, words: np.ndarray) -> None:
    """Load [rows, columns] words of four bytes."""
    padded = np.zeros((16, 64), np.uint8)
    as_bytes = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
    padded[: len(words), : as_bytes.shape[1]] = as_bytes
    tiles.load(tile, padded)


@pytest.mark.parametrize(("rows", "words"), [(16, 16), (1, 16), (5, 16), (16, 3), (7, 9)])
@pytest.mark.parametrize(("c", "a", "b"), DOTS)
def test_dot_int8(tiles, c, a, b, rows, words):
    tiles.set_shapes(*shapes(rows, words))
    x = RNG.integers(0, 256, (rows, words, 4)).astype(np.uint8)
    w = RNG.integers(-128, 128, (words, 16, 4)).astype(np.int8)
    before = RNG.integers(-(2**30), 2**30, (rows, 16)).astype(np.int32)
    for tile, array in ((a, x), (b, w), (c, before)):
        load_words(tiles, tile, array)
    tiles.dot("int8", c)
    want = before + np.einsum("rwi,wni->rn", x.astype(np.int32), w.astype(np.int32))
    np.testing.assert_array_equal(tiles.stored(c).view(np.int32)[:rows], want)


# AMX itself refuses a product of such tiles; in plain C++ it shows what a load leaves beyond them.
@pytest.mark.parametrize("tiles", ["emulated-amx"], indirect=True)
def test_a_load_leaves_zeros_beyond_its_shape(tiles):
    tiles.set_shapes(WHOLE, [64] * 6 + [32] * 2)
    x, w = some_bytes(16, 64) | 1, some_bytes(16, 64) | 1
    tiles.load(4, x)
    tiles.load(6, w)
    tiles.clear(0)
    tiles.dot("int8", 0)
    product = tiles.stored(0).view(np.int32)
    assert product[:, :8].any(axis=0).all()
    assert not product[:, 8:].any()


@pytest.mark.parametrize(("rows", "words"), [(16, 16), (1, 16), (5, 16), (16, 3), (7, 9)])
@pytest.mark.parametrize(("c", "a", "b"), DOTS)
def test_dot_bfloat16(tiles, c, a, b, rows, words):
    def check(x: np.ndarray, w: np.ndarray, before: np.ndarray, roundings: int) -> None:
        tiles.set_shapes(*shapes(rows, words))
        for tile, array in ((a, x), (b, w)):
            load_words(tiles, tile, (array.view(np.uint32) >> 16).astype(np.uint16))
        load_words(tiles, c, before)
        tiles.dot("bfloat16", c)
        x, w, before = (array.astype(np.float64) for array in (x, w, before))
        want = before + np.einsum("rwi,wni->rn", x, w)
        size = np.abs(before) + np.einsum("rwi,wni->rn", np.abs(x), np.abs(w))
        got = tiles.stored(c).view(np.float32)[:rows]
        assert np.all(np.abs(got - want) <= roundings * 2.0**-24 * size)

    def whole(*shape: int) -> np.ndarray:
        return RNG.integers(-99, 100, shape).astype(np.float32)

    def numbers(*shape: int) -> np.ndarray:
        return bfloat16_of(RNG.standard_normal(shape).astype(np.float32))

    # Whole numbers are exact in any order.
    check(whole(rows, words, 2), whole(words, 16, 2), whole(rows, 16), 0)
    check(numbers(rows, words, 2), numbers(words, 16, 2), numbers(rows, 16), 2 * words + 2)
