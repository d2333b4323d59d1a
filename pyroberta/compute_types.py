"""What each compute type rounds the two sides of a product to, in NumPy.

Products are those of the linear layers; attention's two are rounded in bfloat16 and int8 alone, to
bfloat16 (``rounded_attention``). Everything else of a model is float32 in each type: sums, softmax,
layer norms, the residual, heads but the language model's. These functions give the values after
rounding, so that ``rounded(type, x) @ rounded_weight(type, w).T`` in float64 is what a kernel
approximates; the codes of int8 and the bits of bfloat16 are the kernels' own, exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from .arrays import Array

# The columns of an int8 activation that share a scale: kInt8Group in csrc/kernels.h.
INT8_GROUP = 768

# The keys that attention takes at once, kAttentionKeys, and what takes scores to base 2, kLog2E: in
# csrc/kernels.h and csrc/kernels/attention.inl.
ATTENTION_KEYS = 128
LOG2_E = np.float32(1.44269504)

# The signs by which int8 turns 128 columns: kSigns in csrc/kernels/rotation.inl.
_SIGN_BITS = np.array([0xA473F03A, 0x8BAD4CA3, 0x4B49E0E7, 0x4B63D1F0], "<u4")
SIGNS: Array = 1.0 - 2.0 * np.unpackbits(_SIGN_BITS.view(np.uint8), bitorder="little")


def round_bfloat16(x: Array) -> Array:
    """The nearest bfloat16, ties to even, as float32: 8 significant bits."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    up = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    nan = (bits | np.uint32(0x400000)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), nan, up).view(np.float32)


def round_split(x: Array) -> Array:
    """The sum of two bfloat16 nearest to ``x``: high, then low of what is left; 16 bits."""
    x = np.ascontiguousarray(x, np.float32)
    high = round_bfloat16(x)
    with np.errstate(invalid="ignore"):
        split: Array = high + round_bfloat16(x - high)
    return split


def rotation_width(k: int) -> int:
    """The columns of K that int8 turns together: the largest of 128, 64, 32, 16 that divides K."""
    return next((width for width in (128, 64, 32, 16) if k % width == 0), 1)


def rotate(x: Array) -> Array:
    """``x [rows, k]`` turned, in ``rotation_width(k)`` columns at a time: ``H (s x)``.

    ``s`` are fixed signs and ``H`` is Sylvester's Hadamard matrix of 1 and -1 (``H H = width I``),
    applied by butterflies from the widest stride to the narrowest, as the kernels do. One large
    value is spread over all columns, so that it does not take the codes of the others (Ashkboos et
    al. 2024, arXiv:2404.00456).
    """
    rows, k = x.shape
    width = rotation_width(k)
    if width == 1:
        return x
    y: Array = x.reshape(rows, -1, width) * SIGNS[:width].astype(x.dtype)
    stride = width // 2
    while stride:
        pairs = y.reshape(rows, -1, 2, stride)
        y = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        stride //= 2
    turned: Array = y.reshape(rows, k)
    return turned


def _codes(turned: Array) -> tuple[Array, Array]:
    """Symmetric codes in [-127, 127] of each row, and its scale ``[rows, 1]``."""
    most = np.abs(turned).max(axis=1, keepdims=True, initial=0)
    most = np.where(np.isfinite(turned).all(axis=1, keepdims=True), most, np.float32(np.nan))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        inverse = np.where(most > 0, np.float32(127) / most, np.float32(0))
        codes = np.clip(np.rint(turned * inverse), -127, 127)
    # 0 times the infinite inverse of a subnormal, and NaN: what the kernels' clamp makes of them.
    codes = np.where(np.isnan(codes), np.float32(-127), codes)
    return codes, most / np.float32(127)


def quantise_rows(x: Array) -> tuple[Array, Array]:
    """int8 activations ``[rows, k]``: codes of the turned rows, a scale for each group of columns.

    Groups are of ``INT8_GROUP`` columns, the last one may be narrower. NaN or an infinity makes its
    group's scale NaN.

    Returns:
        Codes ``[rows, k]`` as float32, and scales ``[rows, groups]``.
    """
    turned = rotate(np.ascontiguousarray(x, np.float32))
    parts = [_codes(turned[:, at : at + INT8_GROUP]) for at in range(0, x.shape[1], INT8_GROUP)]
    codes = np.concatenate([np.empty((len(x), 0), np.float32), *(c for c, _ in parts)], axis=1)
    scales = np.concatenate([np.empty((len(x), 0), np.float32), *(s for _, s in parts)], axis=1)
    return codes, scales


def quantise_columns(weight: Array) -> tuple[Array, Array]:
    """int8 weights ``[n, k]``: codes of the turned rows, one scale for each output.

    Returns:
        Codes ``[n, k]`` as float32, and scales ``[n]``, ``H``'s width divided out:
        ``weight x ~ scales * (codes @ turned x)``.
    """
    codes, scales = _codes(rotate(np.ascontiguousarray(weight, np.float32)))
    return codes, scales[:, 0] / np.float32(rotation_width(weight.shape[1]))


def _same(x: Array) -> Array:
    return x


def _int8_rows(x: Array) -> Array:
    codes, scales = quantise_rows(x)
    y: Array = codes.astype(x.dtype) * np.repeat(scales, INT8_GROUP, axis=1)[:, : x.shape[1]]
    return y


def _int8_columns(weight: Array) -> Array:
    codes, scales = quantise_columns(weight)
    return codes.astype(weight.dtype) * scales[:, None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComputeType:
    """What there is to know of a compute type; sums are float32 in each.

    Attributes:
        of_x, of_weight: what a product's left side ``[rows, k]`` and its weight ``[n, k]`` are
            rounded to; int8's are turned.
        head: the type of the language-model head's products.
        values_in_attention: attention rounds values and their weights to bfloat16,
        scores_in_attention: and the scaled queries and keys too.
    """

    of_x: Callable[[Array], Array] = _same
    of_weight: Callable[[Array], Array] = _same
    head: str
    values_in_attention: bool = False
    scores_in_attention: bool = False


# In the order of ComputeType in csrc/kernels.h. int8's head stays in bfloat16, since its error
# would stand in the logits as it is; bfloat16x3's multiplies by the float32 table as it is mapped.
_TYPES = {
    "float32": ComputeType(head="float32"),
    "bfloat16x3": ComputeType(of_x=round_split, of_weight=round_split, head="float32"),
    "bfloat16": ComputeType(
        of_x=round_bfloat16, of_weight=round_bfloat16, head="bfloat16", values_in_attention=True
    ),
    "int8": ComputeType(
        of_x=_int8_rows,
        of_weight=_int8_columns,
        head="bfloat16",
        values_in_attention=True,
        scores_in_attention=True,
    ),
}
COMPUTE_TYPES = tuple(_TYPES)
# The oracle's own, of the reference backend alone.
_FLOAT64 = ComputeType(head="float64")


def compute_type_of(name: str) -> ComputeType:
    """The record of a type, ``"float64"`` too."""
    return _TYPES.get(name, _FLOAT64)


def rounded(compute_type: str, x: Array) -> Array:
    """``x [rows, k]`` as a product's left side, in the dtype of ``x``; int8's is turned."""
    return compute_type_of(compute_type).of_x(x).astype(x.dtype, copy=False)


def rounded_weight(compute_type: str, weight: Array) -> Array:
    """``weight [n, k]`` as a product has it, in its own dtype; int8's turned."""
    return compute_type_of(compute_type).of_weight(weight).astype(weight.dtype, copy=False)


def rounded_attention(
    compute_type: str, q: Array, k: Array, v: Array, seen: Array, scale: float
) -> Array:
    """The attention of ``bfloat16`` or ``int8``: ``[..., queries, head_size]``.

    The values and their weights are rounded to bfloat16, a weight as ``2^(score - the largest score
    in the blocks of ATTENTION_KEYS keys so far)``, while the weights' total is of unrounded ones.
    int8 rounds the scaled queries and the keys too. That is not done in bfloat16, whose error it
    would raise, while beside int8's own rounding it does not show.

    Args:
        compute_type: one that rounds in attention, ``"bfloat16"`` or ``"int8"``.
        q: ``[..., queries, head_size]``.
        k: ``[..., keys, head_size]``.
        v: as ``k``.
        seen: ``[queries, keys]``, whether the query attends to the key.
        scale: ``1 / sqrt(head_size)``.
    """
    keys = k.shape[-2]
    if keys == 0:
        return np.zeros_like(q)
    q = q * (np.float32(scale) * LOG2_E)
    if compute_type_of(compute_type).scores_in_attention:
        q, k = round_bfloat16(q).astype(q.dtype), round_bfloat16(k).astype(k.dtype)
    scores = np.where(seen, q @ k.swapaxes(-1, -2), -np.inf)
    starts = np.arange(0, keys, ATTENTION_KEYS)
    so_far = np.maximum.accumulate(np.maximum.reduceat(scores, starts, axis=-1), axis=-1)
    largest = np.repeat(so_far, ATTENTION_KEYS, axis=-1)[..., :keys]
    with np.errstate(invalid="ignore"):
        weights = np.where(seen, np.exp2(scores - largest), 0)
        correction = np.where(np.isneginf(largest), 0, np.exp2(largest - so_far[..., -1:]))
    total = (weights * correction).sum(axis=-1, keepdims=True)
    sums = (round_bfloat16(weights) * correction) @ round_bfloat16(v)
    y: Array = sums / np.where(total != 0, total, 1)
    return y.astype(v.dtype, copy=False)
