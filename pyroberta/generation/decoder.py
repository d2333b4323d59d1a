"""A model in the midst of a text: what generation needs of it, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..arrays import Array, BoolArray, IntArray
from ..config import RobertaConfig
from .rows import Rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class StepCache(Protocol):
    """The tokens that a model has seen; a call gives the next one."""

    def select(self, rows: ArrayLike) -> Any:
        """The cache of these rows, in this order, any of them more than once."""


class StepModel(Protocol):
    """A model that goes on with texts: ``RobertaForCausalLM``, or another with the same calls."""

    config: RobertaConfig

    def init_cache(self, batch: int, max_length: int) -> Any:
        """An empty cache for so many rows of so many tokens each."""

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        *,
        encoder_hidden_state: ArrayLike | None = None,
        encoder_attention_mask: ArrayLike | None = None,
        cache: Any = None,
        logit_positions: ArrayLike | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> Any:
        """The output for new tokens: ``logits``, ``cache`` and, if asked for, hidden states."""


class Decoder:
    """A causal model in the midst of a text: its cache, and the rows that it continues.

    Args:
        model: what gives the logits.
        rows: as ``read_prompt`` gives them.
        keeps_hidden: the last hidden states are wanted, as ``hidden``.

    Attributes:
        hidden: ``[n, tokens of the last call, hidden]`` with ``keeps_hidden``.
    """

    def __init__(self, model: StepModel, rows: Rows, *, keeps_hidden: bool) -> None:
        self.rows = rows
        self.hidden: Array | None = None
        self._model = model
        self._keeps_hidden = keeps_hidden
        capacity = int(rows.most.max(initial=1))
        self._cache: StepCache = model.init_cache(len(rows), capacity)

    def read(
        self,
        input_ids: IntArray,
        attended: BoolArray,
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

    def _call(self, ids: IntArray, attended: BoolArray, last: IntArray, **encoder: Any) -> Array:
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
        logits: Array = output.logits
        return logits
