"""A checkpoint's tokenizer files, made into a tokenizer of the ``tokenizers`` library.

``tokenizer.json`` is taken as the settings beside it change it. From ``vocab.json`` and
``merges.txt`` RoBERTa's byte-level BPE is built. SentencePiece models and slow Python tokenizers
are not read.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from ..small_json import check_is_file
from .tokenizer_settings import FLAGS, Settings, apply_settings

if TYPE_CHECKING:
    import tokenizers

# Each special token's role, and what it is where no file says.
_ROLES = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
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
    """

    backend: tokenizers.Tokenizer
    special: Mapping[str, str]
    cleans_up: bool
    max_tokens: int | None
    truncation_side: str | None
    name: str


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
    tokens = {role: _special_token(role, folder, settings) for role in _ROLES}
    if os.path.lexists(folder / "tokenizer.json"):
        name = "tokenizer.json"
        check_is_file(folder / name)
        backend = _read(folder / name, library.Tokenizer.from_file)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        name = "vocab.json"
        backend = _build_bpe(folder, settings)
    else:
        raise FileNotFoundError(
            f"{folder} must hold tokenizer.json, or vocab.json and merges.txt{_hint(folder)}"
        )
    apply_settings(backend, library, settings, name)
    _add_special_tokens(backend, tokens)
    adds_none = backend.num_special_tokens_to_add(False) == 0
    if backend.post_processor is None or (adds_none and settings.is_roberta()):
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
    )


def import_tokenizers() -> Any:
    """The ``tokenizers`` library. Raises ImportError that says how to install it."""
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            f'text needs the tokenizers library: pip install "pyroberta[text]" ({error})'
        ) from None
    return tokenizers


def _read(file: Path, read: Any) -> Any:
    try:
        return read(str(file))
    # The library raises plain Exception for a malformed file, and where it fails itself a
    # PanicException, which is none.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{file} must be a file of the tokenizers library: {error}") from None


def _special_token(role: str, folder: Path, settings: Settings) -> dict[str, Any]:
    """One special token: its text under ``content``, and how it treats what stands around it."""
    value = settings.role(role) or _ROLES[role]
    if isinstance(value, str):
        # The mask stands for a word together with the space before it.
        value = {"content": value, "lstrip": role == "mask_token", "normalized": False}
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        raise CheckpointError(f"{role} in {folder} must be a text, not {value!r}")
    return dict(value)


def _build_bpe(folder: Path, settings: Settings) -> tokenizers.Tokenizer:
    library = import_tokenizers()
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    model = _read(vocab, lambda file: library.models.BPE.from_file(file, str(merges)))
    backend: tokenizers.Tokenizer = library.Tokenizer(model)
    backend.pre_tokenizer = library.pre_tokenizers.ByteLevel(
        add_prefix_space=settings.prefix_space() is True
    )
    backend.decoder = library.decoders.ByteLevel()
    return backend


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
    """What puts ``<s> A </s>`` around a text and ``<s> A </s></s> B </s>`` around two."""
    ends = []
    for role in ("sep_token", "cls_token"):
        content = tokens[role]["content"]
        token_id = backend.token_to_id(content)
        if token_id is None:
            raise CheckpointError(
                f"{role} in {folder} must be a word of the vocabulary, not {content!r}"
            )
        ends.append((content, token_id))
    return import_tokenizers().processors.RobertaProcessing(
        *ends, trim_offsets=True, add_prefix_space=settings.prefix_space() is True
    )


def _hint(folder: Path) -> str:
    if (folder / "vocab.txt").exists():
        has_codes = (folder / "bpe.codes").exists()
        found = "vocab.txt with bpe.codes (PhoBERT's, BERTweet's)" if has_codes else "vocab.txt"
        return (
            f"; {found} is not read: save tokenizer.json beside it, "
            "by the tokenizers library or transformers"
        )
    models = sorted(path.name for path in folder.glob("*.model"))
    if not models:
        return ""
    return (
        f"; {models[0]} is not read: save tokenizer.json beside it with transformers' "
        "AutoTokenizer.from_pretrained(path).save_pretrained(path)"
    )
