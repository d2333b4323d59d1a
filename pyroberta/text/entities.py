"""From the scores of tokens to entities: words, tags, and groups of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ..arrays import Array

# What begins a tag, in IOB2 and in BILOU or IOBES: begin, inside; last or end, unit or single.
_OPENS = ("B-", "U-", "S-")
_CLOSES = ("L-", "E-", "U-", "S-")


@dataclasses.dataclass(frozen=True)
class Token:
    """One token, or the word that several were joined to.

    Attributes:
        scores: of each label, ``[labels]``.
        start, end: where it stands in its text, in characters.
        index: its place in the row.
        goes_on: whether it is a part of the word before it.
    """

    scores: Array
    start: int
    end: int
    index: int
    goes_on: bool = False


def _first(tokens: Sequence[Token]) -> Array:
    return tokens[0].scores


def _average(tokens: Sequence[Token]) -> Array:
    mean: Array = np.mean([token.scores for token in tokens], axis=0)
    return mean


def _highest(tokens: Sequence[Token]) -> Array:
    return max(tokens, key=lambda token: float(token.scores.max())).scores


# What the scores of a word are of its tokens'.
_OF_WORDS: dict[str, Callable[[Sequence[Token]], Array]] = {
    "first": _first,
    "average": _average,
    "max": _highest,
}
STRATEGIES = ("none", "simple", *_OF_WORDS)


def goes_on(text: str, start: int, end_before: int) -> bool:
    """Whether a token goes on with the word before it: no white space stands between the two.

    Several tokens of one character (an emoji's bytes) begin before the last one ended.
    """
    if start < end_before:
        return True
    return start > 0 and not any(map(str.isspace, text[start - 1 : start + 1]))


def find_entities(
    text: str,
    tokens: Sequence[Token],
    labels: Sequence[str],
    strategy: str,
    ignored: Collection[str],
) -> list[dict[str, Any]]:
    """The entities of a text, in its order.

    Args:
        text: what the tokens' ``start`` and ``end`` are places of.
        tokens: all of the text.
        labels: their names.
        strategy: ``"none"``: each token by itself; ``"simple"``: neighbours of one tag together;
            ``"first"``, ``"average"``, ``"max"``: words are kept whole, and have the scores of
            their first token, the mean of their tokens', or those of the surest token.
        ignored: labels, and after grouping tags, that are left out.

    Example:
        >>> tokens = [Token(np.array([0.1, 0.9]), 0, 3, 1)]
        >>> find_entities("Ann", tokens, ["O", "B-PER"], "simple", ["O"])
        [{'entity_group': 'PER', 'score': 0.9, 'word': 'Ann', 'start': 0, 'end': 3}]
    """
    if strategy in _OF_WORDS:
        tokens = _words(tokens, _OF_WORDS[strategy])
    best = [int(token.scores.argmax()) for token in tokens]
    scored = [float(token.scores[i]) for token, i in zip(tokens, best, strict=True)]
    if strategy == "none":
        found = [
            {
                "entity": labels[i],
                "score": score,
                "index": token.index,
                "word": text[token.start : token.end],
                "start": token.start,
                "end": token.end,
            }
            for token, i, score in zip(tokens, best, scored, strict=True)
        ]
        return [one for one in found if one["entity"] not in ignored]
    tags = Tags(labels)
    groups: list[list[int]] = []
    for place, i in enumerate(best):
        if groups and tags.joins(labels[best[place - 1]], labels[i]):
            groups[-1].append(place)
        else:
            groups.append([place])
    found = []
    for group in groups:
        start, end = tokens[group[0]].start, tokens[group[-1]].end
        found.append(
            {
                "entity_group": tags.of(labels[best[group[0]]])[1],
                "score": float(np.mean([scored[place] for place in group])),
                "word": text[start:end],
                "start": start,
                "end": end,
            }
        )
    return [one for one in found if one["entity_group"] not in ignored]


def _words(tokens: Sequence[Token], scores_of: Callable[[Sequence[Token]], Array]) -> list[Token]:
    words: list[list[Token]] = []
    for token in tokens:
        if words and token.goes_on:
            words[-1].append(token)
        else:
            words.append([token])
    return [Token(scores_of(word), word[0].start, word[-1].end, word[0].index) for word in words]


class Tags:
    """How a model's labels mark where an entity begins and ends.

    ``B-`` begins and ``I-`` goes on (IOB2). A label with ``L-``, ``U-``, ``E-`` or ``S-`` ends an
    entity or is one alone (BILOU, IOBES) where the same tag has a ``B-`` too; else these letters
    are a part of the tag's name.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        begun = {label[2:] for label in labels if label.startswith("B-")}
        self._marks = {
            label: label[:2]
            for label in labels
            if label[:2] in ("B-", "I-") or (label[:2] in _CLOSES and label[2:] in begun)
        }

    def of(self, label: str) -> tuple[str, str]:
        """The mark and the tag of a label; one without a mark goes on, as ``I-`` does."""
        mark = self._marks.get(label)
        return ("I-", label) if mark is None else (mark, label[2:])

    def joins(self, before: str, label: str) -> bool:
        """Whether a token of ``label`` goes on with the entity of the token before it."""
        (mark_before, tag_before), (mark, tag) = self.of(before), self.of(label)
        return tag == tag_before and mark not in _OPENS and mark_before not in _CLOSES
