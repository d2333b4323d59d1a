"""Known mistakes of ports, for each kind of step: what each would give in the step's place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..activations import ACTIVATIONS, FORMULAS
from ..arrays import Array, IntArray
from ..compute_types import round_bfloat16
from .arithmetic import Arithmetic, layer_norm
from .attention_mistakes import OF_ATTENTION, Tried
from .steps import POSITIONS, TYPES, Step

# Those that cannot be told apart are named in this order.
_EPSILONS = (1e-12, 1e-5, 1e-6, 1e-3, 1e-7, 1e-8, 0.0)


def _table(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    ragged, config = arithmetic.case.ragged, arithmetic.case.config
    rows = config.max_positions if step.feeds[0] == POSITIONS else arithmetic.rows_of(step)

    def at(indices: Array) -> Array:
        return arithmetic.table(step, np.clip(indices, 0, rows - 1).astype(np.int64))

    table = at(feeds[0])
    yield (
        f"multiplied by sqrt(hidden_size) = {math.sqrt(step.columns):.4g}",
        table * math.sqrt(step.columns),
    )
    yield from _rounded("table", table)
    if step.feeds[0] == POSITIONS:
        yield from ((cause, at(places)) for cause, places in _positions(arithmetic))
        for shift in (-3, -2, -1, 1, 2, 3):
            yield f"positions off by {shift}", at(feeds[0] + shift)
    elif step.feeds[0] == TYPES:
        for other in range(config.max_token_types):
            yield f"token type {other} for every token", at(np.full_like(feeds[0], other))
        yield "token types left out: no row is added", np.zeros_like(table)
        yield "token types the other way round", at(config.max_token_types - 1 - feeds[0])
    else:
        for shift in (-1, 1):
            yield f"ids off by {shift}", at(ragged.ids + shift)
        yield "the pad's row for every token", at(np.full_like(feeds[0], config.pad_token_id))


def _positions(arithmetic: Arithmetic) -> Iterator[tuple[str, IntArray]]:
    """Ways to count positions, as indices of the attended tokens."""
    ragged, pad = arithmetic.case.ragged, arithmetic.case.config.pad_token_id
    assert ragged.places is not None
    columns = ragged.places % ragged.tokens
    within = np.concatenate([np.arange(n) for n in np.diff(ragged.offsets)] or [np.empty(0)])
    yield "positions begin at 0 in place of pad_token_id + 1", within
    yield "positions are columns from 0: pads are counted", columns
    yield "positions are columns from pad_token_id + 1: pads are counted", columns + pad + 1
    yield "positions begin at pad_token_id", within + pad
    yield "positions of attended tokens alone, from pad_token_id + 1", within + pad + 1
    yield "the same position for every token", np.full(len(columns), pad + 1)
    last = np.repeat(np.diff(ragged.offsets), np.diff(ragged.offsets)) - 1 - within
    yield "positions count down", last + pad + 1


def _add(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    is_sum = step.name == "embeddings.sum"
    names = [name.removeprefix("embeddings.") if is_sum else name for name in step.feeds]
    for size in range(1, len(feeds)):
        for chosen in itertools.combinations(range(len(feeds)), size):
            without = ", ".join(n for i, n in enumerate(names) if i not in chosen)
            yield f"{without} is not added", np.sum([feeds[i] for i in chosen], axis=0)
    total = np.sum(feeds, axis=0)
    for name, part in zip(names, feeds, strict=True):
        yield f"{name} is added twice", total + part
        yield f"{name} is subtracted", total - 2 * part
    if len(feeds) == 2:
        y, x = feeds
        norm = _norm_of(step)
        gamma, beta = arithmetic.tensor(f"{norm}.weight"), arithmetic.tensor(f"{norm}.bias")
        eps = arithmetic.case.config.layer_norm_epsilon
        yield "the norm stands before the residual", layer_norm(y, gamma, beta, eps) + x
        yield "what is added is normalised first", y + layer_norm(x, gamma, beta, eps)


def _norm_of(step: Step) -> str:
    """The layer norm behind a residual, by its name in a checkpoint."""
    here, _, part = step.name.removeprefix("block.").partition(".")
    where = {
        "attention.residual": "attention.output",
        "cross_attention.residual": "crossattention.output",
        "output.residual": "output",
    }[part]
    return f"encoder.layer.{here}.{where}.LayerNorm"


def _norm(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    (x,) = feeds
    gamma, beta = (arithmetic.tensor(name) for name in step.tensors)
    eps, n = arithmetic.case.config.layer_norm_epsilon, x.shape[1]
    for other in _EPSILONS:
        if other != eps:
            with np.errstate(all="ignore"):
                yield f"epsilon {other:g} in place of {eps:g}", layer_norm(x, gamma, beta, other)
    centred = x - x.mean(axis=1, keepdims=True)
    variance = (centred**2).mean(axis=1, keepdims=True)
    deviation = np.sqrt(variance + eps)
    unbiased = np.sqrt(variance * n / (n - 1) + eps) if n > 1 else deviation
    plain = centred / deviation
    yield "the unbiased variance, over n - 1", centred / unbiased * gamma + beta
    yield "epsilon added to the deviation", centred / (np.sqrt(variance) + eps) * gamma + beta
    mean_square = np.sqrt((x**2).mean(axis=1, keepdims=True) + eps)
    yield "the mean is not subtracted (RMS norm)", x / mean_square * gamma + beta
    yield "the square root is missing", centred / (variance + eps) * gamma + beta
    yield "gamma is not applied", plain + beta
    yield "beta is not added", plain * gamma
    yield "neither gamma nor beta is applied", plain
    yield "gamma + 1 in place of gamma", plain * (gamma + 1) + beta
    yield "gamma and beta swapped", plain * beta + gamma
    yield "not normalised", x
    yield "normalised twice", layer_norm(plain * gamma + beta, gamma, beta, eps)
    yield "normalised over the tokens", _over_tokens(arithmetic, x, eps) * gamma + beta
    yield from _rounded("gamma and beta", gamma, lambda g: plain * g + beta)
    for name in _siblings(arithmetic, step):
        other_gamma, other_beta = (
            arithmetic.tensor(f"{name}.weight"),
            arithmetic.tensor(f"{name}.bias"),
        )
        yield f"gamma and beta of {name}", plain * other_gamma + other_beta


def _over_tokens(arithmetic: Arithmetic, x: Array, eps: float) -> Array:
    y = np.empty_like(x)
    for begin, end in itertools.pairwise(arithmetic.case.ragged.offsets.tolist()):
        rows = x[begin:end]
        y[begin:end] = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + eps)
    return y


def _linear(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    (x,) = feeds
    weight, bias = (arithmetic.tensor(name) for name in step.tensors)
    product = x @ weight.T
    yield "the bias is not added", product
    yield "the bias is added twice", product + 2 * bias
    yield "the bias is subtracted", product - bias
    if weight.shape[0] == weight.shape[1]:
        yield "the weight is transposed", x @ weight + bias
    elif weight.size == x.shape[1] * step.columns:
        yield "the weight is read in the other order", x @ weight.reshape(weight.shape[::-1]) + bias
    yield from _rounded("weights", weight, lambda w: x @ w.T + bias)
    with np.errstate(all="ignore"):
        both = round_bfloat16(x.astype(np.float32)).astype(np.float64)
        narrow = round_bfloat16(weight.astype(np.float32)).astype(np.float64)
        yield "both sides rounded to bfloat16", both @ narrow.T + bias
    heads = arithmetic.case.config.num_attention_heads
    if step.name.endswith((".query", ".key", ".value")):
        width = math.sqrt(step.columns // heads)
        yield "scaled by 1 / sqrt(head_size) already", (product + bias) / width
        yield from _fused(arithmetic, step, x)
    for name in _siblings(arithmetic, step):
        other, own = arithmetic.tensor(f"{name}.weight"), arithmetic.tensor(f"{name}.bias")
        if other.shape == weight.shape:
            yield f"computed with {name}", x @ other.T + own
    for name in ("gelu", "gelu_tanh", "tanh", "relu") if step.name.endswith(".product") else ():
        yield f"{name} is applied here already", FORMULAS[name](product + bias)


def _fused(arithmetic: Arithmetic, step: Step, x: Array) -> Tried:
    """A joined query, key and value, cut in other orders than it was joined in."""
    layer = step.tensors[0].rpartition(".self.")[0]
    parts = [f"{layer}.self.{name}" for name in ("query", "key", "value")]
    if step.is_cross:
        return
    joined = np.concatenate(
        [x @ arithmetic.tensor(f"{n}.weight").T + arithmetic.tensor(f"{n}.bias") for n in parts], 1
    )
    heads, which = (
        arithmetic.case.config.num_attention_heads,
        parts.index(step.tensors[0].removesuffix(".weight")),
    )
    cut = joined.reshape(len(x), heads, 3, -1)[:, :, which].reshape(len(x), -1)
    yield "cut from a joined layer as [heads, 3, head_size], which is [3, heads, head_size]", cut
    cut = joined.reshape(len(x), -1, 3)[:, :, which]
    yield "cut from a joined layer as [hidden_size, 3], which is [3, hidden_size]", cut


def _siblings(arithmetic: Arithmetic, step: Step) -> list[str]:
    """Other layers of the same kind: of the same block, and the same of the blocks beside it."""
    own = step.tensors[0].removesuffix(".weight")
    if not own.startswith("encoder.layer."):
        return []
    block, _, rest = own.removeprefix("encoder.layer.").partition(".")
    ends = {
        "query": ("query", "key", "value"),
        "key": ("query", "key", "value"),
        "value": ("query", "key", "value"),
    }.get(rest.rpartition(".")[2])
    same = [f"encoder.layer.{block}.{rest.rpartition('.')[0]}.{end}" for end in ends or ()]
    if rest.endswith("LayerNorm"):
        same = [f"encoder.layer.{block}.{w}output.LayerNorm" for w in ("attention.", "")]
    for other in (int(block) - 1, int(block) + 1):
        if 0 <= other < arithmetic.case.config.num_blocks:
            same.append(f"encoder.layer.{other}.{rest}")
    return [name for name in same if name != own]


def _activation(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    (x,) = feeds
    for name in ACTIVATIONS:
        if name != step.activation:
            with np.errstate(all="ignore"):
                said = f"{name} in place of {step.activation}"
                yield ("not applied" if name == "linear" else said), FORMULAS[name](x)
    y = FORMULAS[step.activation](x)
    yield "applied twice", FORMULAS[step.activation](y)


def _first(arithmetic: Arithmetic, step: Step, feeds: Sequence[Array]) -> Tried:
    (x,) = feeds
    offsets = arithmetic.case.ragged.offsets
    spans = list(itertools.pairwise(offsets.tolist()))
    yield "the last token in place of the first", x[[end - 1 for _, end in spans]]
    second = [min(begin + 1, end - 1) for begin, end in spans]
    yield "the second token in place of the first", x[second]
    yield "the mean of the tokens", np.stack([x[b:e].mean(axis=0) for b, e in spans])
    yield "the largest of the tokens", np.stack([x[b:e].max(axis=0) for b, e in spans])


def _rounded(what: str, tensor: Array, apply: Callable[[Array], Array] | None = None) -> Tried:
    """A tensor kept in fewer bits, and what would come of it."""
    use = apply or (lambda x: x)
    with np.errstate(all="ignore"):
        yield f"{what} rounded to float16", use(tensor.astype(np.float16).astype(np.float64))
        narrow = round_bfloat16(tensor.astype(np.float32)).astype(np.float64)
        yield f"{what} rounded to bfloat16", use(narrow)
        if tensor.ndim == 2:
            for axis, unit in ((1, "row"), (None, "tensor")):
                scale = np.abs(tensor).max(axis=axis, keepdims=True) / 127
                coded = np.rint(tensor / np.where(scale > 0, scale, 1)) * scale
                yield f"{what} rounded to int8, a scale for each {unit}", use(coded)


MISTAKES: dict[str, Callable[[Arithmetic, Step, Sequence[Array]], Tried]] = {
    "table": _table,
    "add": _add,
    "norm": _norm,
    "linear": _linear,
    **OF_ATTENTION,
    "activation": _activation,
    "first": _first,
}
