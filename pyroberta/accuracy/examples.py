"""Texts, and what they are scored by, made into rows of ids for one class of model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..checks import excerpt
from ..config import RobertaConfig
from ..errors import ConfigError, InputError
from ..models import Model
from ..text.prompts import check_token_left
from ..text.sentence_folder import SentenceFolder
from ..text.tokenizer import Tokenizer
from .kinds import gives_vectors, is_multi_label, is_regression
from .rows import Row

# Hugging Face's mark of a token whose label is not counted.
_IGNORED = -100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """A text, and what it is scored by: a line of a file of JSON lines.

    Attributes:
        text: the text.
        text_pair: the second text of a pair.
        label: what the model should choose; see ``compare``.
        score: the number that its result should be ranked like.
    """

    text: str
    text_pair: str | None = None
    label: Any = None
    score: float | None = None


def read_examples(texts: Iterable[Any]) -> list[Example]:
    """Each a ``str``, or a mapping with the fields of ``Example``; others are not looked at.

    Raises:
        InputError: something else, no text at all, or a label or score for some texts alone.
    """
    examples = [_read(text, i) for i, text in enumerate(texts)]
    if not examples:
        raise InputError("texts must hold at least one text, not none")
    for i, example in enumerate(examples):
        for name in ("label", "score"):
            if (getattr(example, name) is None) != (getattr(examples[0], name) is None):
                raise InputError(
                    f"{name} must be given for every text or for none: "
                    f"texts[{i}] is not as texts[0]"
                )
    return examples


def _read(value: Any, index: int) -> Example:
    name = f"texts[{index}]"
    if isinstance(value, str):
        return Example(text=value)
    if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
        raise InputError(
            f'{name} must be a str, or an object with a str under "text", not {excerpt(value)}'
        )
    pair, score = value.get("text_pair"), value.get("score")
    if pair is not None and not isinstance(pair, str):
        raise InputError(f"text_pair of {name} must be a str, not {excerpt(pair)}")
    if score is not None:
        _check_number("score", name, score)
    return Example(text=value["text"], text_pair=pair, label=value.get("label"), score=score)


class ExampleReader:
    """Turns examples into rows of ids and what is known of them.

    Args:
        kind: the class of the model.
        config: its configuration.
        tokenizer: its tokenizer.
        sentence: how the vector of a text is made.
        first: an example like which all others are.

    Attributes:
        score_name: ``"accuracy"``, ``"spearman"``, or ``None`` where there is nothing to score by.
        with_vectors: each text, and each of a pair, is a row of its own, made into a vector.
        pairs: and the cosine of a pair's vectors is what is scored.
        skipped: the first tokens of a text, a prompt's, that are not pooled.

    Raises:
        InputError: a label or score that means nothing for the model.
    """

    def __init__(
        self,
        kind: type[Model[Any]],
        config: RobertaConfig,
        tokenizer: Tokenizer,
        sentence: SentenceFolder,
        first: Example,
    ) -> None:
        self._kind = kind
        self._config = config
        self._tokenizer = tokenizer
        self._sentence = sentence
        self._regression = is_regression(kind, config)
        self.pairs = first.score is not None and gives_vectors(kind)
        self.with_vectors = self.pairs or kind.decides == "nothing"
        prompts = sentence.prompts
        self.skipped = prompts.count_tokens(tokenizer, prompts.default)
        self.score_name: str | None = None
        if first.score is not None and first.label is not None:
            raise InputError(f"label must be left out beside a score, not {excerpt(first.label)}")
        if first.score is not None:
            if not self.pairs and not (self._regression and config.num_labels == 1):
                raise InputError(
                    f"score must be left out for this {kind.__name__}, which gives neither "
                    f"vectors nor one number for each text, not {first.score!r}"
                )
            self.score_name = "spearman"
        elif first.label is not None:
            if self._regression or kind.decides not in ("label", "token labels", "words"):
                other = "; numbers stand under score" if self._regression else ""
                raise InputError(
                    f"label must be left out for this {kind.__name__}, which chooses no label or "
                    f"word to score by, not {excerpt(first.label)}{other}"
                )
            self.score_name = "accuracy"

    def check(self, examples: Sequence[Example]) -> int:
        """Refuse what cannot be compared before anything is computed; gives the number of rows.

        It encodes every text, which takes little beside a model in float64.

        Raises:
            InputError: as ``rows``; labels or scores by which nothing can be told.
        """
        count, known = 0, False
        for index, example in enumerate(examples):
            rows = self.rows(example, index)
            count += len(rows)
            known = known or any(one >= 0 for row in rows for one in row.gold or ())
        if self.score_name == "accuracy" and not known:
            raise InputError("label must be known of at least one token, not null for all")
        scores = {example.score for example in examples}
        if self.score_name == "spearman" and len(scores) == 1:
            raise InputError(
                f"score must be different numbers, not {examples[0].score!r} for every text"
            )
        return count

    def rows(self, example: Example, index: int) -> list[Row]:
        """The rows of one example; ``index`` is its number in errors.

        Raises:
            InputError: a text that cannot be encoded; a label that is none of the model's.
        """
        if not self.with_vectors:
            pair = example.text_pair
            text = example.text if pair is None else (example.text, pair)
            tokenizer = self._tokenizer
            read = tokenizer.encode_with_offsets(text, index, max_tokens=tokenizer.max_tokens)
            ids, types = read.ids, read.types
            places = self._places(ids)
            gold = None
            if self.score_name == "accuracy":
                gold = self._gold(example, index, ids, places)
            return [Row(ids, places, gold, types if pair is not None else None)]
        if self.pairs and example.text_pair is None:
            raise InputError(
                f"text_pair of texts[{index}] must be given, not left out: a score is one of the "
                "likeness of two texts"
            )
        texts = [example.text] if example.text_pair is None else [example.text, example.text_pair]
        prompt = self._sentence.prompts.default
        encoded = [self._tokenizer.encode_one(prompt + text, index) for text in texts]
        return [
            Row(check_token_left(ids, self.skipped, index), self._places(ids)) for ids in encoded
        ]

    def _places(self, ids: list[int]) -> list[int] | None:
        """Where a text's masks are, if it has any and they are what the model fills."""
        if self._kind.decides != "words":
            return None
        mask = self._tokenizer.mask_token_id
        return [place for place, token_id in enumerate(ids) if token_id == mask] or None

    def _gold(
        self, example: Example, index: int, ids: list[int], places: list[int] | None
    ) -> list[int]:
        label, name = example.label, f"label of texts[{index}]"
        if self._kind.decides == "words":
            return self._words(example, index, ids, places)
        if self._kind.decides == "token labels":
            if not isinstance(label, list) or len(label) != len(ids):
                raise InputError(
                    f"{name} must be a list of {len(ids)} labels, one for each token with the "
                    f"special ones (null where none is), not {excerpt(label)}"
                )
            known = [one is not None and one != _IGNORED for one in label]
            return [
                self._label(one, name) if is_known else -1
                for one, is_known in zip(label, known, strict=True)
            ]
        if is_multi_label(self._kind, self._config):
            if not isinstance(label, list):
                raise InputError(f"{name} must be a list of labels, not {excerpt(label)}")
            chosen = {self._label(one, name) for one in label}
            return [int(n in chosen) for n in range(self._config.num_labels)]
        return [self._label(label, name)]

    def _label(self, label: Any, name: str) -> int:
        """The number of a label, from its name or its number."""
        names, count = self._config.labels, self._config.num_labels
        if isinstance(label, str):
            if label in names:
                return names.index(label)
            if label.isdecimal() and int(label) < count:
                return int(label)
        elif isinstance(label, int) and not isinstance(label, bool) and 0 <= label < count:
            return label
        shown = ", ".join(names[:8]) + (", ..." if count > 8 else "")
        raise InputError(
            f"{name} must be a label of the model ({shown}) or its number, not {excerpt(label)}"
        )

    def _words(
        self, example: Example, index: int, ids: list[int], places: list[int] | None
    ) -> list[int]:
        """The tokens that stand where the masks are once the label's words do."""
        mask, name = self._tokenizer.mask_token, f"label of texts[{index}]"
        if mask is None:
            raise ConfigError(f"tokenizer must have a mask token for labels, not none: {name}")
        if places is None:
            raise InputError(
                f"texts[{index}] must hold the mask token {mask!r} within its "
                f"{len(ids)} tokens where it has a label, not none"
            )
        words = [example.label] if isinstance(example.label, str) else example.label
        text, pair = example.text, example.text_pair
        count = text.count(mask) + (pair or "").count(mask)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError(f"{name} must be a word or a list of them, not {excerpt(words)}")
        if len(words) != count or len(places) != count:
            raise InputError(
                f"{name} must be a word for each of the {len(places)} masks, not {excerpt(words)}"
            )
        for word in words:
            # The mask stands for a word together with the space before it.
            if mask in text:
                text = text.replace(mask, word.strip(), 1)
            elif pair is not None:
                pair = pair.replace(mask, word.strip(), 1)
        filled = self._tokenizer.encode_one(text if pair is None else (text, pair), index)
        masked = {*places}
        same = len(filled) == len(ids) and all(
            a == b
            for place, (a, b) in enumerate(zip(filled, ids, strict=True))
            if place not in masked
        )
        if not same:
            raise InputError(f"{name} must be one token at each mask, not {excerpt(example.label)}")
        return [filled[place] for place in places]


def _check_number(what: str, name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise InputError(f"{what} of {name} must be a finite number, not {excerpt(value)}")
