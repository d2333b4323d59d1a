"""A checkpoint's tokenizer files, made into a tokenizer of the ``tokenizers`` library.

``tokenizer.json`` is taken as it stands. From ``vocab.json`` and ``merges.txt`` RoBERTa's
byte-level BPE is built. SentencePiece models and slow Python tokenizers are not read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError

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
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """What a folder says of its tokenizer.

    Attributes:
        backend: the library's tokenizer.
        special: the special token of each role, e.g. ``special["mask_token"] == "<mask>"``.
        cleans_up: decoded text loses the spaces before punctuation.
        name: which file it came from.
    """

    backend: tokenizers.Tokenizer
    special: Mapping[str, str]
    cleans_up: bool
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
    settings = read_json_object(folder / "tokenizer_config.json", missing_ok=True)
    tokens = {role: _special_token(role, folder, settings) for role in _ROLES}
    if (folder / "tokenizer.json").is_file():
        name = "tokenizer.json"
        backend = _read(folder / name, library.Tokenizer.from_file)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        name = "vocab.json"
        backend = _build_bpe(folder, settings)
    else:
        raise FileNotFoundError(
            f"{folder} must hold tokenizer.json, or vocab.json and merges.txt{_hint(folder)}"
        )
    _add_special_tokens(backend, tokens)
    if backend.post_processor is None:
        backend.post_processor = _post_processor(backend, tokens, settings, folder)
    backend.no_padding()
    # The library's own clean-up rules are WordPiece's: they would damage byte-level text, whose
    # spaces are part of the words.
    is_bpe = type(backend.model).__name__ == "BPE"
    return TokenizerFiles(
        backend=backend,
        special={role: token["content"] for role, token in tokens.items()},
        cleans_up=settings.get("clean_up_tokenization_spaces") is True and not is_bpe,
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


def read_json_object(file: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """The JSON object in ``file``; an empty one for a missing file if that is all right."""
    if missing_ok and not file.is_file():
        return {}
    value = read_json(file)
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} must hold an object, not {type(value).__name__}")
    return value


def read_json(file: Path) -> Any:
    """What a JSON file holds. Raises FileNotFoundError or CheckpointError."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} must be a file")
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} must be JSON, not what it holds: {error}") from None


def _read(file: Path, read: Any) -> Any:
    try:
        return read(str(file))
    except Exception as error:  # the library raises plain Exception for a malformed file
        raise CheckpointError(f"{file} must be a file of the tokenizers library: {error}") from None


def _special_token(role: str, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One special token: its text under ``content``, and how it treats what stands around it."""
    special = read_json_object(folder / "special_tokens_map.json", missing_ok=True)
    value = special.get(role) or settings.get(role) or _ROLES[role]
    if isinstance(value, str):
        # The mask stands for a word together with the space before it.
        value = {"content": value, "lstrip": role == "mask_token", "normalized": False}
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        raise CheckpointError(f"{role} in {folder} must be a text, not {value!r}")
    return dict(value)


def _build_bpe(folder: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    library = import_tokenizers()
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    model = _read(vocab, lambda file: library.models.BPE.from_file(file, str(merges)))
    backend: tokenizers.Tokenizer = library.Tokenizer(model)
    backend.pre_tokenizer = library.pre_tokenizers.ByteLevel(
        add_prefix_space=_prefix_space(settings)
    )
    backend.decoder = library.decoders.ByteLevel()
    added = read_json_object(folder / "added_tokens.json", missing_ok=True)
    try:
        added = dict(sorted(added.items(), key=lambda item: int(item[1])))
    except (TypeError, ValueError):
        raise CheckpointError(f"{folder / 'added_tokens.json'} must map words to ids") from None
    for content, wanted in added.items():
        backend.add_tokens([library.AddedToken(content, normalized=False)])
        if backend.token_to_id(content) != wanted:
            raise CheckpointError(
                f"{folder / 'added_tokens.json'} must number {content!r} "
                f"{backend.token_to_id(content)}, the next after {vocab.name}, not {wanted}"
            )
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
            flags = {flag: bool(token[flag]) for flag in _FLAGS if flag in token}
            backend.add_special_tokens([library.AddedToken(content, **flags)])
            there.add(content)


def _post_processor(
    backend: tokenizers.Tokenizer,
    tokens: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
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
        *ends, trim_offsets=True, add_prefix_space=_prefix_space(settings)
    )


def _prefix_space(settings: Mapping[str, Any]) -> bool:
    return settings.get("add_prefix_space") is True


def _hint(folder: Path) -> str:
    models = sorted(path.name for path in folder.glob("*.model"))
    if not models:
        return ""
    return (
        f"; {models[0]} is not read: save tokenizer.json beside it with transformers' "
        "AutoTokenizer.from_pretrained(path).save_pretrained(path)"
    )
