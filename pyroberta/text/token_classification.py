"""token-classification: the names in a text, and other things that stand in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import excerpt, is_name_of, pick_flag
from ..errors import InputError
from ..logits import softmax
from ..models import RobertaForTokenClassification
from .encoding import Encoding
from .entities import STRATEGIES, Token, find_entities, goes_on
from .text_inputs import Answer, Answers, Job, TextOptions
from .text_task import TextTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenClassificationOptions(TextOptions):
    """What can be chosen for token-classification.

    Attributes:
        aggregation_strategy: ``"none"``: each token by itself; ``"simple"``: neighbours of one tag
            are one entity; ``"first"``, ``"average"``, ``"max"``: so, and words are kept whole,
            with the label of their first token, of the mean of their tokens' scores, or of their
            surest token.
        ignore_labels: what is left out.
        is_split_into_words: an input is a list of words, which are joined by ``delimiter``.
        delimiter: what stands between two words.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] | None = ("O",)
    is_split_into_words: bool = False
    delimiter: str = " "

    def __post_init__(self) -> None:
        super().__post_init__()
        strategy = self.aggregation_strategy
        strategy = str(getattr(strategy, "value", strategy)).lower()
        if not is_name_of(strategy, STRATEGIES):
            raise InputError(
                f"aggregation_strategy must be one of {', '.join(STRATEGIES)}, "
                f"not {excerpt(self.aggregation_strategy)}"
            )
        ignored = ("O",) if self.ignore_labels is None else self.ignore_labels
        if isinstance(ignored, str) or not isinstance(ignored, Iterable):
            raise InputError(f"ignore_labels must be a list of labels, not {excerpt(ignored)}")
        if not isinstance(self.delimiter, str):
            raise InputError(f"delimiter must be a str, not {excerpt(self.delimiter)}")
        split = pick_flag("is_split_into_words", self.is_split_into_words, False)
        object.__setattr__(self, "aggregation_strategy", strategy)
        object.__setattr__(self, "ignore_labels", tuple(ignored))
        object.__setattr__(self, "is_split_into_words", split)


class TokenClassification(TextTask):
    """The entities of each text.

    Each input is a ``str``, or with ``is_split_into_words`` a list of words. See ``TextTask`` for
    what all tasks take and ``TokenClassificationOptions`` for the options.

    A call gives for each text a list of dictionaries in the order of the text. With
    ``aggregation_strategy="none"`` of each token ``entity``, ``score``, ``index``, ``word``,
    ``start`` and ``end``; else of each entity ``entity_group``, ``score`` (the mean of its
    tokens' or words'), ``word``, ``start`` and ``end``. ``word`` is ``text[start:end]``.

    A text beyond the model's limit is cut, or with ``stride`` read by windows: each token then
    has the scores of the window in which it stands furthest from an edge, and entities are found
    once, in the whole text, so that no window shows in them.

    Example:
        >>> names = pipeline("ner", path, aggregation_strategy="first")  # doctest: +SKIP
        >>> names("Ann lives in Oslo.")  # doctest: +SKIP
        [{'entity_group': 'PER', 'score': 0.99, 'word': 'Ann', 'start': 0, 'end': 3}, ...]
    """

    model_class = RobertaForTokenClassification
    options_class = TokenClassificationOptions

    def is_one(self, inputs: Any, options: Any) -> bool:
        if options.is_split_into_words:
            return isinstance(inputs, (list, tuple)) and all(isinstance(w, str) for w in inputs)
        return isinstance(inputs, str)

    def read(self, item: Any, index: int, options: Any) -> str:
        if not options.is_split_into_words:
            text: str = super().read(item, index, options)
            return text
        if not isinstance(item, (list, tuple)) or not all(isinstance(w, str) for w in item):
            raise InputError(f"texts[{index}] must be a list of words, not {excerpt(item)}")
        return str(options.delimiter).join(item)

    def of_batch(self, output: Any, options: Any) -> list[Array]:
        rows: list[Array] = output.of_rows(output.logits)
        return rows

    def answer(self, job: Job, outputs: list[Array], options: Any) -> Answers:
        tokens = self._tokens(job, [softmax(logits) for logits in outputs])
        found = find_entities(
            job.item,
            tokens,
            self.model.config.labels,
            options.aggregation_strategy,
            options.ignore_labels,
        )
        return Answers(map(Answer, found))

    def _tokens(self, job: Job, scores: list[Array]) -> list[Token]:
        """The tokens of the text, each with its scores from one of the windows."""
        best: dict[int, tuple[float, Encoding, int, Array]] = {}
        for number, (row, of_row) in enumerate(zip(job.rows, scores, strict=True)):
            is_windowed = len(job.rows) > 1 and row.places is not None
            own = row.places_of(0)
            for at, here in enumerate(own):
                place = row.places[here] if is_windowed and row.places else here
                left = at if number > 0 else np.inf
                right = len(own) - 1 - at if number < len(job.rows) - 1 else np.inf
                depth = min(left, right)
                if place not in best or depth > best[place][0]:
                    best[place] = depth, row, here, of_row[here]
        tokens: list[Token] = []
        end_before = 0
        for place in sorted(best):
            _, row, here, of_token = best[place]
            start, end = row.offsets[here]
            part = self._goes_on(job.item, row.ids[here], start, end_before)
            tokens.append(Token(of_token, start, end, place, part))
            end_before = end
        return tokens

    def _goes_on(self, text: str, token_id: int, start: int, end_before: int) -> bool:
        prefix = self.tokenizer.subword_prefix
        if prefix:
            return (self.tokenizer.id_to_token(token_id) or "").startswith(prefix)
        return goes_on(text, start, end_before)
