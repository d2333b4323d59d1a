"""Text to ids and back, checked against the model that the ids are for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import BoolArray, IntArray
from ..checks import check_count, excerpt
from ..config import RobertaConfig
from ..errors import InputError
from ..opening import base_folder, find_folder, transformer_folder
from .encoding import Encoding, cut
from .library import import_tokenizers
from .tokenizer_files import TokenizerFiles, read_tokenizer_files
from .vocabularies import NO_WORD, has_tokenizer

Text = str | tuple[str, str]

# The spaces that a WordPiece or Unigram text is cleaned of, where its settings ask for that.
_CLEAN_UP = (
    *((f" {mark}", mark) for mark in (".", "?", "!", ",")),
    (" ' ", "'"),
    *((f" {end}", end) for end in ("n't", "'m", "'s", "'ve", "'re")),
)


class Tokenizer:
    """Text to ids, as the checkpoint was trained: a thin class over the ``tokenizers`` library.

    Made by ``from_pretrained``. It encodes on the calling thread alone, so it starts no pool of
    threads beside the model's, and is safe from several threads at once.

    Attributes:
        max_tokens: the most ids that a text gets, special tokens included; ``None``: no limit.
        vocab_size: ids are below this; ``None``: not checked.
        pad_token_id: what ``pad`` fills with.
        mask_token, mask_token_id: what stands for a word to guess; ``None`` where the vocabulary
            has no such token.
        special_ids: those of the tokens that stand for no text.
        name: the file that it was read from.
        truncation_side: ``"right"`` or ``"left"``: where a text that is too long is cut.
        gives_types: whether its class gives types to the tokens of a pair, as BERT's does.

    Example:
        >>> tokenizer = Tokenizer.from_pretrained(path, config=model.config)  # doctest: +SKIP
        >>> input_ids, attention_mask = tokenizer.pad(tokenizer.encode(["A text.", "Another."]))
    """

    def __init__(
        self,
        files: TokenizerFiles,
        *,
        config: RobertaConfig | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._backend: Any = files.backend
        self._cleans_up = files.cleans_up
        # What it is opened anew with; None: it was made of files that are not known.
        self._origin: tuple[str, RobertaConfig | None, int | None, bool] | None = None
        self.name = files.name
        self.gives_types = files.gives_types
        self.vocab_size = None if config is None else config.vocab_size
        limits = [] if config is None else [config.max_tokens]
        if files.max_tokens is not None:
            limits.append(files.max_tokens)
        if max_tokens is not None:
            limits.append(check_count("max_tokens", max_tokens, 1))
        self.max_tokens = min(limits, default=None)
        self.pad_token_id = self._pad_token_id(files.special["pad_token"], config)
        self.mask_token_id: int | None = self._backend.token_to_id(files.special["mask_token"])
        self.mask_token = None if self.mask_token_id is None else files.special["mask_token"]
        self._unknown_id: int = self._backend.token_to_id(files.special["unk_token"]) or 0
        roles = map(self._backend.token_to_id, files.special.values())
        added = self._backend.get_added_tokens_decoder().items()
        special = {token_id for token_id, token in added if token.special}
        self.special_ids = frozenset(special | {one for one in roles if one is not None})
        truncation = self._backend.truncation or {}
        self.truncation_side = files.truncation_side or truncation.get("direction", "right")
        self._backend.no_truncation()  # what is too long is cut here, and how much is told

    def _pad_token_id(self, token: str, config: RobertaConfig | None) -> int:
        """The tokenizer's own pad; the model's where that is missing or has no row in the model.

        Which one fills the masked places changes no result.
        """
        own = self._backend.token_to_id(token)
        if own is None or (config is not None and own >= config.vocab_size):
            return 0 if config is None else config.pad_token_id
        return int(own)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        config: RobertaConfig | None = None,
        max_tokens: int | None = None,
    ) -> Tokenizer:
        """Read ``tokenizer.json`` of a checkpoint, or build it from the vocabulary there.

        That may be ``vocab.json`` and ``merges.txt`` (RoBERTa's), ``vocab.txt`` (WordPiece),
        ``vocab.txt`` and ``bpe.codes`` (PhoBERT's, BERTweet's), or ``sentencepiece.bpe.model``
        (XLM-RoBERTa's, CamemBERT's).

        Args:
            path, revision: as for ``from_pretrained`` of a model.
            config: the model's: texts are cut to its ``max_tokens`` and ids checked against its
                ``vocab_size``. A lower limit of the tokenizer's own (``model_max_length``) holds.
            max_tokens: a lower limit than these.

        Raises:
            FileNotFoundError: there is no tokenizer in the folder.
            CheckpointError: a file is malformed.
            ImportError: the ``tokenizers`` library is missing.
        """
        folder = transformer_folder(find_folder(path, revision=revision))
        if not has_tokenizer(folder):  # an adapter's may stand in its base's
            folder = base_folder(folder)
        return cls._open(os.path.abspath(folder), config, max_tokens, False)

    @classmethod
    def _open(
        cls, folder: str, config: RobertaConfig | None, max_tokens: int | None, lowercased: bool
    ) -> Tokenizer:
        made = cls(read_tokenizer_files(Path(folder)), config=config, max_tokens=max_tokens)
        made = made.lowercased() if lowercased else made
        made._origin = folder, config, max_tokens, lowercased
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        # As a folder's name: a vocabulary of 250,000 words is 17 MB of JSON.
        if self._origin is None:
            return _restored, (type(self), self.__dict__)
        return type(self)._open, self._origin

    def lowercased(self) -> Tokenizer:
        """One like it that puts texts in lower case first, as sentence-transformers asks it to."""
        library = import_tokenizers()
        backend = library.Tokenizer.from_str(self._backend.to_str())
        backend.encode_special_tokens = self._backend.encode_special_tokens
        before = backend.normalizer
        steps = [before] if before is not None else []
        if type(before).__name__ == "Sequence":
            steps = list(before)
        if not any(type(step).__name__ == "Lowercase" for step in steps):
            normalizers = library.normalizers
            backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
        other = _restored(type(self), self.__dict__ | {"_backend": backend})
        if self._origin is not None:
            other._origin = *self._origin[:3], True
        return other

    def __repr__(self) -> str:
        return (
            f"Tokenizer({self.kind}, {self._backend.get_vocab_size()} words, "
            f"max_tokens={self.max_tokens}, mask_token={self.mask_token!r})"
        )

    @property
    def kind(self) -> str:
        """The library's name for how it splits words: ``"BPE"``, ``"Unigram"``, ..."""
        return type(self._backend.model).__name__

    @property
    def subword_prefix(self) -> str:
        """What a token that goes on with a word begins with (WordPiece's ``##``); ``""``: none."""
        return getattr(self._backend.model, "continuing_subword_prefix", None) or ""

    def encode(self, texts: Sequence[Text], *, add_special_tokens: bool = True) -> list[list[int]]:
        """The ids of each text, cut to ``max_tokens``.

        Args:
            texts: each a ``str``, or a pair of them for ``<s> A </s></s> B </s>``.
            add_special_tokens: put ``<s>`` and ``</s>`` around.

        Raises:
            InputError: a text that is not a ``str`` or that UTF-8 cannot hold; no token or an
                id that the model does not have. It names the text's number.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise InputError(f"texts must be a list of str, not {_shown(texts)}")
        return [self.encode_one(text, i, add_special_tokens) for i, text in enumerate(texts)]

    def encode_one(self, text: Text, index: int = 0, add_special_tokens: bool = True) -> list[int]:
        """The ids of one text; ``index`` is its number in errors. Raises as ``encode`` does."""
        ids: list[int] = self._encode(text, index, add_special_tokens).ids
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            return self.encode_with_offsets(
                text, index, add_special_tokens=add_special_tokens, max_tokens=self.max_tokens
            ).ids
        return self._check(ids, text, index, add_special_tokens)

    def encode_with_offsets(
        self,
        text: Text,
        index: int = 0,
        *,
        add_special_tokens: bool = True,
        max_tokens: int | None = None,
    ) -> Encoding:
        """The tokens of one text with where each stands in it.

        Args:
            text: a ``str``, or a pair of them.
            index: its number in errors.
            add_special_tokens: put ``<s>`` and ``</s>`` around.
            max_tokens: cut the text to these many; ``None``: it stays whole, however long. See
                ``Encoding.windows``.

        Raises:
            InputError: as ``encode``.

        Example:
            >>> tokenizer.encode_with_offsets("A short text.").offsets  # doctest: +SKIP
            [(0, 0), (0, 1), (2, 7), (8, 12), (12, 13), (0, 0)]
        """
        encoded = self._encode(text, index, add_special_tokens)
        encoding = Encoding(
            ids=encoded.ids,
            types=encoded.type_ids if self.gives_types else None,
            offsets=encoded.offsets,
            sequences=encoded.sequence_ids,
            word_ids=encoded.word_ids,
            texts=text if isinstance(text, tuple) else (text,),
        )
        if max_tokens is not None:
            encoding = cut(encoding, max_tokens, self.truncation_side)
        ids = self._check(encoding.ids, text, index, add_special_tokens, max_tokens)
        return dataclasses.replace(encoding, ids=ids)

    def limit(self, max_length: int | None) -> int | None:
        """The most tokens of a row: the model's limit, and ``max_length`` where that is less.

        Raises:
            InputError: ``max_length`` is no integer of at least 1.
        """
        limits = [] if self.max_tokens is None else [self.max_tokens]
        if max_length is not None:
            limits.append(check_count("max_length", max_length, 1))
        return min(limits, default=None)

    def _encode(self, text: Text, index: int, add_special_tokens: bool) -> Any:
        """What the library gives, uncut and unchecked."""
        parts = text if isinstance(text, tuple) and len(text) == 2 else (text,)
        for part in parts:
            if not isinstance(part, str):
                raise InputError(f"texts[{index}] must be a str, not {_shown(text)}")
            try:
                part.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"texts[{index}] must be text that UTF-8 can hold, "
                    f"not one with the lone surrogate {part[error.start]!r} at {error.start}"
                ) from None
        try:
            return self._backend.encode(*parts, add_special_tokens=add_special_tokens)
        except Exception as error:  # the library raises plain Exception
            raise InputError(
                f"texts[{index}] must be text that the tokenizer takes, not {_shown(text)}: {error}"
            ) from None

    def _check(
        self,
        ids: list[int],
        text: Text,
        index: int,
        complete: bool,
        max_tokens: int | None = None,
    ) -> list[int]:
        """``ids`` with the unknown one for pieces that are no words; else InputError."""
        last = max(ids, default=-1)
        if last >= NO_WORD:
            ids = [self._unknown_id if one >= NO_WORD else one for one in ids]
            last = max(ids)
        if complete and not ids:
            raise InputError(
                f"texts[{index}] must encode to at least one token, not to none: {_shown(text)}"
            )
        # No text is left to cut where the special tokens alone fill the limit.
        if max_tokens is not None and len(ids) > max_tokens:
            raise InputError(
                f"texts[{index}] must encode to at most max_tokens ({max_tokens}) tokens "
                f"with the special ones, not {len(ids)}"
            )
        if self.vocab_size is not None and last >= self.vocab_size:
            raise InputError(
                f"texts[{index}] must encode to ids below vocab_size ({self.vocab_size}), "
                f"not {last} ({self.id_to_token(last)!r}): "
                "the tokenizer has words that the model lacks"
            )
        return ids

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[IntArray, BoolArray]:
        """``input_ids`` and ``attention_mask``, each ``[batch, tokens]``, filled up on the right.

        Args:
            rows: ids of any lengths; ``tokens`` is the longest.
        """
        lengths = np.array([len(row) for row in rows], np.int64)
        tokens = int(lengths.max(initial=0))
        attended = np.arange(tokens) < lengths[:, None]
        ids = np.full(attended.shape, self.pad_token_id, np.int64)
        ids[attended] = [token_id for row in rows for token_id in row]
        return ids, attended

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of ``ids``, which need not be one that encodes to them."""
        numbers = [int(i) for i in ids]
        text: str = self._backend.decode(numbers, skip_special_tokens=skip_special_tokens)
        if self._cleans_up:
            for old, new in _CLEAN_UP:
                text = text.replace(old, new)
        return text

    def token_to_id(self, token: str) -> int | None:
        """The id of a word as the vocabulary spells it (``"Ġthe"``), or ``None``."""
        token_id: int | None = self._backend.token_to_id(token)
        return token_id if token_id is None or token_id < NO_WORD else None

    def id_to_token(self, token_id: int) -> str | None:
        """The word of an id as the vocabulary spells it, or ``None``."""
        token: str | None = self._backend.id_to_token(token_id)
        return token


def _restored(cls: type[Tokenizer], state: dict[str, Any]) -> Tokenizer:
    made = cls.__new__(cls)
    made.__dict__.update(state)
    return made


def _shown(text: object) -> str:
    """``text`` for an error; of what is none its type alone."""
    return excerpt(text) if isinstance(text, (str, tuple)) else type(text).__name__
