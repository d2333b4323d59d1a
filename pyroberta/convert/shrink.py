"""A checkpoint without the words that one's texts never use: same outputs on those texts."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checkpoint import Part, Tensor, is_packed, open_checkpoint, save_tensors
from ..checkpoint.names import BUFFERS
from ..checkpoint.new_folder import check_new_folder, copy_files, new_folder
from ..checkpoint.writer import write_config
from ..checks import excerpt
from ..config import RobertaConfig, read_config_json
from ..errors import CheckpointError, InputError
from ..opening import files_beside, find_folder, transformer_folder
from ..opening.files import ADAPTER_CONFIG, CONFIG_FILE, SINGLE_FILE, VOCABULARIES
from ..small_json import read_json_object
from ..text.library import import_tokenizers
from ..text.tokenizer import Tokenizer
from .vocabulary import Vocabulary

# Tensors with a row for each word, by the ends of their names.
_OF_WORDS = (
    "embeddings.word_embeddings.weight",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "lm_head.weight",
    "lm_head.bias",
)
_TOKENIZER, _TOKENIZER_CONFIG, _ADDED = (
    *("tokenizer.json", "tokenizer_config.json"),
    "added_tokens.json",
)
_GENERATION = "generation_config.json"

Text = str | tuple[str, str]


@dataclasses.dataclass(frozen=True)
class OtherTexts:
    """What texts lose that the vocabulary was not kept for.

    Attributes:
        texts: how many there are.
        changed: those that are other tokens now.
        tokens_before, tokens_after: of all of them.
        unknown: tokens that are the unknown one now and were not.
    """

    texts: int
    changed: int
    tokens_before: int
    tokens_after: int
    unknown: int


@dataclasses.dataclass(frozen=True)
class Shrunk:
    """What was made.

    Attributes:
        folder: the new one.
        words_before, words_after: of the vocabulary.
        bytes_before, bytes_after: of the weights.
        others: what other texts lose; ``None`` where none were given.
    """

    folder: Path
    words_before: int
    words_after: int
    bytes_before: int
    bytes_after: int
    others: OtherTexts | None


def shrink(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    texts: Iterable[Text] = (),
    *,
    keep: Iterable[str] = (),
    others: Iterable[Text] | None = None,
    revision: str | None = None,
) -> Shrunk:
    """Write a checkpoint with the words alone that texts use, or that are named.

    Rows of the word table and of the language-model head, and the tokenizer's pieces, are left out;
    what stays keeps its bits and its order, so that a text of kept words gives the same outputs.
    The tokens that the tokenizer names by itself stay, all bytes of byte-level BPE, and all ids up
    to the pad's, from which positions are counted.

    Args:
        old: a checkpoint's folder (one of sentence-transformers too) or its Hub name.
        new: a folder that is new or empty.
        texts: what must be read as before, texts or pairs.
        keep: tokens to keep besides, as the tokenizer spells them.
        others: texts to say of what they lose.
        revision: of a Hub name.

    Raises:
        FileNotFoundError: a file that is not there.
        InputError: neither texts nor words; a word that the tokenizer does not have; ``new`` holds
            something; ``old`` is packed, or an adapter.
        ConfigError: a model that this package does not compute.
        CheckpointError: weights or a tokenizer that are malformed, or that cannot be shrunk.
        ImportError: the ``tokenizers`` library is missing.

    Example:
        >>> made = shrink("xlm-roberta-base", "small", german_texts)  # doctest: +SKIP
        >>> made.words_before, made.words_after  # doctest: +SKIP
        (250002, 31877)
    """
    source = find_folder(old, revision=revision, name="OLD")
    target = check_new_folder("NEW", new)
    transformer = transformer_folder(source)
    if is_packed(transformer) or (transformer / ADAPTER_CONFIG).exists():
        raise InputError(
            f"OLD must be a checkpoint's folder, not a packed one or one with an adapter: "
            f"{os.fspath(old)!r}"
        )
    said = read_config_json(transformer)
    config = RobertaConfig.from_hf(said)
    tensors = open_checkpoint(transformer)
    tokenizer = Tokenizer.from_pretrained(transformer, config=config)
    vocabulary = Vocabulary(tokenizer._backend.to_str())
    backend = _plain(tokenizer._backend.to_str())
    given = list(texts)
    used = {number for ids in _encode(backend, given) for number in ids}
    for token in keep:
        number = vocabulary.id_of(token)
        if number is None:
            raise InputError(
                f"keep must be tokens of the vocabulary, as it spells them, not {excerpt(token)}"
            )
        used.add(number)
    if not used:
        raise InputError("texts or keep must have a text or a token, not none")
    kept = vocabulary.close(used)
    kept.update(range(config.pad_token_id + 1))
    generation = _read(transformer / _GENERATION)
    for settings in (said, generation):
        kept.update(_token_ids(settings))
    order = sorted(kept)
    if order[-1] >= config.vocab_size:
        raise CheckpointError(
            f"tokenizer must give ids below vocab_size {config.vocab_size}, not {order[-1]}"
        )
    numbers = {number: place for place, number in enumerate(order)}
    made = vocabulary.shrunk(numbers)
    small = _plain(made)
    _check(backend, small, given, numbers)
    parts = _parts(tensors, config.vocab_size, np.array(order, np.int64))
    place = transformer.relative_to(source)
    dropped = {CONFIG_FILE, _GENERATION, _TOKENIZER_CONFIG, _ADDED, *VOCABULARIES}
    copies = {
        file.relative_to(source): file
        for file in files_beside(source, target)
        if file.parent != transformer or file.name not in dropped
    }
    settings = {
        _GENERATION: _renumbered(generation, numbers),
        _TOKENIZER_CONFIG: _decoder(_read(transformer / _TOKENIZER_CONFIG), numbers),
        _ADDED: {token: numbers[number] for token, number in _read(transformer / _ADDED).items()},
    }
    with new_folder(target) as partial:
        folder = partial / place
        save_tensors(folder / SINGLE_FILE, parts)
        copy_files(copies, partial)
        write_config(folder, _renumbered(said, numbers) | {"vocab_size": len(order)})
        (folder / _TOKENIZER).write_text(made, encoding="utf-8")
        for name, values in settings.items():
            if values:
                text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
                (folder / name).write_text(text, encoding="utf-8")
    return Shrunk(
        folder=target,
        words_before=config.vocab_size,
        words_after=len(order),
        bytes_before=sum(tensor.size for tensor in tensors.values()),
        bytes_after=sum(part.size for part in parts.values()),
        others=None if others is None else _lost(backend, small, list(others), numbers),
    )


def _plain(text: str) -> Any:
    """The library's tokenizer, which cuts and pads nothing."""
    backend = import_tokenizers().Tokenizer.from_str(text)
    backend.no_truncation()
    backend.no_padding()
    return backend


def _encode(backend: Any, texts: Sequence[Text]) -> list[list[int]]:
    return [one.ids for one in backend.encode_batch(texts)] if texts else []


def _check(backend: Any, small: Any, texts: Sequence[Text], numbers: Mapping[int, int]) -> None:
    """Raise CheckpointError unless every text comes out as before."""
    pairs = zip(_encode(backend, texts), _encode(small, texts), strict=True)
    for n, (before, after) in enumerate(pairs):
        if [numbers[old] for old in before] != after:
            raise CheckpointError(
                f"tokenizer must read texts[{n}] with the kept pieces as with all, which this one "
                "does not: it cannot be shrunk"
            )


def _lost(
    backend: Any, small: Any, texts: Sequence[Text], numbers: Mapping[int, int]
) -> OtherTexts:
    """What texts lose, token by token."""
    unknown = getattr(backend.model, "unk_token", None)
    known = None if unknown is None else backend.token_to_id(unknown)
    number = -1 if known is None else known
    before, after = _encode(backend, texts), _encode(small, texts)
    here = numbers.get(number, -1)
    counts = [(ids.count(here), old.count(number)) for ids, old in zip(after, before, strict=True)]
    return OtherTexts(
        texts=len(texts),
        changed=sum(
            [numbers.get(one) for one in old] != ids for old, ids in zip(before, after, strict=True)
        ),
        tokens_before=sum(map(len, before)),
        tokens_after=sum(map(len, after)),
        unknown=sum(max(0, now - had) for now, had in counts),
    )


def _parts(tensors: Mapping[str, Tensor], words: int, kept: Array) -> dict[str, Part]:
    """All tensors but buffers; of those with a row for each word the kept rows."""
    parts = {}
    for name, tensor in tensors.items():
        if name.endswith(tuple(BUFFERS)):
            continue
        if not name.endswith(_OF_WORDS):
            parts[name] = Part(tensor.dtype, tensor.shape, tensor.read_stored)
            continue
        if not tensor.shape or tensor.shape[0] != words:
            raise CheckpointError(
                f"{name} must have vocab_size {words} rows, not shape {list(tensor.shape)}"
            )
        shape = (len(kept), *tensor.shape[1:])
        parts[name] = Part(tensor.dtype, shape, functools.partial(_rows, tensor, kept))
    return parts


def _rows(tensor: Tensor, kept: Array) -> Array:
    rows: Array = tensor.read_stored()[kept]
    return rows


def _read(file: Path) -> dict[str, Any]:
    return read_json_object(file, missing_ok=True)


def _is_ids(key: str, value: Any) -> bool:
    whole = [value] if isinstance(value, int) else value
    return key.endswith(("_token_id", "_token_ids")) and isinstance(whole, list) and bool(whole)


def _token_ids(settings: Mapping[str, Any]) -> set[int]:
    """The ids that settings name, as ``eos_token_id`` does."""
    found: set[int] = set()
    for key, value in settings.items():
        if _is_ids(key, value):
            whole = [value] if isinstance(value, int) else value
            found.update(one for one in whole if isinstance(one, int) and one >= 0)
    return found


def _renumbered(settings: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    made = dict(settings)
    for key, value in settings.items():
        if _is_ids(key, value):
            if isinstance(value, int):
                made[key] = numbers.get(value, value)
            else:
                made[key] = [numbers.get(one, one) for one in value]
    return made


def _decoder(settings: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    """``tokenizer_config.json``, whose added tokens stand by their ids."""
    made = dict(settings)
    added = settings.get("added_tokens_decoder")
    if isinstance(added, dict):
        made["added_tokens_decoder"] = {
            str(numbers[int(old)]): token
            for old, token in added.items()
            if old.isdecimal() and int(old) in numbers
        }
    return made
