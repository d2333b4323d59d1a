"""fill-mask: the words that a masked language model puts where the mask stands."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..arrays import Array, IntArray
from ..checks import check_count
from ..errors import ConfigError, InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..logits import highest, softmax
from ..models import RobertaForMaskedLM
from .batching import BATCH_TOKENS, plan_batches, read_texts
from .task import Task
from .tokenizer import Tokenizer

Answer = dict[str, Any]

# The most bytes of float32 logits in a batch. One row of a vocabulary of 250,002 words is 1 MB,
# and short texts have a mask every ten tokens: a batch of 4,096 tokens would need 400 MB.
_MAX_LOGITS_BYTES = 2**26


class FillMask(Task):
    """The most probable words at each mask of a text.

    Args:
        model: with a language-model head.
        tokenizer: the model's.
        batch_tokens: the most tokens that are computed together.
        top_k: how many words to give.
        targets: give these words alone, by their probability among all.

    Example:
        >>> fill = pipeline("fill-mask")
        >>> fill("Please close the <mask> when you leave.", top_k=1)  # doctest: +SKIP
        [{'score': 0.41, 'token': 744, 'token_str': ' door', 'sequence': 'Please close the ...'}]
    """

    model_class = RobertaForMaskedLM

    def __init__(
        self,
        model: RobertaForMaskedLM,
        tokenizer: Tokenizer,
        *,
        batch_tokens: int = BATCH_TOKENS,
        top_k: int = 5,
        targets: str | list[str] | None = None,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise ConfigError(
                f"tokenizer must have a mask token for fill-mask, not none: {tokenizer!r}"
            )
        super().__init__(model, tokenizer, batch_tokens=batch_tokens)
        self.top_k = self._check_top_k(top_k)
        self.targets = targets

    @in_usual_arithmetic
    def __call__(
        self,
        texts: str | list[str],
        *,
        top_k: int | None = None,
        targets: str | list[str] | None = None,
    ) -> list[Any]:
        """The answers for one text, or a list of them for a list.

        Args:
            texts: each holds the mask token at least once.
            top_k, targets: for this call, in place of the pipeline's.

        Returns:
            For a text with one mask a list of dictionaries, the most probable first: ``score``,
            the probability; ``token``, the word's id; ``token_str``, its text; ``sequence``, the
            text with it. For a text with several masks one such list for each; there
            ``sequence`` keeps the special tokens, so that the other masks show. A list of one
            text gives a list of one answer (Hugging Face's pipeline gives the answer itself).

        Raises:
            InputError: a text without a mask token, or with one beyond the model's length;
                ``top_k`` out of range; no target that the tokenizer knows.
        """
        checked, single = read_texts(texts)
        top = self.top_k if top_k is None else self._check_top_k(top_k)
        wanted = self.targets if targets is None else targets
        target_ids = None if wanted is None else self._target_ids(wanted)
        rows = self.tokenizer.encode(checked)
        masks = [self._mask_places(i, text, rows[i]) for i, text in enumerate(checked)]
        answers: list[Any] = [None] * len(rows)
        for batch in plan_batches(
            [len(ids) for ids in rows],
            self.batch_tokens,
            [len(places) for places in masks],
            max(1, _MAX_LOGITS_BYTES // (4 * self.model.config.vocab_size)),
        ):
            places = [(i, place) for i, row in enumerate(batch) for place in masks[row]]
            output = self.model.encode_rows([rows[row] for row in batch], logit_positions=places)
            logits = iter(output.logits)
            for row in batch:
                found = [
                    self._answers(next(logits), rows[row], place, len(masks[row]), top, target_ids)
                    for place in masks[row]
                ]
                answers[row] = found[0] if len(found) == 1 else found
            del output, logits  # else they would stand beside the next batch's
        answer: list[Any] = answers[0] if single else answers
        return answer

    def _check_top_k(self, top_k: int) -> int:
        number = check_count("top_k", top_k, 1)
        if number > self.model.config.vocab_size:
            raise InputError(
                f"top_k must be at most vocab_size ({self.model.config.vocab_size}), not {number}"
            )
        return number

    def _mask_places(self, index: int, text: str, ids: list[int]) -> list[int]:
        mask = self.tokenizer.mask_token_id
        places = [place for place, token_id in enumerate(ids) if token_id == mask]
        if not places:
            token = self.tokenizer.mask_token
            assert token is not None
            if token in text:
                raise InputError(
                    f"texts[{index}] must have its mask token {token!r} within the first "
                    f"{self.tokenizer.max_tokens} tokens, not after them"
                )
            shown = text if len(text) <= 60 else text[:57] + "..."
            raise InputError(f"texts[{index}] must hold the mask token {token!r}, not {shown!r}")
        return places

    def _target_ids(self, targets: str | list[str]) -> IntArray:
        """The ids of the words to choose from, ascending, each once.

        A target is looked up as the vocabulary spells it; one that is not there is encoded, and
        its first token taken, with a warning.
        """
        words, _ = read_texts(targets)
        found: set[int] = set()
        for word in words:
            token_id = self.tokenizer.token_to_id(word)
            if token_id is None:
                ids = self.tokenizer.encode([word], add_special_tokens=False)[0]
                if not ids:
                    warnings.warn(f"target {word!r} is no word: it is left out", stacklevel=3)
                    continue
                token_id = ids[0]
                taken = self.tokenizer.id_to_token(token_id)
                warnings.warn(
                    f"target {word!r} is not in the vocabulary: {taken!r} is taken in its place",
                    stacklevel=3,
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

    def _answers(
        self,
        logits: Array,
        ids: list[int],
        place: int,
        n_masks: int,
        top_k: int,
        target_ids: IntArray | None,
    ) -> list[Answer]:
        """The best words for one mask, from its logits ``[vocab]``."""
        scores = softmax(logits)
        chosen = np.arange(len(scores)) if target_ids is None else target_ids
        answers = []
        for token_id in chosen[highest(scores[chosen], top_k)].tolist():
            filled = [*ids[:place], token_id, *ids[place + 1 :]]
            filled = [i for i in filled if i != self.tokenizer.pad_token_id]
            answers.append(
                {
                    "score": float(scores[token_id]),
                    "token": token_id,
                    "token_str": self.tokenizer.decode([token_id]),
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=n_masks == 1),
                }
            )
        return answers
