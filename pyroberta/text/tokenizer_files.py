"""A checkpoint's tokenizer files, made into a tokenizer of the ``tokenizers`` library.

``tokenizer.json`` is taken as the settings beside it change it. Where a folder has none, the
tokenizer is built from its vocabulary; see ``vocabularies.py``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import excerpt
from ..errors import CheckpointError
from ..small_json import read_small
from .library import import_tokenizers, library_reads
from .tokenizer_settings import FLAGS, Settings, apply_settings
from .vocabularies import build_tokenizer

if TYPE_CHECKING:
    import tokenizers

# Each special token's role, and what it is where no file says: the first of these that the
# vocabulary has, RoBERTa's or BERT's.
_ROLES = {
    "bos_token": ("<s>", "[CLS]"),
    "cls_token": ("<s>", "[CLS]"),
    "pad_token": ("<pad>", "[PAD]"),
    "eos_token": ("</s>", "[SEP]"),
    "sep_token": ("</s>", "[SEP]"),
    "unk_token": ("<unk>", "[UNK]"),
    "mask_token": ("<mask>", "[MASK]"),
}


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """What a folder says of its tokenizer.

    Attributes:
        backend: the library's tokenizer.
        special: the special token of each role, e.g. ``special["mask_token"] == "<mask>"``.
        cleans_up: decoded text loses the spaces before punctuation.
        max_tokens: the most tokens of a text, ``None`` for no limit.
        truncation_side: where a longer text is cut, ``None`` where no file says.
        name: which file it came from.
        gives_types: the second text of a pair has another type than the first.
    """

    backend: tokenizers.Tokenizer
    special: Mapping[str, str]
    cleans_up: bool
    max_tokens: int | None
    truncation_side: str | None
    name: str
    gives_types: bool


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """The tokenizer in ``folder``.

    Raises:
        FileNotFoundError: it holds none that can be read.
        CheckpointError: a file is not what its name says.
        ImportError: the ``tokenizers`` library is missing.
    """
    library = import_tokenizers()
    if not folder.is_dir():
        raise FileNotFoundError(f"path must be a tokenizer's folder, not {str(folder)!r}")
    settings = Settings(folder)
    if os.path.lexists(folder / "tokenizer.json"):
        name = "tokenizer.json"
        backend = _read(folder / name, library.Tokenizer.from_buffer)
    else:
        name, backend = build_tokenizer(folder, settings, library)
    tokens = {role: _special_token(role, folder, settings, backend) for role in _ROLES}
    apply_settings(backend, library, settings, name)
    _add_special_tokens(backend, tokens)
    adds_none = backend.num_special_tokens_to_add(False) == 0
    adds_by_class = settings.is_roberta() or settings.is_wordpiece()
    if backend.post_processor is None or (adds_none and adds_by_class):
        backend.post_processor = _post_processor(backend, tokens, settings, folder)
    backend.no_padding()
    # The library's own clean-up rules are WordPiece's: they would damage byte-level text, whose
    # spaces are part of the words.
    is_bpe = type(backend.model).__name__ == "BPE"
    return TokenizerFiles(
        backend=backend,
        special={role: token["content"] for role, token in tokens.items()},
        cleans_up=settings.flag("clean_up_tokenization_spaces") is True and not is_bpe,
        max_tokens=settings.max_tokens(),
        truncation_side=settings.truncation_side(),
        name=name,
        gives_types=settings.gives_types(type(backend.model).__name__ == "WordPiece"),
    )


def _read(file: Path, read: Any) -> Any:
    data = read_small(file)
    with library_reads(f"{file} must be a file of the tokenizers library"):
        return read(data)


def _special_token(
    role: str, folder: Path, settings: Settings, backend: tokenizers.Tokenizer
) -> dict[str, Any]:
    """One special token: its text under ``content``, and how it treats what stands around it."""
    value = settings.role(role)
    if not value:
        own, berts = _ROLES[role]
        has_berts = backend.token_to_id(own) is None and backend.token_to_id(berts) is not None
        value = berts if has_berts else own
    if isinstance(value, str):
        # RoBERTa's mask stands for a word together with the space before it.
        takes_space = role == "mask_token" and (value != "[MASK]" or settings.is_roberta())
        value = {"content": value, "lstrip": takes_space, "normalized": False}
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        raise CheckpointError(f"{role} in {folder} must be a text, not {excerpt(value)}")
    return dict(value)


def _add_special_tokens(
    backend: tokenizers.Tokenizer, tokens: Mapping[str, Mapping[str, Any]]
) -> None:
    """Make words of the vocabulary special that are so by their role, and are not yet.

    A role's token that the vocabulary lacks is left out: a new id would have no row in the model.
    """
    library = import_tokenizers()
    there = {token.content for token in backend.get_added_tokens_decoder().values()}
    for token in tokens.values():
        content = token["content"]
        if content not in there and backend.token_to_id(content) is not None:
            flags = {flag: bool(token[flag]) for flag in FLAGS if flag in token}
            flags["special"] = True
            backend.add_special_tokens([library.AddedToken(content, **flags)])
            there.add(content)


def _post_processor(
    backend: tokenizers.Tokenizer,
    tokens: Mapping[str, Mapping[str, Any]],
    settings: Settings,
    folder: Path,
) -> Any:
    """What puts ``<s> A </s>`` around a text and ``<s> A </s></s> B </s>`` around two.

    Of WordPiece ``[CLS] A [SEP]`` and ``[CLS] A [SEP] B [SEP]``, B of another type than A.
    """
    ends = []
    for role in ("sep_token", "cls_token"):
        content = tokens[role]["content"]
        token_id = backend.token_to_id(content)
        if token_id is None:
            raise CheckpointError(
                f"{role} in {folder} must be a word of the vocabulary, not {excerpt(content)}"
            )
        ends.append((content, token_id))
    processors = import_tokenizers().processors
    if type(backend.model).__name__ == "WordPiece":
        (sep, _), (cls, _) = ends
        return processors.TemplateProcessing(
            single=f"{cls}:0 $A:0 {sep}:0",
            pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
            special_tokens=ends,
        )
    return processors.RobertaProcessing(
        *ends, trim_offsets=True, add_prefix_space=settings.prefix_space() is True
    )
