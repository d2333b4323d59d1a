"""fill-mask: the words that a masked language model puts where the mask stands."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, IntArray
from ..checks import check_count, excerpt
from ..errors import ConfigError, InputError
from ..logits import highest, softmax
from ..models import RobertaForMaskedLM
from .batching import read_texts
from .encoding import Encoding
from .text_inputs import Answer, Answers, Job, TextOptions
from .text_task import TextTask
from .tokenizer import Tokenizer

# The ids of words and their probabilities.
_Words = tuple[IntArray, Array]

# The most bytes of float32 logits in a batch. One row of a vocabulary of 250,002 words is 1 MB,
# and short texts have a mask every ten tokens: a batch of 4,096 tokens would need 400 MB.
_MAX_LOGITS_BYTES = 2**26


@dataclasses.dataclass(frozen=True, kw_only=True)
class FillMaskOptions(TextOptions):
    """What can be chosen for fill-mask.

    Attributes:
        top_k: how many words to give.
        targets: give these words alone, by their probability among all; one, or a list.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "top_k", check_count("top_k", self.top_k, 1))
        if self.targets is not None:
            object.__setattr__(self, "targets", tuple(read_texts(self.targets)[0]))
        if self.stride is not None:
            raise InputError("stride must be left out for fill-mask, which has no windows")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Chosen(FillMaskOptions):
    """The options of a call with the ids of its targets."""

    target_ids: IntArray | None = None


class FillMask(TextTask):
    """The most probable words at each mask of a text.

    Each text holds the mask token at least once. See ``TextTask`` for what all tasks take and
    ``FillMaskOptions`` for the options.

    A call gives for a text with one mask a list of dictionaries, the most probable first:
    ``score``, the probability; ``token``, the word's id; ``token_str``, its text; ``sequence``, the
    text with it. For a text with several masks one such list for each; there ``sequence`` keeps
    the special tokens, so that the other masks show. A list of one text gives a list of one answer
    (Hugging Face's pipeline gives the answer itself).

    A call raises InputError for a text without a mask token, or with one beyond the model's
    length; ``top_k`` out of range; no target that the tokenizer knows.

    Example:
        >>> fill = pipeline("fill-mask")
        >>> fill("Please close the <mask> when you leave.", top_k=1)  # doctest: +SKIP
        [{'score': 0.41, 'token': 744, 'token_str': ' door', 'sequence': 'Please close the ...'}]
    """

    model_class = RobertaForMaskedLM
    options_class = FillMaskOptions
    is_shipped = True

    def __init__(self, model: RobertaForMaskedLM, tokenizer: Tokenizer, **options: Any) -> None:
        if tokenizer.mask_token_id is None:
            raise ConfigError(
                f"tokenizer must have a mask token for fill-mask, not none: {tokenizer!r}"
            )
        super().__init__(model, tokenizer, **options)

    def _check_options(self, options: FillMaskOptions) -> None:
        if options.top_k > self.model.config.vocab_size:
            raise InputError(
                f"top_k must be at most vocab_size ({self.model.config.vocab_size}), "
                f"not {options.top_k}"
            )

    def _answers_of(
        self, inputs: Iterator[Any], options: Any, batch_size: int | None
    ) -> Iterator[Any]:
        ids = None if options.targets is None else self._target_ids(options.targets)
        chosen = _Chosen(**vars(options), target_ids=ids)
        return super()._answers_of(inputs, chosen, batch_size)

    def encode_all(self, items: Sequence[tuple[int, str]], options: Any) -> list[Job]:
        jobs = super().encode_all(items, options)
        for job in jobs:
            self._check_masks(job)
        return jobs

    def weigh(self, rows: Sequence[Encoding]) -> tuple[list[int], int]:
        row_bytes = 4 * self.model.config.vocab_size
        return [len(self._places(row.ids)) for row in rows], max(1, _MAX_LOGITS_BYTES // row_bytes)

    def run(self, rows: Sequence[Sequence[int]], types: Any) -> list[list[Array]]:
        places = [(i, place) for i, ids in enumerate(rows) for place in self._places(ids)]
        logits = iter(self.model.encode_rows(rows, types, logit_positions=places).logits)
        return [[next(logits) for _ in self._places(ids)] for ids in rows]

    def of_batch(self, output: list[list[Array]], options: Any) -> list[list[_Words]]:
        # The best alone: the logits of all the masks of a call may be gigabytes.
        return [[self._best(logits, options) for logits in row] for row in output]

    def answer(self, job: Job, outputs: list[list[_Words]], options: Any) -> Answers:
        ids, n_masks = job.rows[0].ids, len(outputs[0])
        found = [
            self._answers_of_mask(words, ids, place, n_masks)
            for words, place in zip(outputs[0], self._places(ids), strict=True)
        ]
        return Answers(found[0] if n_masks == 1 else found)

    def _places(self, ids: Sequence[int]) -> list[int]:
        mask = self.tokenizer.mask_token_id
        return [place for place, token_id in enumerate(ids) if token_id == mask]

    def _check_masks(self, job: Job) -> None:
        """Refuse a text without a mask in what is read of it."""
        if self._places(job.rows[0].ids):
            return
        token = self.tokenizer.mask_token
        assert token is not None
        if token in job.item:
            raise InputError(
                f"texts[{job.index}] must have its mask token {token!r} within the first "
                f"{self.tokenizer.max_tokens} tokens, not after them"
            )
        raise InputError(
            f"texts[{job.index}] must hold the mask token {token!r}, not {excerpt(job.item)}"
        )

    def _target_ids(self, targets: Sequence[str]) -> IntArray:
        """The ids of the words to choose from, ascending, each once.

        A target is looked up as the vocabulary spells it; one that is not there is encoded, and
        its first token taken, with a warning.
        """
        found: set[int] = set()
        for word in targets:
            token_id = self.tokenizer.token_to_id(word)
            if token_id is None:
                ids = self.tokenizer.encode([word], add_special_tokens=False)[0]
                if not ids:
                    warnings.warn(f"target {word!r} is no word: it is left out", stacklevel=4)
                    continue
                token_id = ids[0]
                taken = self.tokenizer.id_to_token(token_id)
                warnings.warn(
                    f"target {word!r} is not in the vocabulary: {taken!r} is taken in its place",
                    stacklevel=4,
                )
            elif token_id >= self.model.config.vocab_size:
                raise InputError(
                    f"targets must be words of the model, not {word!r}: its id {token_id} is not "
                    f"below vocab_size ({self.model.config.vocab_size})"
                )
            found.add(token_id)
        if not found:
            raise InputError(f"targets must hold a word that the tokenizer knows, not {targets!r}")
        return np.array(sorted(found), np.int64)

    def _best(self, logits: Array, options: Any) -> _Words:
        """The best words for one mask, from its logits ``[vocab]``: ids and probabilities."""
        scores = softmax(logits)
        ids = options.target_ids
        chosen = np.arange(len(scores)) if ids is None else ids
        best = chosen[highest(scores[chosen], options.top_k)]
        return best, scores[best]

    def _answers_of_mask(
        self, words: _Words, ids: list[int], place: int, n_masks: int
    ) -> list[Answer]:
        """What is told of the words for one mask."""
        answers = []
        for token_id, score in zip(words[0].tolist(), words[1].tolist(), strict=True):
            filled = [*ids[:place], token_id, *ids[place + 1 :]]
            filled = [i for i in filled if i != self.tokenizer.pad_token_id]
            answers.append(
                Answer(
                    score=score,
                    token=token_id,
                    token_str=self.tokenizer.decode([token_id]),
                    sequence=self.tokenizer.decode(filled, skip_special_tokens=n_masks == 1),
                )
            )
        return answers
