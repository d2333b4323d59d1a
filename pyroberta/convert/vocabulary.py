"""A tokenizer with a part of its vocabulary: what must stay, and its ``tokenizer.json`` anew."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ..checks import excerpt
from ..errors import CheckpointError

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# What bytes are written as by byte-level BPE: those that can be printed stand for themselves.
_PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = [chr(b) for b in _PRINTED] + [chr(256 + n) for n in range(256 - len(_PRINTED))]


class Vocabulary:
    """The vocabulary of a ``tokenizer.json``.

    Args:
        text: the file's.

    Raises:
        CheckpointError: a model of another kind than BPE, Unigram, WordPiece and WordLevel.
    """

    def __init__(self, text: str) -> None:
        self._json = json.loads(text)
        self._model = self._json["model"]
        kind = self._model.get("type")
        if kind not in ("BPE", "Unigram", "WordPiece", "WordLevel"):
            raise CheckpointError(
                "model.type in tokenizer.json must be BPE, Unigram, WordPiece or WordLevel to be "
                f"shrunk, not {excerpt(kind)}"
            )
        self.kind: str = kind
        vocab = self._model["vocab"]
        pieces = (
            enumerate(piece for piece, _ in vocab)
            if kind == "Unigram"
            else ((number, piece) for piece, number in vocab.items())
        )
        self._pieces: dict[int, str] = dict(pieces)
        self._ids = {piece: number for number, piece in self._pieces.items()}
        for added in self._json.get("added_tokens", ()):
            self._ids.setdefault(added["content"], added["id"])
        self._merges = [
            tuple(one.split(" ", 1)) if isinstance(one, str) else tuple(one)
            for one in self._model.get("merges", ())
        ]
        self._ranks = {pair: rank for rank, pair in enumerate(self._merges)}

    def id_of(self, token: str) -> int | None:
        """The id of a token, or ``None``."""
        return self._ids.get(token)

    def close(self, used: Collection[int]) -> set[int]:
        """The ids to keep so that the used ones come out as before, and any text can be read.

        Those that a text's pieces are merged of, all that the tokenizer names by itself, bytes,
        and, for Unigram, the piece of the lowest score, from which that of the unknown is counted.
        """
        kept = set(used)
        kept.update(added["id"] for added in self._json.get("added_tokens", ()))
        kept.update(_processor_ids(self._json.get("post_processor")))
        named = [self._model.get("unk_token"), *BYTES]
        kept.update(self._ids[token] for token in named if token in self._ids)
        kept.update(number for number, piece in self._pieces.items() if _BYTE.fullmatch(piece))
        if self.kind == "Unigram":
            scores = [score for _, score in self._model["vocab"]]
            kept.add(min(range(len(scores)), key=scores.__getitem__))
            if self._model.get("unk_id") is not None:
                kept.add(self._model["unk_id"])
        if self.kind == "BPE":
            for number in list(kept):
                if number in self._pieces:
                    kept.update(self._ids[one] for one in self._parts(self._pieces[number]))
        return kept

    def _parts(self, piece: str) -> set[str]:
        """All that stands on the way from a piece's characters to it.

        In a word no pair across the piece's ends was merged, so that the merges inside are those of
        the piece alone.
        """
        return {part for pair in self._merges_of(piece) for part in (*pair, "".join(pair))} | {
            symbol for symbol in self._symbols(piece) if symbol in self._ids
        }

    def _symbols(self, piece: str) -> list[str]:
        end = self._model.get("end_of_word_suffix") or ""
        if end and piece.endswith(end) and piece != end:
            whole = piece.removesuffix(end)
            return [*whole[:-1], whole[-1] + end]
        return list(piece)

    def _merges_of(self, piece: str) -> Iterator[tuple[str, str]]:
        symbols = self._symbols(piece)
        while len(symbols) > 1:
            pairs = [(symbols[i], symbols[i + 1]) for i in range(len(symbols) - 1)]
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                return
            yield best
            joined, i = [], 0
            while i < len(symbols):
                if tuple(symbols[i : i + 2]) == best:
                    joined.append("".join(best))
                    i += 2
                else:
                    joined.append(symbols[i])
                    i += 1
            symbols = joined

    def shrunk(self, numbers: Mapping[int, int]) -> str:
        """The ``tokenizer.json`` with the ids ``numbers`` alone, from old to new."""
        made = copy.deepcopy({k: v for k, v in self._json.items() if k != "model"})
        model = {k: v for k, v in self._model.items() if k not in ("vocab", "merges")}
        if self.kind == "Unigram":
            vocab = self._model["vocab"]
            model["vocab"] = [vocab[old] for old in numbers if old < len(vocab)]
            if model.get("unk_id") is not None:
                model["unk_id"] = numbers[model["unk_id"]]
        else:
            model["vocab"] = {
                self._pieces[old]: new for old, new in numbers.items() if old in self._pieces
            }
        if self.kind == "BPE":
            kept = {
                pair
                for old in numbers
                if old in self._pieces
                for pair in self._merges_of(self._pieces[old])
            }
            model["merges"] = [list(pair) for pair in self._merges if pair in kept]
        made["model"] = model
        for added in made.get("added_tokens", ()):
            added["id"] = numbers[added["id"]]
        _renumber(made.get("post_processor"), numbers)
        padding = made.get("padding")
        if padding and padding.get("pad_id") in numbers:
            padding["pad_id"] = numbers[padding["pad_id"]]
        return json.dumps(made, ensure_ascii=False)


def _processors(processor: Any) -> Iterator[dict[str, Any]]:
    """Each part of a post-processor."""
    if isinstance(processor, dict):
        yield processor
        for one in processor.get("processors", ()):
            yield from _processors(one)


def _processor_ids(processor: Any) -> Iterable[int]:
    for one in _processors(processor):
        for name in ("sep", "cls"):
            if isinstance(one.get(name), list):
                yield one[name][1]
        if isinstance(one.get("special_tokens"), dict):
            for token in one["special_tokens"].values():
                yield from token["ids"]


def _renumber(processor: Any, numbers: Mapping[int, int]) -> None:
    for one in _processors(processor):
        for name in ("sep", "cls"):
            if isinstance(one.get(name), list):
                one[name][1] = numbers[one[name][1]]
        if isinstance(one.get("special_tokens"), dict):
            for token in one["special_tokens"].values():
                token["ids"] = [numbers[old] for old in token["ids"]]
