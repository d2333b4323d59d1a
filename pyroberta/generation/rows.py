"""The rows of a generation: their tokens, how long they may grow, and the model that reads them."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..decoder import Cache
from ..errors import InputError
from ..inputs import read_batch
from .options import DEFAULT_NEW_TOKENS, GenerationOptions

if TYPE_CHECKING:
    from ..causal import RobertaForCausalLM

Array = NDArray[Any]
IntArray = NDArray[np.int64]


class Rows:
    """Rows that go on growing. ``select`` leaves the finished ones out.

    Attributes:
        index: int64 ``[n]``: the row of the batch that each is, or is a beam of.
        prompts: int64 ``[n]``: tokens of its prompt.
        lengths: int64 ``[n]``: tokens that it has.
        least: int64 ``[n]``: it may not end before it has so many.
        most: int64 ``[n]``: it ends when it has so many.
    """

    def __init__(
        self, tokens: IntArray, prompts: IntArray, least: IntArray, most: IntArray
    ) -> None:
        self._tokens = tokens  # [n, capacity]
        self.index = np.arange(len(tokens), dtype=np.int64)
        self.prompts = prompts
        self.lengths = prompts.copy()
        self.least = least
        self.most = most

    def __len__(self) -> int:
        return len(self.index)

    def ids(self) -> list[IntArray]:
        """The tokens of each row, for reading."""
        views = [self._tokens[i, :n] for i, n in enumerate(self.lengths.tolist())]
        for view in views:
            view.flags.writeable = False
        return views

    def new_tokens(self, row: int) -> IntArray:
        """What row ``row`` has got since its prompt."""
        return self._tokens[row, self.prompts[row] : self.lengths[row]].copy()

    def append(self, tokens: IntArray) -> None:
        """Give each row one of ``tokens [n]``."""
        self._tokens[np.arange(len(self)), self.lengths] = tokens
        self.lengths = self.lengths + 1

    def select(self, rows: IntArray) -> Rows:
        """These rows, in this order, any of them more than once."""
        chosen = Rows.__new__(Rows)
        for name, value in vars(self).items():
            setattr(chosen, name, value[rows])
        return chosen


class Decoder:
    """A causal model in the midst of a text: its cache, and the rows that it continues.

    Args:
        model: what gives the logits.
        rows: as ``read_prompt`` gives them.
        keeps_hidden: the last hidden states are wanted, as ``hidden``.

    Attributes:
        hidden: ``[n, tokens of the last call, hidden]`` with ``keeps_hidden``.
    """

    def __init__(self, model: RobertaForCausalLM, rows: Rows, *, keeps_hidden: bool) -> None:
        self.rows = rows
        self.hidden: Array | None = None
        self._model = model
        self._keeps_hidden = keeps_hidden
        capacity = int(rows.most.max(initial=1))
        self._cache: Cache = model.init_cache(len(rows), capacity)

    def read(
        self,
        input_ids: IntArray,
        attended: NDArray[np.bool_],
        encoder_hidden_state: ArrayLike | None,
        encoder_attention_mask: ArrayLike | None,
    ) -> Array:
        """The logits after the prompt, ``[n, vocab]``."""
        tokens = attended.shape[1]
        last = tokens - 1 - np.argmax(attended[:, ::-1], axis=1)
        return self._call(
            input_ids,
            attended,
            last,
            encoder_hidden_state=encoder_hidden_state,
            encoder_attention_mask=encoder_attention_mask,
        )

    def step(self, tokens: IntArray) -> Array:
        """The logits after one more token of each row, ``[n, vocab]``; the rows do not change."""
        n = len(tokens)
        return self._call(tokens[:, None], np.ones((n, 1), bool), np.zeros(n, np.int64))

    def select(self, rows: IntArray) -> None:
        """Go on with these rows, in this order, any of them more than once."""
        same = len(rows) == len(self.rows) and bool((rows == np.arange(len(rows))).all())
        if not same:
            self.rows = self.rows.select(rows)
            self._cache = self._cache.select(rows)

    def _call(
        self, ids: IntArray, attended: NDArray[np.bool_], last: IntArray, **encoder: Any
    ) -> Array:
        places = np.stack([np.arange(len(ids), dtype=np.int64), last], axis=1)
        output = self._model(
            ids,
            attended,
            cache=self._cache,
            logit_positions=places,
            output_hidden_states=self._keeps_hidden,
            output_attentions=False,
            **encoder,
        )
        assert output.cache is not None
        self._cache = output.cache
        if self._keeps_hidden:
            assert output.hidden_states is not None
            self.hidden = output.hidden_states[-1]
        return output.logits


def read_prompt(
    model: RobertaForCausalLM,
    input_ids: IntArray,
    attended: NDArray[np.bool_],
    options: GenerationOptions,
) -> Rows:
    """The rows of a checked prompt, and how long each may grow.

    Args:
        model: whose room counts.
        input_ids, attended: ``[batch, tokens]``.
        options: settled.

    Raises:
        InputError: a row without a token, one that is too long for what is asked, or options
            that contradict each other for it.
    """
    config = model.config
    batch, tokens = input_ids.shape
    lengths = np.count_nonzero(attended, axis=1).astype(np.int64)
    # Positions count what is not a pad, masked or not; the cache counts what is attended.
    taken = np.maximum(lengths, np.count_nonzero(input_ids != config.pad_token_id, axis=1))
    for row in range(batch):
        if lengths[row] == 0:
            raise InputError(
                f"attention_mask must attend to a token of every row, not none of {row}"
            )
    if options.max_length is not None:
        most = np.full(batch, options.max_length, np.int64)
        for row in np.flatnonzero(lengths >= most)[:1].tolist():
            raise InputError(
                f"input_ids must have fewer tokens than max_length ({options.max_length}), "
                f"not {lengths[row]} in row {row}"
            )
    elif options.max_new_tokens is not None:
        most = lengths + options.max_new_tokens
    else:
        most = lengths + np.minimum(DEFAULT_NEW_TOKENS, np.maximum(config.max_tokens - taken, 1))
    needed = taken + most - lengths
    for row in np.flatnonzero(needed > config.max_tokens)[:1].tolist():
        raise InputError(
            f"input_ids and new tokens must be at most the model's {config.max_tokens}, not "
            f"{needed[row]} in row {row}: {taken[row]} and {most[row] - lengths[row]} new ones"
        )
    least = lengths + (options.min_new_tokens or 0)
    if options.min_length is not None:
        least = np.maximum(lengths, options.min_length)
    for row in np.flatnonzero(least > most)[:1].tolist():
        name = "min_new_tokens" if options.min_length is None else "min_length"
        raise InputError(
            f"{name} must leave row {row} at most {most[row]} tokens, "
            f"not ask for {least[row]} ({name}={getattr(options, name)})"
        )
    kept = np.zeros((batch, int(most.max(initial=tokens))), np.int64)
    for row in range(batch):
        kept[row, : lengths[row]] = input_ids[row, attended[row]]
    return Rows(kept, lengths, least, most)


def read_ids(
    model: RobertaForCausalLM,
    input_ids: ArrayLike | None,
    attention_mask: ArrayLike | None,
    options: GenerationOptions,
) -> tuple[IntArray, NDArray[np.bool_]]:
    """``input_ids`` and which of them are attended, checked as a call of the model does.

    ``None`` for ids: one row of ``bos_token_id``.
    """
    if input_ids is None:
        if options.bos_token_id is None:
            raise InputError("input_ids must be given where there is no bos_token_id, not None")
        input_ids = np.array([[options.bos_token_id]], np.int64)
    mask = attention_mask
    if mask is None:
        with contextlib.suppress(ValueError):  # read_batch says what is wrong with a ragged list
            mask = np.ones(np.shape(input_ids), bool)
    ragged = read_batch(model.config, input_ids, mask, None, None)
    if attention_mask is None and (ragged.ids == model.config.pad_token_id).any():
        warnings.warn(
            f"input_ids hold pad_token_id ({model.config.pad_token_id}) and no attention_mask was "
            "given: the pads are attended to",
            stacklevel=5,
        )
    attended = np.zeros(ragged.batch * ragged.tokens, bool)
    attended[ragged.places] = True
    ids = np.array(input_ids, np.int64)
    return ids.reshape(ragged.batch, ragged.tokens), attended.reshape(ids.shape)
