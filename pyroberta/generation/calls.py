"""``generate`` and ``stream``: from the arguments of a call to the tokens that it gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, IntArray
from ..errors import InputError
from ..kernels.arithmetic import usual_arithmetic, usual_steps
from .beam import beam_search
from .contrastive import contrastive_search
from .decoder import Decoder, StepModel
from .options import GenerationOptions
from .prompt import read_ids, read_prompt
from .steps import Draw, choose_best, step_by_step

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class _Start:
    """A generation whose arguments are checked and whose model has not run yet."""

    def __init__(
        self,
        model: StepModel,
        input_ids: ArrayLike | None,
        attention_mask: ArrayLike | None,
        encoder: tuple[ArrayLike | None, ArrayLike | None],
        options: dict[str, Any],
    ) -> None:
        self.options = GenerationOptions(**options).settle(model.config)
        self.ids, self.attended = read_ids(model, input_ids, attention_mask, self.options)
        rows = read_prompt(model, self.ids, self.attended, self.options)
        self.draw = None
        if self.options.strategy == "sampling":
            self.draw = Draw(self.options.seed, len(rows))
        contrastive = self.options.strategy == "contrastive"
        self.decoder = Decoder(model, rows, keeps_hidden=contrastive)
        self._encoder = encoder

    def read(self) -> Array:
        """The logits after the prompt."""
        return self.decoder.read(self.ids, self.attended, *self._encoder)

    def columns(self, logits: Array) -> Iterator[IntArray]:
        """The tokens of each step, from the logits after the prompt on."""
        if self.options.strategy == "contrastive":
            return contrastive_search(self.decoder, logits, self.attended, self.options)
        choose = choose_best if self.draw is None else self.draw
        return step_by_step(self.decoder, logits, self.options, choose)


def generate(
    model: StepModel,
    input_ids: ArrayLike | None,
    attention_mask: ArrayLike | None,
    encoder: tuple[ArrayLike | None, ArrayLike | None],
    options: dict[str, Any],
) -> IntArray:
    """What ``RobertaForCausalLM.generate`` gives; ``encoder``: hidden state and mask."""
    start = _Start(model, input_ids, attention_mask, encoder, options)
    if not len(start.ids):
        return start.ids
    with usual_arithmetic():
        if start.options.strategy != "beam":
            new = np.stack(list(start.columns(start.read())), axis=1)
        else:
            texts = beam_search(start.decoder, start.read(), start.options)
            new = np.full((len(texts), max(map(len, texts))), start.options.pad_token_id, np.int64)
            for row, text in enumerate(texts):
                new[row, : len(text)] = text
    return np.concatenate([start.ids, new], axis=1)


def stream(
    model: StepModel,
    input_ids: ArrayLike | None,
    attention_mask: ArrayLike | None,
    encoder: tuple[ArrayLike | None, ArrayLike | None],
    options: dict[str, Any],
) -> Iterator[IntArray]:
    """What ``RobertaForCausalLM.stream`` gives; the prompt is read now, so that errors come now."""
    start = _Start(model, input_ids, attention_mask, encoder, options)
    if start.options.strategy == "beam":
        raise InputError(
            "strategy must be greedy, sampling or contrastive for a stream, not 'beam', "
            "whose texts are known at the end alone"
        )
    if not len(start.ids):
        return iter(())
    with usual_arithmetic():
        logits = start.read()
    return usual_steps(start.columns(logits))
