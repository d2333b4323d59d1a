"""Another implementation's arrays as steps have theirs: layouts that differ are found by shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ..arrays import Array
from ..errors import InputError
from .case import Case
from .steps import Step

# What is said of an array that is laid out as a trace has it: nothing.
PLAIN = ""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Matched:
    """An array of theirs as a step's own.

    Attributes:
        values: the attended tokens, float64.
        layout: how it was laid out; empty: as a trace has it.
        leak: the most weight of an attended query on a masked key; 0 where that is not told.
    """

    values: Array
    layout: str
    leak: float = 0.0


def match_layout(case: Case, step: Step, array: Array, mine: Array | None) -> Matched:
    """A step's array of theirs, by its shape.

    Args:
        case: the inputs.
        step: what the array is of.
        array: floats of any layout that is known here.
        mine: the step's array of attended tokens: of several layouts that the shape allows it
            says which; ``None``: the first.

    Raises:
        InputError: an array of integers, or of a shape that fits no layout.
    """
    if array.dtype.kind != "f":
        raise InputError(f"{step.name} must be floats, not {array.dtype}")
    found = list(_layouts(case, step, array))
    if not found:
        wanted = list(case.padded_size(step))
        raise InputError(
            f"{step.name} must be of shape {wanted} (or that with axes joined, split or in another "
            f"order), not {list(array.shape)}"
        )
    # What is padded to the caller's shape, and its attended part.
    both = [
        (one, case.gather(step, one) if one.shape == case.padded_size(step) else one, note)
        for one, note in found
    ]
    chosen = both[0]
    if len(both) > 1 and mine is not None:
        far = [_distance(one, mine) for _, one, _ in both]
        nearest = min(range(len(far)), key=far.__getitem__)
        # Wrong numbers can be nearer by chance in another order: a layout is much nearer.
        if far[nearest] < far[0] / 4:
            chosen = both[nearest]
    padded, values, note = chosen
    is_padded = step.kind == "weights" and padded is not values
    leak = _leaked(case, step, padded) if is_padded else 0.0
    return Matched(values.astype(np.float64), note, leak)


def _distance(theirs: Array, mine: Array) -> float:
    with np.errstate(all="ignore"):
        far = np.abs(np.asarray(theirs, np.float64) - mine)
    return float(np.mean(np.minimum(np.where(np.isnan(far), np.inf, far), 1e30)))


def _layouts(case: Case, step: Step, array: Array) -> Iterator[tuple[Array, str]]:
    """What the array can be, as the caller's arrays are or of attended tokens; and its layout."""
    if step.form == "rows":
        yield from _rows(case, step, array)
    elif step.form in ("self", "cross"):
        yield from _attentions(case, step, array)
    else:
        yield from _tokens(case, step, array)


def _rows(case: Case, step: Step, array: Array) -> Iterator[tuple[Array, str]]:
    rows, columns = case.padded_size(step)
    if array.shape == (rows, columns):
        yield array, PLAIN
    elif array.size == rows * columns:
        yield array.reshape(rows, columns), "axes joined or split"
    elif array.shape == (rows, case.ragged.tokens, columns):
        yield array[:, 0], "of all tokens: the first is taken"


def _tokens(case: Case, step: Step, array: Array) -> Iterator[tuple[Array, str]]:
    rows, tokens, columns = case.padded_size(step)
    heads = case.config.num_attention_heads
    shape = array.shape

    def gathered(padded: Array, note: str) -> tuple[Array, str]:
        return np.ascontiguousarray(padded).reshape(rows, tokens, columns), note

    if shape == (rows, tokens, columns):
        yield gathered(array, PLAIN)
    if shape == case.size(step):
        yield array, PLAIN
    elif shape == (rows * tokens, columns):
        yield gathered(array, "rows joined")
    if shape == (tokens, rows, columns):
        yield gathered(array.transpose(1, 0, 2), "tokens first")
    if shape == (rows, columns, tokens):
        yield gathered(array.transpose(0, 2, 1), "transposed")
    if columns % heads:
        return
    width = columns // heads
    for axes, order, note in (
        ((rows, heads, tokens, width), (0, 2, 1, 3), "heads split"),
        ((rows, tokens, heads, width), (0, 1, 2, 3), "heads split, after the tokens"),
        ((rows, heads, width, tokens), (0, 3, 1, 2), "heads split and transposed"),
        ((tokens, rows, heads, width), (1, 0, 2, 3), "heads split, tokens first"),
    ):
        if shape == axes:
            yield gathered(array.transpose(order), note)
    for joined, order, note in (
        ((rows * heads, tokens, width), (0, 2, 1, 3), "heads and rows joined"),
        ((rows * heads, width, tokens), (0, 3, 1, 2), "heads and rows joined, transposed"),
    ):
        if shape == joined:
            yield gathered(array.reshape(rows, heads, *joined[1:]).transpose(order), note)
    if shape == (tokens, rows * heads, width):  # fairseq's keys, before they are viewed
        parts = array.reshape(tokens, rows, heads, width)
        yield gathered(parts.transpose(1, 0, 2, 3), "heads and rows joined, tokens first")


def _attentions(case: Case, step: Step, array: Array) -> Iterator[tuple[Array, str]]:
    rows, heads, queries, keys = case.padded_size(step)
    shape = array.shape
    if shape == (rows, heads, queries, keys):
        yield array, PLAIN
    if shape == case.size(step):
        yield array, PLAIN
    for axes, order, note in (
        ((heads, rows, queries, keys), (1, 0, 2, 3), "heads first"),
        ((rows, queries, heads, keys), (0, 2, 1, 3), "heads after the queries"),
        ((rows, heads, keys, queries), (0, 1, 3, 2), "keys before queries"),
    ):
        # Of a square nothing tells queries from keys, and to swap them is a known mistake.
        if shape == axes and (order != (0, 1, 3, 2) or queries != keys):
            yield array.transpose(order), note
    if shape == (rows * heads, queries, keys):
        yield array.reshape(rows, heads, queries, keys), "heads and rows joined"


def _leaked(case: Case, step: Step, padded: Array) -> float:
    """The most weight that a query that is attended gives to a key that is masked."""
    most = 0.0
    for row in range(case.ragged.batch):
        queries, keys = case.columns(step, row)
        outside = np.ones(padded.shape[-1], bool)
        outside[keys] = False
        if outside.any() and len(queries):
            most = max(most, float(np.abs(padded[row][:, queries][..., outside]).max()))
    return most
