"""What ``tokenizer_config.json`` and its neighbours say over ``tokenizer.json``.

The rules are those in which transformers 4 and 5 agree; where they differ, the tokenizer's own file
is left as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..checks import excerpt
from ..errors import CheckpointError
from ..small_json import read_json_object

SETTINGS, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"

# The flags of an added token besides its text.
FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")

# Classes that put <s> and </s> around a text, and whose texts begin without a space unless
# add_prefix_space says so.
_BYTE_LEVEL = ("RobertaTokenizer", "RobertaTokenizerFast")
_UNIGRAM = ("XLMRobertaTokenizer", "CamembertTokenizer")
_ROBERTA = (*_BYTE_LEVEL, *_UNIGRAM, *(name + "Fast" for name in _UNIGRAM))
# Those of WordPiece, which put [CLS] and [SEP] around it, and whose texts are put in lower case
# unless do_lower_case says otherwise.
_WORDPIECE = tuple(
    name + ending
    for name in ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
    for ending in ("", "Fast")
)

# Those that leave what tokenizer.json says of a text's normalisation as it is.
_BY_ITS_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
# What a setting is called in the normalizer of WordPiece.
BERT_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}

# model_max_length of a tokenizer without a limit is 10**30.
_NO_LIMIT = 10**9


class Settings:
    """The settings of a folder: each key checked where it is read.

    Args:
        folder: the tokenizer's.

    Raises:
        CheckpointError: a file that is no JSON object.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / SETTINGS
        self._values = read_json_object(self.file, missing_ok=True)
        # Where the settings list the added tokens, the older files beside them are not read.
        self.lists_tokens = self._values.get("added_tokens_decoder") is not None
        legacy = not self.lists_tokens
        self._special = read_json_object(folder / SPECIAL, missing_ok=True) if legacy else {}
        self._added = read_json_object(folder / ADDED, missing_ok=True) if legacy else {}

    def role(self, role: str) -> Any:
        """The special token of a role, as the files spell it, or ``None``."""
        return self._special.get(role) or self._values.get(role)

    def flag(self, key: str) -> bool | None:
        """True or false, or ``None`` where the file does not say."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def max_tokens(self) -> int | None:
        """The most tokens of a text, or ``None`` for no limit."""
        value = self._values.get("model_max_length")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1:
            raise self._wrong("model_max_length", "a number of at least 1", value)
        return None if value >= _NO_LIMIT else int(value)

    def truncation_side(self) -> str | None:
        """``"left"`` or ``"right"``, or ``None`` where the file does not say."""
        side = self._values.get("truncation_side")
        if side is not None and side not in ("left", "right"):
            raise self._wrong("truncation_side", "'left' or 'right'", side)
        return None if side is None else str(side)

    @property
    def tokenizer_class(self) -> str | None:
        """The class that the file names."""
        name = self._values.get("tokenizer_class")
        return None if name is None else str(name)

    def is_roberta(self) -> bool:
        """Whether the tokenizer's class puts ``<s>`` and ``</s>`` around a text."""
        return self.tokenizer_class in _ROBERTA

    def is_wordpiece(self) -> bool:
        """Whether it puts ``[CLS]`` and ``[SEP]`` around it."""
        return self.tokenizer_class in _WORDPIECE

    def gives_types(self, is_wordpiece: bool) -> bool:
        """Whether the class gives types to tokens: BERT's and Electra's do."""
        inputs = self._values.get("model_input_names")
        if isinstance(inputs, list):
            return "token_type_ids" in inputs
        name = self.tokenizer_class
        if name is None:
            return is_wordpiece
        return self.is_wordpiece() and not name.startswith("DistilBert")

    def prefix_space(self) -> bool | None:
        """Whether a byte-level text begins as if a space stood before it; ``None``: as it was."""
        said = self.flag("add_prefix_space")
        if said is None and self.tokenizer_class in _BYTE_LEVEL:
            return False
        return said

    def bert_normalizer(self) -> dict[str, bool | None]:
        """What the normalizer of WordPiece is to have, whatever it had: its attributes."""
        if self.tokenizer_class in _BY_ITS_FILE:
            return {}
        said = {attribute: self.flag(key) for key, attribute in BERT_NORMALIZER.items()}
        if not self.is_wordpiece():
            return {attribute: value for attribute, value in said.items() if value is not None}
        # Its classes do not ask the file: what the settings leave unsaid is as their defaults are.
        return {"lowercase": True, "handle_chinese_chars": True, "strip_accents": None} | {
            attribute: value for attribute, value in said.items() if value is not None
        }

    def added(self) -> Iterator[tuple[str, dict[str, bool], int | None]]:
        """The added tokens in the order of their ids: text, flags and id (``None``: the next)."""
        decoder = self._values.get("added_tokens_decoder") or {}
        if not isinstance(decoder, Mapping):
            raise self._wrong("added_tokens_decoder", "an object", decoder)
        numbered = []
        for key, token in decoder.items():
            if not key.isdecimal() or len(key) > 9:
                raise self._wrong("added_tokens_decoder", "an object with ids as keys", key)
            numbered.append((int(key), *self._token("added_tokens_decoder", token)))
        for token_id, content, flags in sorted(numbered, key=lambda one: one[0]):
            yield content, flags, token_id
        extra = list(self._extra())
        special = {content for content, _ in extra}
        for content, token_id in self._legacy():
            is_special = content in special
            flags = {"normalized": not is_special, "special": is_special}
            yield content, flags, token_id
        for content, flags in extra:
            yield content, flags | {"special": True}, None

    def _extra(self) -> Iterator[tuple[str, dict[str, bool]]]:
        """Special tokens without a role."""
        for key in ("additional_special_tokens", "extra_special_tokens"):
            for values in (self._values, self._special):
                tokens = values.get(key) or []
                if not isinstance(tokens, (list, Mapping)):
                    raise self._wrong(key, "a list or an object of tokens", tokens)
                for token in tokens.values() if isinstance(tokens, Mapping) else tokens:
                    yield self._token(key, token)

    def _legacy(self) -> Iterator[tuple[str, int]]:
        """The words of added_tokens.json by their ids."""
        file = self.file.with_name(ADDED)
        for content, token_id in self._added.items():
            if isinstance(token_id, bool) or not isinstance(token_id, int):
                raise CheckpointError(
                    f"{file} must map words to ids, not {excerpt(content)} to {excerpt(token_id)}"
                )
        yield from sorted(self._added.items(), key=lambda item: item[1])

    def _token(self, key: str, token: Any) -> tuple[str, dict[str, bool]]:
        if isinstance(token, str):
            return token, {}
        if not isinstance(token, Mapping) or not isinstance(token.get("content"), str):
            raise self._wrong(key, "texts, or objects with a text under content", token)
        flags = {flag: token[flag] for flag in FLAGS if flag in token}
        for flag, value in flags.items():
            if not isinstance(value, bool):
                name = f"{flag} of {excerpt(token['content'])} in {key}"
                raise self._wrong(name, "true or false", value)
        return token["content"], flags

    def _wrong(self, key: str, wanted: str, value: object) -> CheckpointError:
        return CheckpointError(f"{key} in {self.file} must be {wanted}, not {excerpt(value)}")


def apply_settings(backend: Any, library: Any, settings: Settings, name: str) -> None:
    """Change the library's tokenizer as the settings say.

    Args:
        backend: read from the file ``name``.
        library: the ``tokenizers`` library.
        settings: of the folder.

    Raises:
        CheckpointError: a setting of another kind; an added token with another id than the next.
    """
    if getattr(backend.model, "dropout", None) is not None:
        backend.model.dropout = None  # of training: a text would have other ids in each call
    prefix_space = settings.prefix_space()
    if prefix_space is not None and type(backend.pre_tokenizer).__name__ == "ByteLevel":
        backend.pre_tokenizer.add_prefix_space = prefix_space
    if type(backend.normalizer).__name__ == "BertNormalizer":
        for attribute, value in settings.bert_normalizer().items():
            setattr(backend.normalizer, attribute, value)
    known = {token.content: token for token in backend.get_added_tokens_decoder().values()}
    for content, flags, wanted in settings.added():
        if wanted is not None or content not in known:
            add = backend.add_special_tokens if flags.get("special") else backend.add_tokens
            add([library.AddedToken(content, **flags)])
        if wanted is not None and backend.token_to_id(content) != wanted:
            raise CheckpointError(
                f"{settings.file.parent} must number the added token {content!r} "
                f"{backend.token_to_id(content)}, as {name} does, not {wanted}"
            )
    backend.encode_special_tokens = settings.flag("split_special_tokens") is True
