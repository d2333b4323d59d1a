"""What a trace is of: a call's checked inputs, and how a step's array is put to the caller's shape.

Steps are computed on the attended tokens alone, row after row. Attentions are flat: each row's
``[heads, queries, keys]``, one after the other.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..arrays import Array, BoolArray, IntArray
from ..config import RobertaConfig
from ..models.ragged import Ragged
from .steps import ENCODER, IDS, POSITIONS, TYPES, Step


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Encoder:
    """An encoder's output that a decoder attends to.

    Attributes:
        x: ``[total, hidden]``, the attended tokens.
        offsets: int64 ``[batch + 1]``, where each row's begin.
        places: int64 ``[total]``, where they stood in the flattened ``[batch * tokens]``.
        tokens: how wide the caller's array was.
    """

    x: Array
    offsets: IntArray
    places: IntArray
    tokens: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Case:
    """The inputs of a call.

    Attributes:
        config: the model's.
        causal: tokens attend to themselves and those before them alone.
        ragged: the attended tokens.
        attention_head_mask, cross_attention_head_mask: ``[num_blocks, heads]`` or ``None``.
        encoder: what cross attention reads, or ``None``.
        given: int64 ``[batch, tokens]``, the ids as they were given, masked ones too.
    """

    config: RobertaConfig
    causal: bool
    ragged: Ragged
    attention_head_mask: Array | None = None
    cross_attention_head_mask: Array | None = None
    encoder: Encoder | None = None
    given: IntArray | None = None

    def inputs(self) -> dict[str, Array]:
        """The arrays that the first steps read, by name."""
        ragged = self.ragged
        found: dict[str, Array] = {IDS: ragged.ids, TYPES: ragged.types}
        found[POSITIONS] = ragged.positions
        if self.encoder is not None:
            found[ENCODER] = self.encoder.x
        return found

    def heads_of(self, step: Step) -> Array:
        """What multiplies the weights of each head: ``[heads]``."""
        cross = self.cross_attention_head_mask
        mask = cross if step.is_cross else self.attention_head_mask
        return np.ones(self.config.num_attention_heads) if mask is None else mask[step.block]

    def spans(self, step: Step) -> Iterator[tuple[slice, slice, int]]:
        """For each row its queries, its keys, and how many of these the first query sees."""
        own = itertools.pairwise(self.ragged.offsets.tolist())
        if not step.is_cross:
            for begin, end in own:
                yield slice(begin, end), slice(begin, end), 1 if self.causal else end - begin
            return
        assert self.encoder is not None
        theirs = itertools.pairwise(self.encoder.offsets.tolist())
        for (begin, end), (first, last) in zip(own, theirs, strict=True):
            yield slice(begin, end), slice(first, last), last - first

    def attentions(self, step: Step, flat: Array) -> Iterator[tuple[Array, BoolArray]]:
        """Each row's ``[heads, queries, keys]`` of a flat array, views; and what is attended.

        The second is ``[queries, keys]``: whether the query sees the key.
        """
        at, heads = 0, self.config.num_attention_heads
        for queries, keys, visible in self.spans(step):
            shape = heads, queries.stop - queries.start, keys.stop - keys.start
            size = shape[0] * shape[1] * shape[2]
            yield flat[at : at + size].reshape(shape), seen(shape[1], shape[2], visible)
            at += size

    def size(self, step: Step) -> tuple[int, ...]:
        """The shape of a step's array of attended tokens."""
        if step.form in ("self", "cross"):
            heads = self.config.num_attention_heads
            return (
                sum(
                    heads * (q.stop - q.start) * (k.stop - k.start) for q, k, _ in self.spans(step)
                ),
            )
        if step.form == "rows":
            return self.ragged.batch, step.columns
        if step.form == "encoder":
            assert self.encoder is not None
            return len(self.encoder.x), step.columns
        return len(self.ragged.ids), step.columns

    def padded_size(self, step: Step) -> tuple[int, ...]:
        """The shape of a step's array as the caller's arrays are."""
        batch, tokens = self.ragged.batch, self.ragged.tokens
        if step.form == "rows":
            return batch, step.columns
        if step.form == "tokens":
            return batch, tokens, step.columns
        wide = tokens if self.encoder is None else self.encoder.tokens
        if step.form == "encoder":
            return batch, wide, step.columns
        wide = tokens if step.form == "self" else wide
        return batch, self.config.num_attention_heads, tokens, wide

    def pad(self, step: Step, values: Array) -> Array:
        """A step's array as the caller's arrays are.

        Tokens that are masked have zeros; a score of a key that is not attended to is ``-inf``,
        its weight 0.
        """
        if step.form == "rows":
            return values
        shape = self.padded_size(step)
        if step.form in ("tokens", "encoder"):
            places = self._places(step.form == "encoder")
            if len(values) == shape[0] * shape[1]:
                return values.reshape(shape)
            flat = np.zeros((shape[0] * shape[1], shape[2]), values.dtype)
            flat[places] = values
            return flat.reshape(shape)
        full = np.full(shape, -np.inf if step.kind == "scores" else 0, values.dtype)
        for row, (own, _) in enumerate(self.attentions(step, values)):
            queries, keys = self.columns(step, row)
            full[row][:, queries[:, None], keys] = own
        return full

    def gather(self, step: Step, padded: Array) -> Array:
        """The attended part of an array that is as the caller's arrays are; the inverse of pad."""
        if step.form == "rows":
            return padded
        if step.form in ("tokens", "encoder"):
            places = self._places(step.form == "encoder")
            flat: Array = padded.reshape(-1, padded.shape[-1])
            return flat if len(places) == len(flat) else flat[places]
        parts = []
        for row in range(self.ragged.batch):
            queries, keys = self.columns(step, row)
            parts.append(padded[row][:, queries[:, None], keys].ravel())
        return np.concatenate(parts) if parts else np.empty(0, padded.dtype)

    def columns(self, step: Step, row: int) -> tuple[IntArray, IntArray]:
        """Where a row's queries and keys stand in the caller's arrays."""
        queries = _columns(self._places(False), self.ragged.offsets, row, self.ragged.tokens)
        if not step.is_cross:
            return queries, queries
        encoder = self.encoder
        assert encoder is not None
        return queries, _columns(encoder.places, encoder.offsets, row, encoder.tokens)

    def _places(self, of_encoder: bool) -> IntArray:
        places = self.ragged.places
        if of_encoder:
            assert self.encoder is not None
            return self.encoder.places
        assert places is not None
        return places

    def to_json(self) -> dict[str, Any]:
        """The inputs but the encoder's output, as lists: what ``from_json`` reads."""
        ragged, pad = self.ragged, self.config.pad_token_id
        mask = ragged.scatter(np.ones(len(ragged.ids), np.int64))
        ids = ragged.scatter(ragged.ids, fill=pad) if self.given is None else self.given
        lists: dict[str, Any] = {
            "input_ids": ids.tolist(),
            "attention_mask": mask.tolist(),
            "token_type_ids": ragged.scatter(ragged.types).tolist(),
            "position_ids": ragged.scatter(ragged.positions, fill=pad).tolist(),
            "causal": self.causal,
            "choices": ragged.choices,
        }
        for name in ("attention_head_mask", "cross_attention_head_mask"):
            value = getattr(self, name)
            lists[name] = None if value is None else value.tolist()
        if self.encoder is not None:
            flat = np.zeros(ragged.batch * self.encoder.tokens, np.int64)
            flat[self.encoder.places] = 1
            lists["encoder_attention_mask"] = flat.reshape(ragged.batch, -1).tolist()
        return lists

    @classmethod
    def from_json(
        cls, config: RobertaConfig, lists: Mapping[str, Any], encoder_x: Array | None
    ) -> Case:
        """The case whose ``to_json`` gave ``lists``; of a decoder with ``encoder_x``."""
        ids, types, positions = (
            np.array(lists[name], np.int64)
            for name in ("input_ids", "token_type_ids", "position_ids")
        )
        _check_inputs(config, lists, ids, types, positions)
        offsets, places = _attended(lists["attention_mask"])
        encoder = None
        if encoder_x is not None:
            mask = lists["encoder_attention_mask"]
            encoder = Encoder(encoder_x, *_attended(mask), tokens=len(mask[0]))
        masks = [
            None if lists[name] is None else np.array(lists[name], np.float64)
            for name in ("attention_head_mask", "cross_attention_head_mask")
        ]
        return cls(
            config=config,
            causal=lists["causal"],
            ragged=Ragged(
                batch=ids.shape[0],
                tokens=ids.shape[1],
                choices=lists["choices"],
                ids=ids.ravel()[places],
                types=types.ravel()[places],
                positions=positions.ravel()[places],
                offsets=offsets,
                places=places,
            ),
            attention_head_mask=masks[0],
            cross_attention_head_mask=masks[1],
            encoder=encoder,
            given=ids,
        )


def _check_inputs(
    config: RobertaConfig,
    lists: Mapping[str, Any],
    ids: IntArray,
    types: IntArray,
    positions: IntArray,
) -> None:
    """Raise ValueError for lists that are no inputs of the model."""
    mask = np.array(lists["attention_mask"])
    for name, values in (("token_type_ids", types), ("position_ids", positions)):
        if values.shape != ids.shape:
            raise ValueError(name)
    if ids.ndim != 2 or mask.shape != ids.shape:
        raise ValueError("attention_mask")
    limits = (
        ("input_ids", ids, config.vocab_size),
        ("token_type_ids", types, config.max_token_types),
        ("position_ids", positions, config.max_positions),
    )
    for name, values, limit in limits:
        attended = values[mask > 0]
        if attended.size and not 0 <= attended.min() <= attended.max() < limit:
            raise ValueError(name)
    if not isinstance(lists["causal"], bool) or not isinstance(lists["choices"], int):
        raise ValueError("causal or choices")
    for name in ("attention_head_mask", "cross_attention_head_mask"):
        wanted = config.num_blocks, config.num_attention_heads
        if lists[name] is not None and np.array(lists[name], np.float64).shape != wanted:
            raise ValueError(name)


def _attended(mask: Any) -> tuple[IntArray, IntArray]:
    """Where each row of a mask ``[batch, tokens]`` begins among the attended tokens, and these."""
    attended = np.array(mask) > 0
    offsets = np.concatenate([[0], np.cumsum(attended.sum(axis=1))]).astype(np.int64)
    return offsets, np.flatnonzero(attended)


def seen(queries: int, keys: int, visible: int) -> BoolArray:
    """``[queries, keys]``: query ``i`` attends to the first ``visible + i`` keys."""
    sees: BoolArray = np.arange(keys) < visible + np.arange(queries)[:, None]
    return sees


def _columns(places: IntArray, offsets: IntArray, row: int, tokens: int) -> IntArray:
    columns: IntArray = places[offsets[row] : offsets[row + 1]] - row * tokens
    return columns
