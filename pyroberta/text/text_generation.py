"""text-generation and text2text-generation: a text that goes on, and a text for a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import IntArray
from ..checks import check_count
from ..config import RobertaConfig
from ..decoder.causal import RobertaForCausalLM
from ..decoder.encoder_decoder import RobertaEncoderDecoder
from ..decoder.files import read_encoder_config
from ..errors import InputError
from ..generation import GenerationOptions
from .batching import BATCH_TOKENS, plan_batches, read_texts
from .task import Task
from .tokenizer import Tokenizer

Answer = dict[str, str]

# What a decoder shows where the bytes of a character are not all there yet.
_PARTIAL = "\ufffd"


class _Generation(Task):
    """What both tasks share; ``options`` are those of ``GenerationOptions``."""

    # The new tokens go on from the text, else they are a text of their own.
    _goes_on: bool

    def __init__(
        self, model: Any, tokenizer: Tokenizer, *, batch_tokens: int = BATCH_TOKENS, **options: Any
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens)
        GenerationOptions(**options)  # what is wrong with them is said now
        self.options = options

    def _prompt(self, ids: list[int], index: int) -> list[int]:
        """What of the ids of text number ``index`` the model reads. Raises InputError."""
        raise NotImplementedError

    def _ends(self) -> tuple[int, ...]:
        """What ends a text where the options name nothing else."""
        raise NotImplementedError

    def _generate(self, texts: list[str], options: dict[str, Any]) -> list[str]:
        """What is written for, or after, each text."""
        options = self.options | options
        rows = [self._prompt(ids, i) for i, ids in enumerate(self.tokenizer.encode(texts))]
        seeds = self._seeds(options, len(rows))
        written = [""] * len(rows)
        for batch in plan_batches([len(row) for row in rows], self.batch_tokens):
            ids, attended = self.tokenizer.pad([rows[row] for row in batch])
            if seeds is not None:
                options["seed"] = [seeds[row] for row in batch]
            result = self.model.generate(ids, attended, **options)
            start = ids.shape[1] if self._goes_on else 1
            for row, new in zip(batch, result[:, start:], strict=True):
                written[row] = self._decode(rows[row], new.tolist(), options)
        return written

    def stream(self, text: str, **options: Any) -> Iterator[str]:
        """What is written for, or after, one text: in pieces, as they are known.

        The pieces together are what a call gives. Beam search has no stream.

        Raises:
            InputError: as a call does.
        """
        if not isinstance(text, str):
            raise InputError(f"text must be a str, not {type(text).__name__}")
        options = self.options | options
        row = self._prompt(self.tokenizer.encode([text])[0], 0)
        seeds = self._seeds(options, 1)
        if seeds is not None:
            options["seed"] = seeds
        columns = self.model.stream([row], [[True] * len(row)], **options)
        return self._pieces(row, columns, options)

    def _pieces(
        self, row: list[int], columns: Iterator[IntArray], options: dict[str, Any]
    ) -> Iterator[str]:
        told, new = "", []
        text = ""
        for column in columns:
            new.append(int(column[0]))
            text = self._decode(row, new, options)
            # A character whose last bytes are to come, or a word that is still changing, waits.
            if not text.endswith(_PARTIAL) and text.startswith(told) and len(text) > len(told):
                yield text[len(told) :]
                told = text
        if text.startswith(told) and len(text) > len(told):
            yield text[len(told) :]

    def _decode(self, row: list[int], new: list[int], options: dict[str, Any]) -> str:
        """The text of the new tokens up to an end, as it reads after what stands before them."""
        ends = options.get("eos_token_id")
        ends = self._ends() if ends is None else tuple(np.atleast_1d(ends).tolist())
        length = next((i for i, token in enumerate(new) if token in ends), len(new))
        before = row if self._goes_on else []
        start = self.tokenizer.decode(before, skip_special_tokens=True) if before else ""
        text = self.tokenizer.decode([*before, *new[:length]], skip_special_tokens=True)
        return text[len(start) :]

    def _seeds(self, options: dict[str, Any], texts: int) -> list[int] | None:
        """A seed for each text, so that its answer does not depend on the batches."""
        seed = options.get("seed")
        if seed is None:
            return None
        if np.ndim(seed) == 0:
            number = check_count("seed", seed, 0)
            words = [np.random.SeedSequence([number, i]).generate_state(2) for i in range(texts)]
            return [int(high) << 32 | int(low) for high, low in words]
        if len(seed) != texts:
            raise InputError(
                f"seed must be one number, or one for each of {texts} texts, not {seed}"
            )
        return [check_count("seed", one, 0) for one in seed]


class TextGeneration(_Generation):
    """Goes on from each text, with a causal model.

    The tokenizer's end token is taken off the text, so that there is something to go on from.

    Args:
        model: a causal language model.
        tokenizer: the model's.
        batch_tokens: the most tokens of texts that are computed together.
        **options: those of ``pyroberta.generation.GenerationOptions``, for every call.

    Example:
        >>> write = pipeline("text-generation", path, max_new_tokens=8)  # doctest: +SKIP
        >>> write("Once upon a")  # doctest: +SKIP
        [{'generated_text': 'Once upon a time, there was ...'}]
    """

    model_class = RobertaForCausalLM
    _goes_on = True

    def __call__(
        self, texts: str | list[str], *, return_full_text: bool = True, **options: Any
    ) -> list[Any]:
        """A list of one dictionary for one text, or a list of such lists for a list.

        Args:
            texts: what to go on from.
            return_full_text: ``generated_text`` begins with the text itself.
            **options: in place of the pipeline's.

        Raises:
            InputError: an option out of range; a text that leaves no room for new tokens.
        """
        checked, single = read_texts(texts)
        written = self._generate(checked, options)
        if return_full_text:
            written = [text + more for text, more in zip(checked, written, strict=True)]
        answers = [[{"generated_text": text}] for text in written]
        return answers[0] if single else answers

    def _prompt(self, ids: list[int], index: int) -> list[int]:
        # A longer text was cut at its end, which is what there is to go on from.
        if len(ids) >= self.model.config.max_tokens:
            raise InputError(
                f"texts[{index}] must encode to fewer than the model's "
                f"{self.model.config.max_tokens} tokens, not fill it"
            )
        return ids[:-1] if len(ids) > 1 and ids[-1] in self._ends() else ids

    def _ends(self) -> tuple[int, ...]:
        end = self.model.config.eos_token_id
        return () if end is None else tuple(np.atleast_1d(end).tolist())


class Text2TextGeneration(_Generation):
    """Writes a text for each text, with an encoder-decoder.

    Args:
        model: a ``RobertaEncoderDecoder``.
        tokenizer: of both its sides.
        batch_tokens: the most tokens of texts that are computed together.
        **options: those of ``pyroberta.generation.GenerationOptions``, for every call.
    """

    model_class = RobertaEncoderDecoder
    is_shipped = False
    _goes_on = False

    @classmethod
    def read_config(cls, folder: Path) -> RobertaConfig:
        return read_encoder_config(folder)

    @classmethod
    def config_of(cls, model: RobertaEncoderDecoder) -> RobertaConfig:
        return model.encoder.config

    def __call__(self, texts: str | list[str], **options: Any) -> list[Answer]:
        """A dictionary with ``generated_text`` for each text, in a list also for one text.

        Args:
            texts: what to write for.
            **options: in place of the pipeline's.

        Raises:
            InputError: an option out of range; a text that is none.
        """
        checked, _ = read_texts(texts)
        return [{"generated_text": text} for text in self._generate(checked, options)]

    def _prompt(self, ids: list[int], index: int) -> list[int]:
        return ids

    def _ends(self) -> tuple[int, ...]:
        end = self.model.eos_token_id
        end = self.model.decoder.config.eos_token_id if end is None else end
        return () if end is None else tuple(np.atleast_1d(end).tolist())
