"""What the kernels compute, in NumPy.

One function for each kernel in ``csrc/kernels.h``, with the same name and arguments, and
``run_blocks``, which composes them as ``csrc/blocks/run_blocks.h`` says. This is the text to read
first, the oracle that the kernel tests compare with, the path that runs where there is no compiled
extension, and the one that ``training=True`` takes. It is written to be plainly right, not fast.

Everything is computed in the dtype of the arrays given: float64 arrays make it an oracle. Shapes
are written ``[rows, cols]``; every array is row-major.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from .activations import ACTIVATIONS, FORMULAS
from .arrays import Array, IntArray
from .compute_types import compute_type_of, rounded, rounded_attention, rounded_weight
from .run_options import Dropout, RunOptions


def activate(activation: int, x: Array) -> Array:
    """The activation ``ACTIVATIONS[activation]`` of ``x [rows, cols]``, softmax over the rows."""
    return FORMULAS[ACTIVATIONS[activation]](x)


def pack(weight: Array, panel: int) -> Array:
    """The weight ``[n, k]`` in panels: ``[ceil(n / panel), k, panel]``, filled up with zeros."""
    n, k = weight.shape
    padded = np.zeros((-(-n // panel) * panel, k), weight.dtype)
    padded[:n] = weight
    return np.ascontiguousarray(padded.reshape(-1, panel, k).transpose(0, 2, 1))


def linear(
    x: Array,
    weight: Array,
    bias: Array | None,
    activation: int = 0,
    compute_type: str = "float32",
) -> Array:
    """``f(x weight^T + bias)``: ``x [rows, k]``, ``weight [n, k]``, ``bias [n]``.

    ``compute_type`` says what ``x`` and ``weight`` are rounded to first; ``"float32"``: nothing.
    """
    y = rounded(compute_type, x) @ rounded_weight(compute_type, weight).T
    return activate(activation, y if bias is None else y + bias)


def linear_rows(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x weight^T + bias``, as ``linear``: the layouts in memory differ, the numbers do not."""
    return linear(x, weight, bias)


def layer_norm(x: Array, residual: Array | None, gamma: Array, beta: Array, eps: float) -> Array:
    """Add the residual, then normalise each row to mean 0 and variance 1.

    ``y = (z - mean(z)) / sqrt(var(z) + eps) * gamma + beta`` with ``z = x + residual``
    (Ba et al. 2016, arXiv:1607.06450). The variance is the biased one, over ``cols``.

    Args:
        x: ``[rows, cols]``, the output of the sub-layer.
        residual: ``[rows, cols]``, what went into the sub-layer, or ``None``.
        gamma: ``[cols]``, the learned scale.
        beta: ``[cols]``, the learned shift.
        eps: added to the variance; 1e-5 for RoBERTa.
    """
    z = x if residual is None else x + residual
    centred = z - z.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    y: Array = centred / np.sqrt(variance + eps) * gamma + beta
    return y


def embeddings(
    word: Array,
    type: Array,
    position: Array,
    ids: Array,
    types: Array,
    positions: Array,
    gamma: Array,
    beta: Array,
    eps: float,
) -> Array:
    """``layer_norm(word[ids] + type[types] + position[positions])``: ``[tokens, hidden]``."""
    z = word[ids] + type[types] + position[positions]
    return layer_norm(z, None, gamma, beta, eps)


def attention_weights(
    q: Array, k: Array, visible: int, scale: float, head_weight: float | Array
) -> Array:
    """The softmax of scaled dot products (Vaswani et al. 2017, arXiv:1706.03762).

    Args:
        q: ``[..., queries, head_size]``.
        k: ``[..., keys, head_size]``.
        visible: query ``i`` attends to the first ``visible + i`` keys.
        scale: ``1 / sqrt(head_size)``.
        head_weight: the head mask's entry, which multiplies the weights.

    Returns:
        ``[..., queries, keys]``; a query that sees no key has zeros.
    """
    scores = (q * scale) @ k.swapaxes(-1, -2)
    queries, keys = scores.shape[-2:]
    if keys == 0:
        return scores
    seen = np.arange(keys) < visible + np.arange(queries)[:, None]
    largest = np.where(seen, scores, -np.inf).max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        e = np.where(seen, np.exp(np.where(seen, scores - largest, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    weights: Array = e / np.where(total > 0, total, 1) * head_weight
    return weights.astype(q.dtype, copy=False)


def attention(
    q: Array,
    k: Array,
    v: Array,
    visible: int,
    scale: float,
    head_weight: float | Array,
    compute_type: str = "float32",
) -> Array:
    """``attention_weights(...) @ v``: ``[..., queries, head_size]``.

    ``bfloat16`` rounds the values and their weights, ``int8`` the queries and keys too; see
    ``compute_types.rounded_attention``. A number that is not finite reaches no query that does not
    see its key.
    """
    if not compute_type_of(compute_type).values_in_attention:
        return _sum_values(attention_weights(q, k, visible, scale, head_weight), v, visible)
    queries, keys = q.shape[-2], k.shape[-2]
    if visible < keys and queries > 1 and not np.isfinite(v).all():
        rows = []
        for i in range(queries):
            own = slice(min(keys, visible + i))
            one = q[..., i : i + 1, :], k[..., own, :], v[..., own, :]
            rows.append(attention(*one, keys, scale, head_weight, compute_type))
        return np.concatenate(rows, axis=-2)
    seen = np.arange(keys) < visible + np.arange(queries)[:, None]
    return rounded_attention(compute_type, q, k, v, seen, scale) * head_weight


def _sum_values(weights: Array, v: Array, visible: int) -> Array:
    """``weights @ v``, where a key that is not seen adds nothing, though its value be NaN."""
    sums: Array = weights @ v
    queries, keys = weights.shape[-2:]
    if visible < keys and not np.isfinite(v).all():
        for i in range(queries):
            own = slice(min(keys, visible + i))
            sums[..., i : i + 1, :] = weights[..., i : i + 1, own] @ v[..., own, :]
    return sums


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Block:
    """The weights of one block; see ``csrc/blocks/block.h``.

    Linear layers are pairs of a weight ``[n, k]`` and a bias ``[n]``; norms of gamma and beta. The
    ``cross`` parts are those of a decoder's cross attention. ``compute_type`` is what the products
    round to (see ``compute_types.py``), the dtype of the arrays what they are summed in.
    """

    heads: int
    activation: int
    eps: float
    query_key_value: tuple[Array, Array]
    attention_output: tuple[Array, Array]
    attention_norm: tuple[Array, Array]
    intermediate: tuple[Array, Array]
    output: tuple[Array, Array]
    output_norm: tuple[Array, Array]
    cross_query: tuple[Array, Array] | None = None
    cross_key_value: tuple[Array, Array] | None = None
    cross_output: tuple[Array, Array] | None = None
    cross_norm: tuple[Array, Array] | None = None
    compute_type: str = "float32"

    def cross_key_values(self, encoder_x: Array) -> Array:
        """Keys and values ``[tokens, 2 hidden]`` of an encoder's output ``[tokens, hidden]``."""
        assert self.cross_key_value is not None
        return self.linear(encoder_x, self.cross_key_value)

    def linear(self, x: Array, layer: tuple[Array, Array], activation: int = 0) -> Array:
        """``linear`` with one of the layers, in the block's compute type."""
        return linear(x, *layer, activation, self.compute_type)


def run_blocks(
    blocks: Sequence[Block],
    x: Array,
    offsets: IntArray,
    options: RunOptions,
    out: Array | None = None,
) -> tuple[Array, Array | None, Array | None]:
    """``x [tokens, hidden]`` through the blocks in order (post-LN, as BERT: arXiv:1810.04805).

    Args:
        blocks: one or more.
        x: the tokens of all rows, one after the other.
        offsets: int64 ``[rows + 1]``: row ``r`` is ``x[offsets[r]:offsets[r + 1]]``.
        options: masks, cache, cross attention, dropout, and whether weights are wanted.
        out: ``[tokens, hidden]``, where the result goes: ``x`` itself, or an array apart from it.
            ``None``: a new one.

    Returns:
        The result ``[tokens, hidden]``, the attention weights, row after row, each
        ``[heads, tokens of the row, keys of the row]``, flat (or ``None``), and those of the
        cross attention likewise.
    """
    cache, cross, dropout = options.cache, options.cross, options.dropout
    weights: list[Array] = []
    cross_weights: list[Array] = []
    spans = list(itertools.pairwise(offsets.tolist()))
    for i, block in enumerate(blocks):
        mask = np.ones(block.heads, x.dtype) if options.head_mask is None else options.head_mask[i]
        qkv = block.linear(x, block.query_key_value)
        gathered = np.empty_like(x)
        for row, (begin, end) in enumerate(spans):
            q, k, v = np.split(qkv[begin:end], 3, axis=1)
            before = 0
            if cache is not None:
                before = int(cache.lengths[row])
                filled = before + end - begin
                cache.keys[i][row, before:filled] = k
                cache.values[i][row, before:filled] = v
                k, v = cache.keys[i][row, :filled], cache.values[i][row, :filled]
            visible = before + 1 if options.causal else len(k)
            w, gathered[begin:end] = _attend(block, q, k, v, visible, mask, dropout)
            weights.append(w)
        x = _add_norm(gathered, x, block.attention_output, block.attention_norm, block, dropout)
        if cross is not None:
            assert block.cross_query is not None
            assert block.cross_output is not None
            assert block.cross_norm is not None
            mask = np.ones(block.heads, x.dtype)
            if cross.head_mask is not None:
                mask = cross.head_mask[i]
            queries = block.linear(x, block.cross_query)
            for row, (begin, end) in enumerate(spans):
                source = int(cross.rows[row])
                span = slice(int(cross.offsets[source]), int(cross.offsets[source + 1]))
                k, v = np.split(cross.key_values[i][span], 2, axis=1)
                q = queries[begin:end]
                w, gathered[begin:end] = _attend(block, q, k, v, len(k), mask, dropout)
                cross_weights.append(w)
            x = _add_norm(gathered, x, block.cross_output, block.cross_norm, block, dropout)
        wide = block.linear(x, block.intermediate, block.activation)
        x = _add_norm(wide, x, block.output, block.output_norm, block, dropout)
    if out is not None:
        out[...] = x
        x = out
    if not options.want_attentions:
        return x, None, None
    return x, _flat(weights, x), _flat(cross_weights, x) if cross is not None else None


def _flat(weights: list[Array], x: Array) -> Array:
    return np.concatenate([w.ravel() for w in weights]) if weights else np.empty(0, x.dtype)


def _add_norm(
    y: Array,
    x: Array,
    layer: tuple[Array, Array],
    norm: tuple[Array, Array],
    block: Block,
    dropout: Dropout | None,
) -> Array:
    """``layer_norm(dropout(layer(y)) + x)``: how each part of a block ends."""
    y = block.linear(y, layer)
    if dropout is not None:
        y = dropout(y, dropout.rate)
    return layer_norm(y, x, *norm, block.eps)


def _heads(x: Array, heads: int) -> Array:
    """``[tokens, hidden]`` as ``[heads, tokens, head_size]``."""
    tokens, width = x.shape
    return x.reshape(tokens, heads, width // heads).transpose(1, 0, 2)


def _attend(
    block: Block,
    q: Array,
    k: Array,
    v: Array,
    visible: int,
    mask: Array,
    dropout: Dropout | None,
) -> tuple[Array, Array]:
    """One row's attention: the weights ``[heads, queries, keys]``, before any rounding, and the
    weighted values of all heads side by side ``[queries, hidden]`` (not rounded under dropout).
    """
    shape = q.shape
    q, k, v = (_heads(array, block.heads) for array in (q, k, v))
    scale, head_weights = 1 / math.sqrt(q.shape[-1]), mask[:, None, None]
    w: Array = attention_weights(q, k, visible, scale, 1.0)
    if dropout is not None:
        w = dropout(w, dropout.attention_rate)
    w = w * head_weights
    if dropout is None and compute_type_of(block.compute_type).values_in_attention:
        y = attention(q, k, v, visible, scale, head_weights, block.compute_type)
    else:
        y = _sum_values(w, v, visible)
    return w, y.transpose(1, 0, 2).reshape(shape)
