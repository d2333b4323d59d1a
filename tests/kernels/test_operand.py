"""to_operand: its words are the numbers of compute_types.py, bit for bit, on every build."""

import numpy as np
import pytest

from pyroberta.activations import ACTIVATIONS
from pyroberta.compute_types import COMPUTE_TYPES, INT8_GROUP, quantise_rows, round_bfloat16

_core = pytest.importorskip("pyroberta._core")

INT8 = COMPUTE_TYPES.index("int8")
TINY = float(np.finfo(np.float32).tiny)

# K around the lanes (8, 16), the columns turned together (16, 32, 64, 128: each divides some K, and
# is the largest that does), the fill (32 and 64), and the groups of int8 (768).
KS = [
    0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 192, 255, 256, 767, 768,
    769, 784, 800, 832, 896, 1000, 1535, 1536, 1537, 3072,
]  # fmt: skip


# Builds that multiply pairs of bfloat16 and fours of bytes, and so store 2 bytes for one and 1 for
# the other; the rest store a float and 2 bytes. NEON's bytes are signed. AMX alone has bfloat16x3.
DOTS_BFLOAT16 = ("avx512_bf16", "amx", "neon_matrices")
DOTS_INT8 = (*DOTS_BFLOAT16, "neon_dot")


def filled(k, to):
    """K filled up to a multiple of ``to``."""
    return -(-k // to) * to


def operand(kernels, name, x):
    return kernels.to_operand(COMPUTE_TYPES.index(name), x)


def meant(kernels, name, words, k):
    """The words of an operand that mean something: AMX's rows may end in some of any content."""
    splits = kernels.isa == "amx"
    width = {
        "float32": k,
        "bfloat16x3": filled(k, 32) if splits else k,
        "bfloat16": filled(k, 32) // (2 if kernels.isa in DOTS_BFLOAT16 else 1),
        "int8": filled(k, 64) // (4 if kernels.isa in DOTS_INT8 else 2) + -(-k // INT8_GROUP),
    }[name]
    if splits and name != "float32":
        assert words.shape[1] % 32 == 16  # cache lines, an odd number of them
        assert 0 <= words.shape[1] - width < 32
    else:
        assert words.shape[1] == width
    return np.ascontiguousarray(words[:, :width])


def bfloat16_halves(kernels, x):
    """The operand as the upper halves of float32 ``[rows, K filled up]``."""
    words = meant(kernels, "bfloat16", operand(kernels, "bfloat16", x), x.shape[1])
    if kernels.isa in DOTS_BFLOAT16:
        return words.view(np.uint16)
    bits = words.view(np.uint32)
    assert not (bits & 0xFFFF).any()
    return (bits >> 16).astype(np.uint16)


def int8_codes(kernels, x):
    """The operand as codes ``[rows, k]`` and scales ``[rows, groups]``.

    The bytes are 128 + code, on NEON the code; the 16-bit codes are in the order 0, 2, 1, 3 of each
    four.
    """
    rows, k = x.shape
    words = meant(kernels, "int8", operand(kernels, "int8", x), k)
    codes, scales = np.split(words, [words.shape[1] - -(-k // INT8_GROUP)], axis=1)
    codes = np.ascontiguousarray(codes)
    if kernels.isa in ("avx512_bf16", "amx"):
        whole = codes.view(np.uint8).astype(np.int64) - 128
    elif kernels.isa in DOTS_INT8:
        whole = codes.view(np.int8).astype(np.int64)
    else:
        fours = codes.view(np.int16).reshape(rows, -1, 4)
        whole = fours[:, :, [0, 2, 1, 3]].reshape(rows, filled(k, 64))
    return whole[:, :k], scales


def upper_halves(x):
    return (round_bfloat16(x).view(np.uint32) >> 16).astype(np.uint16)


def spread(rng, rows, k):
    """Rows of very different size, and with a few large values among small ones."""
    x = rng.normal(size=(rows, k)) * 10.0 ** rng.integers(-6, 7, (rows, 1))
    return (x * np.where(rng.random((rows, k)) < 0.02, 100, 1)).astype(np.float32)


def same_bits(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    np.testing.assert_array_equal(one.view(np.uint8), other.view(np.uint8))


@pytest.mark.parametrize("k", KS)
def test_bfloat16_is_rounded_as_in_numpy_and_filled_up_with_zeros(kernels, rng, k):
    x = spread(rng, 19, k)
    got = bfloat16_halves(kernels, x)
    same_bits(np.ascontiguousarray(got[:, :k]), upper_halves(x))
    assert not got[:, k:].any()  # NaN or an infinity here times the weight's zero would be NaN


def test_bfloat16_of_ties_limits_infinities_and_nan(kernels):
    bits = np.array(
        [0, 0x80000000, 0x3F808000, 0x3F818000, 0xBF808000, 0x3F808001, 0x3F817FFF, 0x3F7FFFFF,
         0x7F7FFFFF, 0xFF7FFFFF, 0x7F7F7FFF, 0x7F7F8000, 0x7F800000, 0xFF800000, 0x00800000,
         0x7FC00000, 0xFFC00000, 0x7F800001, 0xFF80FFFF, 0x7FFFFFFF, 0xFFFFFFFF],
        np.uint32,
    )  # fmt: skip
    x = np.tile(bits.view(np.float32), (3, 2))
    got = bfloat16_halves(kernels, x)[:, : x.shape[1]]
    np.testing.assert_array_equal(got, upper_halves(x))
    assert np.isnan((got.astype(np.uint32) << 16).view(np.float32)[np.isnan(x)]).all()


def test_a_subnormal_becomes_its_nearest_bfloat16_or_a_zero_of_its_sign(kernels, rng):
    # AVX512_BF16's instruction takes subnormals as zero, whatever the state of the thread.
    bits = rng.integers(0, 1 << 23, (4, 100)).astype(np.uint32) | 0x80000000 * (np.arange(100) % 2)
    x = bits.astype(np.uint32).view(np.float32)
    got, nearest = bfloat16_halves(kernels, x)[:, :100], upper_halves(x)
    assert ((got == nearest) | (got == (nearest & 0x8000))).all()


@pytest.mark.parametrize("k", KS)
def test_int8_codes_and_scales_are_those_of_numpy(kernels, rng, k):
    x = spread(rng, 19, k)
    x[3] = 0
    if k:
        x[4] = 0
        x[4, k // 2] = -3  # spread over the columns that are turned together, none beyond
        x[5] *= np.where(np.arange(k) < INT8_GROUP, 1, 1e5)  # groups do not share a scale
    codes, scales = int8_codes(kernels, x)
    want_codes, want_scales = quantise_rows(x)
    np.testing.assert_array_equal(codes, want_codes)
    same_bits(np.ascontiguousarray(scales), want_scales)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("k", [1, 9, 64, 100, 769, 1600])
def test_nan_or_an_infinity_makes_the_scale_of_its_group_nan_and_no_other(kernels, rng, k, value):
    clean = rng.normal(size=(1, k)).astype(np.float32)
    want_codes, want_scales = int8_codes(kernels, clean)
    for at in {0, k // 2, max(0, k - 2), k - 1, min(k - 1, 767)}:
        x = clean.copy()
        x[0, at] = value
        codes, scales = int8_codes(kernels, x)
        group = at // INT8_GROUP
        assert np.isnan(scales[0, group])
        np.testing.assert_array_equal(
            np.delete(scales, group, axis=1), np.delete(want_scales, group, axis=1)
        )
        others = np.arange(k) // INT8_GROUP != group
        np.testing.assert_array_equal(codes[:, others], want_codes[:, others])


def test_a_sum_that_overflows_in_the_turn_makes_the_scale_nan(kernels):
    x = np.full((1, 128), 3e38, np.float32)
    assert np.isnan(int8_codes(kernels, x)[1]).all()
    assert np.isfinite(int8_codes(kernels, x / 256)[1]).all()


@pytest.mark.parametrize("largest", [1e-45, 1e-39, TINY, 1e-37, 3e-37, 4e-37, 1e-36])
def test_int8_of_tiny_rows_is_within_a_tiny_error(kernels, largest):
    # 127 / largest is infinite below 3.7e-37, and a code would be that times 0.
    x = np.zeros((1, 33), np.float32)
    x[0, [0, 7, 32]] = largest, -largest, largest / 2
    codes, scales = int8_codes(kernels, x)
    assert np.abs(codes).max() <= 127
    assert np.abs(codes * scales.astype(np.float64) - x).max() <= 127 * TINY


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize("k", [1, 33, 100, 768, 800])
def test_the_words_of_a_row_depend_on_that_row_alone(kernels, rng, threads, name, k):
    x = rng.normal(size=(40, k)).astype(np.float32)
    x[20] = np.nan
    together = meant(kernels, name, operand(kernels, name, x), k)
    for row in [0, 15, 16, 19, 21, 39]:
        alone = meant(kernels, name, operand(kernels, name, x[row : row + 1]), k)
        same_bits(alone, together[row : row + 1])


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize("k", [1, 15, 17, 47, 63, 65, 767, 769, 784])
def test_no_number_past_the_last_row_is_read(kernels, rng, name, k):
    room = np.full(3 * k + 64, np.nan, np.float32)
    room[: 3 * k] = rng.normal(size=3 * k)
    x = room[: 3 * k].reshape(3, k)
    before_nan, alone = (meant(kernels, name, operand(kernels, name, y), k) for y in (x, x.copy()))
    same_bits(before_nan, alone)


def test_float32_is_x_itself(kernels, rng):
    x = rng.normal(size=(5, 77)).astype(np.float32)
    same_bits(operand(kernels, "float32", x), x)


@pytest.mark.parametrize("k", [0, 1, 31, 33, 100, 768, 801])
def test_bfloat16x3_is_two_rows_of_bfloat16_or_x_itself(kernels, rng, k):
    x = spread(rng, 19, k)
    words = meant(kernels, "bfloat16x3", operand(kernels, "bfloat16x3", x), k)
    if kernels.isa != "amx":
        same_bits(words, x)
        return
    high, low = np.split(words.view(np.uint16), 2, axis=1)
    same_bits(np.ascontiguousarray(high[:, :k]), upper_halves(x))
    same_bits(np.ascontiguousarray(low[:, :k]), upper_halves(x - round_bfloat16(x)))
    assert not high[:, k:].any()
    assert not low[:, k:].any()


# Columns around a panel (8 to 64), the columns written at once (64; 768 for int8) and the fill;
# K of one run and of more.
PRODUCTS = [
    (1, 1, 5), (3, 16, 33), (7, 63, 8), (2, 64, 64), (9, 65, 130), (1, 127, 3), (5, 192, 20),
    (3, 767, 16), (4, 768, 40), (150, 769, 9), (2, 1552, 800),
]  # fmt: skip


@pytest.mark.parametrize("activation", ["linear", "gelu"])
@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize(("rows", "n", "k"), PRODUCTS)
def test_a_product_written_as_an_operand_is_the_operand_of_it(
    kernels, rng, rows, n, k, name, activation
):
    x = rng.normal(size=(rows, k)).astype(np.float32)
    # Small sums: gelu of none is subnormal, which the two calls would not both take as zero.
    weight = (rng.normal(size=(n, k)) * k**-0.5).astype(np.float32)
    bias = rng.normal(size=n).astype(np.float32)
    index, f = COMPUTE_TYPES.index(name), ACTIVATIONS.index(activation)
    packed = _core.Packed(kernels, weight, index)
    product = kernels.linear(x, packed, bias, f)
    got = meant(kernels, name, kernels.linear_operand(x, packed, bias, f), n)
    same_bits(got, meant(kernels, name, kernels.to_operand(index, product), n))


def test_a_product_without_a_bias_is_written_as_an_operand(kernels, rng):
    x = rng.normal(size=(5, 40)).astype(np.float32)
    packed = _core.Packed(kernels, rng.normal(size=(100, 40)).astype(np.float32), INT8)
    product = kernels.linear(x, packed, None, 0)
    want = meant(kernels, "int8", kernels.to_operand(INT8, product), 100)
    same_bits(meant(kernels, "int8", kernels.linear_operand(x, packed, None, 0), 100), want)


def test_wrong_arguments_are_named(kernels, rng):
    x = rng.normal(size=(2, 8)).astype(np.float32)
    packed = _core.Packed(kernels, x, INT8)
    count = len(COMPUTE_TYPES)
    message = rf"compute_type must be in \[0, {count}\), not "
    with pytest.raises(ValueError, match=f"{message}{count}"):
        kernels.to_operand(count, x)
    with pytest.raises(ValueError, match=f"{message}-1"):
        _core.Packed(kernels, x, -1)
    with pytest.raises(ValueError, match=r"x must be float32\[-1, -1\], not float32\[8\]"):
        kernels.to_operand(INT8, x[0].copy())
    with pytest.raises(ValueError, match=r"x must be float32\[-1, 8\], not float32\[2, 7\]"):
        kernels.linear_operand(x[:, :7].copy(), packed, None, 0)
    with pytest.raises(ValueError, match=r"bias must be float32\[2\], not float32\[1\]"):
        kernels.linear_operand(x, packed, np.zeros(1, np.float32), 0)
    with pytest.raises(ValueError, match="activation must be element-wise"):
        kernels.linear_operand(x, packed, None, ACTIVATIONS.index("softmax"))
