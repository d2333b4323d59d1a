"""The tokenizer of a BERT folder, for the RoBERTa checkpoint that the folder becomes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..small_json import read_json_object
from ..text.tokenizer_files import TokenizerFiles, read_tokenizer_files
from ..text.tokenizer_settings import ADDED, BERT_NORMALIZER, SETTINGS, SPECIAL

_TOKENIZER = "tokenizer.json"
# What a tokenizer may be built from: said anew by tokenizer.json, whose ids may be others.
_VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "sentencepiece.bpe.model")


@dataclasses.dataclass(frozen=True)
class BertTokenizer:
    """What is written of it.

    Attributes:
        content: of ``tokenizer.json``.
        settings: of ``tokenizer_config.json``.
        pad_token_id: the pad's id before, which is 0 in these.
        replaced: the files of the folder that these stand for.
    """

    content: Mapping[str, Any]
    settings: Mapping[str, Any]
    pad_token_id: int
    replaced: tuple[str, ...] = (_TOKENIZER, SETTINGS, SPECIAL, ADDED, *_VOCABULARIES)

    @classmethod
    def read(cls, folder: Path) -> BertTokenizer | None:
        """The folder's, or ``None`` where it has none.

        Raises:
            CheckpointError: a file is malformed.
            ImportError: the ``tokenizers`` library is missing.
        """
        try:
            files = read_tokenizer_files(folder)
        except FileNotFoundError:
            return None
        pad = files.backend.token_to_id(files.special["pad_token"]) or 0
        content = json.loads(files.backend.to_str())
        settings = read_json_object(folder / SETTINGS, missing_ok=True)
        for old in (SPECIAL, ADDED):  # what the settings do not say, the older files do
            if (folder / old).is_file() and not settings.get("added_tokens_decoder"):
                settings = _without_ids(read_json_object(folder / old)) | settings
        return cls(_swap(content, pad), _settings(settings, files, pad), pad)

    def write(self, folder: Path) -> None:
        """Write the two files."""
        for name, content in ((_TOKENIZER, self.content), (SETTINGS, self.settings)):
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (folder / name).write_text(text + "\n", encoding="utf-8")


def _without_ids(content: Mapping[str, Any]) -> dict[str, Any]:
    """The roles of special_tokens_map.json; added_tokens.json's words stand in the tokenizer."""
    return {key: value for key, value in content.items() if key.endswith(("_token", "_tokens"))}


def _settings(settings: Mapping[str, Any], files: TokenizerFiles, pad: int) -> dict[str, Any]:
    """The settings with all said that a class may have a default for."""
    said = dict(settings)
    normalizer = files.backend.normalizer
    if type(normalizer).__name__ == "BertNormalizer":
        said |= {key: getattr(normalizer, name) for key, name in BERT_NORMALIZER.items()}
    roles = tuple(files.special)
    if type(files.backend.model).__name__ == "WordPiece":
        said.setdefault("tokenizer_class", "BertTokenizer")
        roles = tuple(role for role in roles if role not in ("bos_token", "eos_token"))
    for role in roles:
        if files.backend.token_to_id(files.special[role]) is not None:
            said.setdefault(role, files.special[role])
    decoder = said.get("added_tokens_decoder")
    if isinstance(decoder, Mapping):
        moved = {_swapped(int(key), pad): token for key, token in decoder.items()}
        said["added_tokens_decoder"] = {str(key): moved[key] for key in sorted(moved)}
    return said


def _swap(content: dict[str, Any], pad: int) -> dict[str, Any]:
    """``tokenizer.json`` with the ids 0 and ``pad`` in each other's place."""
    if pad == 0:
        return content
    model = content["model"]
    if isinstance(model["vocab"], list):  # Unigram: an id is a place
        vocab = model["vocab"]
        vocab[0], vocab[pad] = vocab[pad], vocab[0]
        if model.get("unk_id") is not None:
            model["unk_id"] = _swapped(model["unk_id"], pad)
    else:
        model["vocab"] = {word: _swapped(one, pad) for word, one in model["vocab"].items()}
    for token in content["added_tokens"]:
        token["id"] = _swapped(token["id"], pad)
    content["added_tokens"].sort(key=lambda token: token["id"])
    content["post_processor"] = _swap_ends(content["post_processor"], pad)
    return content


def _swap_ends(processor: Any, pad: int) -> Any:
    """The same with what a post-processor puts around a text."""
    if not isinstance(processor, dict):
        return processor
    if processor["type"] == "Sequence":
        parts = [_swap_ends(one, pad) for one in processor["processors"]]
        return processor | {"processors": parts}
    if processor["type"] == "TemplateProcessing":
        moved = {
            name: token | {"ids": [_swapped(one, pad) for one in token["ids"]]}
            for name, token in processor["special_tokens"].items()
        }
        return processor | {"special_tokens": moved}
    ends = {
        end: [processor[end][0], _swapped(processor[end][1], pad)]
        for end in ("sep", "cls")
        if end in processor
    }
    return processor | ends


def _swapped(token_id: int, pad: int) -> int:
    return {0: pad, pad: 0}.get(token_id, token_id)
