"""The operations on bfloat16, bytes and ints of each build, by the words of csrc/vec/vec.h."""

from __future__ import annotations

import numpy as np
from vec.compiled import Vectors
from vec.numbers import HARD, RNG, any_bits, assert_bits, bfloat16_of, from_bits, near, wide


def floats(vectors: Vectors) -> np.ndarray:
    (a,) = vectors.rows(np.concatenate([HARD, wide(4000), near(4000), any_bits(20000)]))
    return a


def halves(a: np.ndarray) -> np.ndarray:
    """The bfloat16 of floats, as uint16."""
    return (bfloat16_of(a).view(np.uint32) >> 16).astype(np.uint16)


def same_halves(vectors: Vectors, got: np.ndarray, a: np.ndarray) -> bool:
    """Whether ``got`` are the bfloat16 of a, or zeros of their sign for subnormal ones."""
    want = halves(a)
    flushed = (np.abs(a) < 2.0**-126) & (got == want & 0x8000) & vectors.dots_bfloat16
    return bool(np.all((got == want) | flushed))


def test_even_bfloat16(vectors):
    words = any_bits(100, vectors.lanes)
    want = from_bits(words.view(np.uint32) << 16)
    assert_bits(vectors.give("even_bfloat16", words), want)


def test_odd_bfloat16(vectors):
    words = any_bits(100, vectors.lanes)
    want = from_bits(words.view(np.uint32) & 0xFFFF0000)
    assert_bits(vectors.give("odd_bfloat16", words), want)


def test_round_bfloat16(vectors):
    a = floats(vectors)
    assert_bits(vectors.give("round_bfloat16", a), bfloat16_of(a))


def test_pair_bfloat16(vectors):
    a = floats(vectors)
    b = a[::-1, ::-1].copy()
    got = vectors.give("pair_bfloat16", a, b).view(np.uint32)
    assert same_halves(vectors, (got & 0xFFFF).astype(np.uint16), a)
    assert same_halves(vectors, (got >> 16).astype(np.uint16), b)


def test_store_bfloat16(vectors):
    a = floats(vectors)
    got = vectors.stored("store_bfloat16", a, size=2 * vectors.lanes).view(np.uint16)
    assert same_halves(vectors, got, a)


def test_dot_bfloat16(vectors):
    if not vectors.dots_bfloat16:
        assert vectors.lacks("dot_bfloat16", 3)
        return
    # Whole numbers are exact in any order.
    whole = RNG.integers(-99, 100, (2, 200, vectors.lanes, 2)).astype(np.float32)
    numbers = bfloat16_of(RNG.standard_normal((2, 200, vectors.lanes, 2)).astype(np.float32))
    a, b = np.concatenate([whole, numbers], axis=1)
    acc = np.concatenate([RNG.integers(-99, 100, (200, vectors.lanes)), near(200, vectors.lanes)])
    words = [np.ascontiguousarray(halves(x)).view(np.float32)[..., 0] for x in (a, b)]
    got = vectors.give("dot_bfloat16", *words, acc.astype(np.float32))
    products = a.astype(np.float64) * b
    want = acc.astype(np.float32) + products.sum(axis=-1)
    np.testing.assert_array_equal(got[:200], want[:200])
    magnitude = np.abs(acc) + np.abs(products).sum(axis=-1)
    assert np.all(np.abs(got - want) <= 3 * 2.0**-24 * magnitude)


def test_store_bytes(vectors):
    (a,) = vectors.rows(RNG.permutation(np.arange(-512, 1021, dtype=np.float32) / 4))
    got = vectors.stored("store_bytes", a, size=vectors.lanes)
    np.testing.assert_array_equal(got, np.rint(a).astype(np.int64) & 0xFF)


def test_add_ints(vectors):
    a, b = any_bits(500, vectors.lanes), any_bits(500, vectors.lanes)
    got = vectors.give("add_ints", a, b).view(np.uint32)
    np.testing.assert_array_equal(got, a.view(np.uint32) + b.view(np.uint32))


def test_from_ints(vectors):
    edges = np.array([0, 1, -1, 2**24 + 1, 2**24 + 3, -(2**24) - 1, 2**31 - 1, -(2**31)], np.int32)
    ints = np.concatenate([edges, RNG.integers(-(2**31), 2**31, 4000, np.int32)])
    ints = ints[: ints.size // vectors.lanes * vectors.lanes].reshape(-1, vectors.lanes)
    got = vectors.give("from_ints", ints.view(np.float32))
    assert_bits(got, ints.astype(np.float32))


def products(vectors: Vectors, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What dot_int8 adds to each lane for a and b [count, lanes, numbers in a word]."""
    words = [np.ascontiguousarray(x).view(np.float32)[..., 0] for x in (a, b)]
    acc = any_bits(len(a), vectors.lanes)
    got = vectors.give("dot_int8", *words, acc).view(np.uint32)
    return (got - acc.view(np.uint32)).view(np.int32)


def test_dot_int8(vectors):
    shape = (2000, vectors.lanes)
    if vectors.dots_int8:
        a = RNG.integers(0, 256, (*shape, 4)).astype(np.uint8)
        if vectors.code_offset == 0:
            a = a.view(np.int8)
        b = RNG.integers(-128, 128, (*shape, 4)).astype(np.int8)
        a[:9] = np.iinfo(a.dtype).max  # nothing saturates
        a[:4] = np.iinfo(a.dtype).min
        b[:9] = RNG.choice([-128, 127], (9, vectors.lanes, 1))
    else:
        a, b = RNG.integers(-(2**15) + 1, 2**15, (2, *shape, 2)).astype(np.int16)
        a[:9], b[:9] = RNG.choice([1 - 2**15, 2**15 - 1], (2, 9, vectors.lanes, 2))
    want = (a.astype(np.int64) * b).sum(axis=-1)
    np.testing.assert_array_equal(products(vectors, a, b), want)


def codes_as_stored(vectors: Vectors, codes: np.ndarray) -> np.ndarray:
    """The bytes of codes [count, numbers], as dot_int8 takes them."""
    if vectors.dots_int8:
        return (codes + vectors.code_offset).astype(np.uint8)
    fours = codes.reshape(len(codes), -1, 4)[:, :, [0, 2, 1, 3]]
    return fours.reshape(codes.shape).astype(np.int16).view(np.uint8)


def code_numbers(count: int) -> np.ndarray:
    """Numbers of [-127, 127] in any order, among them all whole ones and all halves."""
    halves_and_whole = np.arange(-254, 255, dtype=np.float32) / 2
    numbers = RNG.uniform(-127, 127, count - halves_and_whole.size).astype(np.float32)
    return RNG.permutation(np.concatenate([halves_and_whole, numbers]))


def test_store_codes(vectors):
    a = code_numbers(4096).reshape(-1, vectors.lanes)
    want = codes_as_stored(vectors, np.rint(a).astype(int))
    got = vectors.stored("store_codes", a, size=want.shape[1])
    np.testing.assert_array_equal(got, want)


def test_store_codes_of_four(vectors):
    a = code_numbers(4096).reshape(4, -1, vectors.lanes)
    codes = np.rint(a).astype(int).transpose(1, 0, 2).reshape(a.shape[1], -1)
    want = codes_as_stored(vectors, codes)
    got = vectors.stored("store_codes_of_four", *a, size=want.shape[1])
    np.testing.assert_array_equal(got, want)


def test_a_number_out_of_range_leaves_the_other_codes_right(vectors):
    lanes = vectors.lanes
    for lane in range(lanes):
        a = np.float32(RNG.integers(-127, 128, (len(HARD), lanes)))
        a[:, lane] = HARD
        others = np.arange(lanes) != lane
        want = np.where(others, a, 0).astype(int)
        got = vectors.stored("store_bytes", a, size=lanes)
        np.testing.assert_array_equal(got[:, others], (want & 0xFF)[:, others])
        stored = codes_as_stored(vectors, want)
        got = vectors.stored("store_codes", a, size=stored.shape[1])
        one = codes_as_stored(vectors, np.where(others, want, 1))  # where the lane's code stands
        kept = stored[0] == codes_as_stored(vectors, np.where(others, want, -2))[0]
        kept &= stored[0] == one[0]
        np.testing.assert_array_equal(got[:, kept], stored[:, kept])


def check_halves(vectors: Vectors, operation: str, first: int) -> None:
    """Bytes first and first + 2 of each word, as words of two signed 16-bit numbers."""
    if vectors.dots_int8:
        assert vectors.lacks(operation, 1)
        return
    words = any_bits(500, vectors.lanes)
    taken = words.view(np.int8).reshape(*words.shape, 4)[..., first::2]
    want = np.ascontiguousarray(taken.astype(np.int16)).view(np.float32)[..., 0]
    assert_bits(vectors.give(operation, words), want)


def test_even_bytes(vectors):
    check_halves(vectors, "even_bytes", 0)


def test_odd_bytes(vectors):
    check_halves(vectors, "odd_bytes", 1)


def test_codes_meet_the_bytes_of_their_columns(vectors):
    """A product as tile.inl has it: rows of codes times a panel of words of four bytes."""
    lanes = vectors.lanes
    codes = np.float32(RNG.integers(-127, 128, 4 * lanes))
    weights = RNG.integers(-127, 128, (lanes, lanes, 4)).astype(np.int8)  # [steps, columns, 4]
    size = lanes if vectors.dots_int8 else 2 * lanes
    stored = vectors.stored("store_codes", codes.reshape(4, lanes), size=size)
    a = np.repeat(np.ascontiguousarray(stored.ravel()).view(np.float32)[:, None], lanes, axis=1)
    words = weights.view(np.float32)[..., 0]
    acc = np.zeros((1, lanes), np.float32)
    for step in range(lanes):
        parts = [words[step][None]]
        if not vectors.dots_int8:
            parts = [vectors.give(part, *parts) for part in ("even_bytes", "odd_bytes")]
        for part, b in enumerate(parts):
            acc = vectors.give("dot_int8", a[step * len(parts) + part][None], b, acc)
    got = acc.view(np.int32)[0].astype(np.int64)
    if vectors.dots_int8:
        got -= vectors.code_offset * weights.sum(axis=(0, 2), dtype=np.int64)
    want = np.einsum("sc,snc->n", codes.reshape(lanes, 4), weights.astype(np.float64))
    np.testing.assert_array_equal(got, want)
