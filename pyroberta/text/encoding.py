"""A text's tokens with where each stands in it, and the cuts and windows of what is too long."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InputError


@dataclasses.dataclass(frozen=True)
class Encoding:
    """The tokens of a text or a pair, in the order that the model reads them.

    Attributes:
        ids: of the vocabulary.
        types: of each token, as BERT's tokenizers give them; ``None`` where they give none.
        offsets: where each token begins and ends in its text, in characters; ``(0, 0)`` for one
            that the tokenizer added.
        sequences: which text each is of, 0 or 1; ``None`` for one that the tokenizer added.
        word_ids: the number of each token's word, as the tokenizer parts its text before it
            looks pieces up; ``None`` for one that the tokenizer added.
        texts: what was encoded, one or two.
        n_cut: how many tokens were left out for the model's limit.
        places: of a cut or a window: where each token stood in the whole; ``None``: it is whole.

    Example:
        >>> encoding = tokenizer.encode_with_offsets("A short text.")  # doctest: +SKIP
        >>> [encoding.text_of(place) for place in range(len(encoding.ids))]  # doctest: +SKIP
        ['', 'A', 'short', 'text', '.', '']
    """

    ids: list[int]
    types: list[int] | None
    offsets: list[tuple[int, int]]
    sequences: list[int | None]
    word_ids: list[int | None]
    texts: tuple[str, ...]
    n_cut: int = 0
    places: list[int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for each token that the tokenizer added, 0 for those of a text."""
        return [int(sequence is None) for sequence in self.sequences]

    def text_of(self, place: int) -> str:
        """The characters of the token at ``place``."""
        sequence, (start, end) = self.sequences[place], self.offsets[place]
        return "" if sequence is None else self.texts[sequence][start:end]

    def places_of(self, sequence: int) -> list[int]:
        """The places of one text's tokens."""
        return [place for place, one in enumerate(self.sequences) if one == sequence]

    def take(self, places: Sequence[int]) -> Encoding:
        """One of these tokens alone; what is left out of the texts counts as cut."""
        return dataclasses.replace(
            self,
            ids=[self.ids[i] for i in places],
            types=None if self.types is None else [self.types[i] for i in places],
            offsets=[self.offsets[i] for i in places],
            sequences=[self.sequences[i] for i in places],
            word_ids=[self.word_ids[i] for i in places],
            n_cut=self.n_cut + len(self.ids) - len(places),
            places=[i if self.places is None else self.places[i] for i in places],
        )

    def with_second(self, other: Encoding) -> Encoding:
        """This pair with the second text of ``other`` in place of its own, uncut both.

        The tokens are those that the pair would be encoded to: a tokenizer reads the texts of a
        pair one by one. Both need a token of their second text.
        """
        ours, theirs = self.places_of(1), other.places_of(1)
        first, last = range(ours[0]), range(ours[-1] + 1, len(self))

        def joined(of_self: list[Any], of_other: list[Any]) -> list[Any]:
            return [
                *(of_self[i] for i in first),
                *(of_other[i] for i in theirs),
                *(of_self[i] for i in last),
            ]

        return Encoding(
            ids=joined(self.ids, other.ids),
            types=joined(self.types, other.types) if self.types and other.types else None,
            offsets=joined(self.offsets, other.offsets),
            sequences=joined(self.sequences, other.sequences),
            word_ids=joined(self.word_ids, other.word_ids),
            texts=(self.texts[0], other.texts[1]),
        )

    def windows(self, max_tokens: int, stride: int, *, sequence: int = 0) -> list[list[int]]:
        """The places of each window of at most ``max_tokens`` tokens over one of the texts.

        Each holds the other text and the added tokens whole. All but the last are full; two
        neighbours share ``stride`` tokens.

        Raises:
            InputError: there is no room for a window, or ``stride`` is no less than a window.
        """
        cut = self.places_of(sequence)
        room = max_tokens - (len(self.ids) - len(cut))
        if len(cut) <= max(room, 0):
            return [list(range(len(self.ids)))]
        if room < 1:
            raise InputError(
                f"max_length must leave room for a token of the text, not be {max_tokens}, which "
                f"{len(self.ids) - len(cut)} tokens beside it fill"
            )
        if stride >= room:
            raise InputError(
                f"stride must be below the {room} tokens of the text in a window, not {stride}"
            )
        first = [i for i in range(len(self.ids)) if i < cut[0]]
        last = [i for i in range(len(self.ids)) if i > cut[-1]]
        return [[*first, *cut[start:end], *last] for start, end in windows(len(cut), room, stride)]


def windows(tokens: int, room: int, stride: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each window of ``room`` tokens, of which neighbours share ``stride``.

    Example:
        >>> list(windows(10, 5, 2))
        [(0, 5), (3, 8), (6, 10)]
    """
    start = 0
    while True:
        end = min(start + room, tokens)
        yield start, end
        if end == tokens:
            return
        start += room - stride


def kept_tokens(lengths: Sequence[int], room: int) -> list[int]:
    """How many tokens of each text are kept so that all have ``room``: the longest are cut first.

    Args:
        lengths: of one text or two.
        room: below the sum of the lengths.

    Example:
        >>> kept_tokens([9], 4), kept_tokens([2, 9], 8), kept_tokens([9, 7], 5)
        ([4], [2, 6], [2, 3])
    """
    if len(lengths) == 1:
        return [room]
    short, long = sorted(lengths)
    # As the tokenizers library: of two long ones, the longer gets the odd token.
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = room - short
    return [short, long] if lengths[0] <= lengths[1] else [long, short]


def cut(encoding: Encoding, max_tokens: int, side: str, *, sequence: int | None = None) -> Encoding:
    """One of at most ``max_tokens`` tokens: the texts are cut on ``side``, the longest first.

    Args:
        encoding: what is cut. One that what may not be cut fills alone is left as it is.
        max_tokens: the most tokens of the result.
        side: ``"left"`` or ``"right"``.
        sequence: the text that alone may be cut; ``None``: each may.
    """
    if len(encoding) <= max_tokens:
        return encoding
    numbers = range(len(encoding.texts)) if sequence is None else [sequence]
    of_texts = [encoding.places_of(i) for i in numbers]
    room = max_tokens - (len(encoding) - sum(map(len, of_texts)))
    if room < 0:
        return encoding
    left_out: set[int] = set()
    for places, kept in zip(of_texts, kept_tokens(list(map(len, of_texts)), room), strict=True):
        n_out = len(places) - kept
        left_out.update(places[:n_out] if side == "left" else places[kept:])
    return encoding.take([i for i in range(len(encoding)) if i not in left_out])
