"""Hard inputs of vector operations, and what NumPy makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

RNG = np.random.default_rng(20260823)
_START = RNG.bit_generator.state


def reseed() -> None:
    """Draw the same numbers again, whichever tests ran before."""
    RNG.bit_generator.state = _START


def from_bits(bits: Any) -> np.ndarray:
    """The float32 of these bits."""
    return np.asarray(bits, np.uint32).view(np.float32)


# Each side of every boundary: zeros, subnormals, the smallest and largest normal numbers,
# infinities, NaN of both signs with bits of their own, halves to round, and bfloat16's ties.
HARD = np.concatenate(
    [
        np.float32([0.0, 0.5, 1.0, 1.5, 2.5, 3.0, 1 / 3, 1e-30, 1e30, 2.0**22 - 0.5, 2.0**24 + 2]),
        np.float32([-0.0, -0.5, -1.0, -1.5, -2.5, -3.0, -1 / 3, -1e-30, -1e30, -(2.0**22) + 0.5]),
        from_bits([0x00000001, 0x007FFFFF, 0x00800000, 0x00800001, 0x7F7FFFFF, 0x7F800000]),
        from_bits([0x80000001, 0x807FFFFF, 0x80800000, 0x80800001, 0xFF7FFFFF, 0xFF800000]),
        from_bits([0x7FC00000, 0x7FC12345, 0x7FFFFFFF, 0xFFC00000, 0xFFD54321]),
        from_bits([0x3F7FFFFF, 0x3F800001, 0x3F807FFF, 0x3F808000, 0x3F808001, 0x3F818000]),
        from_bits([0xBF807FFF, 0xBF808000, 0xBF808001, 0xBF818000, 0x7F7F7FFF, 0x7F7F8000]),
        from_bits([0x00008000, 0x00018000, 0x80008000, 0x007F8000, 0x00017FFF]),
    ]
)


def wide(*shape: int) -> np.ndarray:
    """Numbers of all magnitudes and both signs, subnormal ones too, no two alike."""
    exponents = RNG.uniform(-140, 120, shape)
    return (RNG.choice([-1.0, 1.0], shape) * RNG.uniform(1, 2, shape) * 2**exponents).astype("f4")


def near(*shape: int) -> np.ndarray:
    """Normal numbers about 1, of both signs."""
    return RNG.standard_normal(shape).astype(np.float32)


def any_bits(*shape: int) -> np.ndarray:
    """float32 of any bits, but for signalling NaN."""
    bits = RNG.integers(0, 2**32, shape, np.uint32)
    return np.where(np.isnan(from_bits(bits)), bits | 0x400000, bits).view(np.float32)


def arguments(count: int, most: int = 4000) -> list[np.ndarray]:
    """``count`` arguments: hard numbers beside hard numbers, then numbers of all magnitudes, of
    about 1, and small whole ones, which meet each other."""
    grid = np.stack(np.meshgrid(*[HARD] * min(count, 2), indexing="ij")).reshape(min(count, 2), -1)
    hard = np.stack([*grid, *RNG.choice(HARD, (count - len(grid), grid.shape[1]))])
    whole = RNG.integers(-3, 4, (count, most)).astype(np.float32)
    return list(np.concatenate([hard, wide(count, most), near(count, most), whole], axis=1))


def same_bits(got: Any, want: Any, *, any_nan: bool = False) -> np.ndarray:
    """Where two arrays of float32 have the same bits, or with any_nan are both NaN."""
    got, want = np.asarray(got, np.float32), np.asarray(want, np.float32)
    same = got.view(np.uint32) == want.view(np.uint32)
    return same | (np.isnan(got) & np.isnan(want)) if any_nan else same


def assert_bits(got: Any, want: Any, *, any_nan: bool = False) -> None:
    """All bits are the same, or with any_nan NaN is where it is to be."""
    got, want = np.broadcast_arrays(np.asarray(got, np.float32), np.asarray(want, np.float32))
    wrong = np.argwhere(~same_bits(got, want, any_nan=any_nan))
    shown = [f"{at}: {got[at]!r}, not {want[at]!r}" for at in map(tuple, wrong[:5].tolist())]
    assert not len(wrong), f"{len(wrong)} of {got.size} differ: {'; '.join(shown)}"


def fma_of(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c, rounded once. float64 holds the product; the sum is rounded there to odd, which a
    second rounding to float32 takes no further (Boldo and Melquiond 2008)."""
    product, c = a.astype(np.float64) * b, c.astype(np.float64)
    total = product + c
    back = total - product
    error = (product - (total - back)) + (c - back)
    inexact = np.isfinite(total) & (error != 0) & (total.view(np.int64) % 2 == 0)
    toward = np.where(error > 0, np.inf, -np.inf)
    return np.where(inexact, np.nextafter(total, toward), total).astype(np.float32)


def bfloat16_of(a: np.ndarray) -> np.ndarray:
    """The nearest bfloat16, ties to even, as float32, by the distances to those on both sides."""
    bits = a.view(np.uint32)
    sign, down = bits & 0x80000000, bits & 0x7FFF0000
    up = down + 0x10000
    # Beyond the largest bfloat16 stands 2^128, in whose place an infinity is given.
    above = np.where(up == 0x7F800000, 2.0**128, from_bits(up).astype(np.float64))
    magnitude = np.abs(a.astype(np.float64))
    to_down, to_up = magnitude - from_bits(down), above - magnitude
    even_down = down % 0x20000 == 0
    nearest = np.where((to_down < to_up) | ((to_down == to_up) & even_down), down, up)
    nearest = np.where(np.isinf(a), down, nearest)
    quiet = (bits & 0x7FFF0000) | 0x400000
    return from_bits(np.where(np.isnan(a), quiet, nearest) | sign)
