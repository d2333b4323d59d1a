"""What is put before a text for its vector: prompts, by their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import excerpt
from ..errors import ConfigError, InputError
from .tokenizer import Tokenizer

# Names that every model has, their prompts empty where no file says: with them a query's vector
# never falls back on the default prompt, as in sentence-transformers.
_QUERY, _DOCUMENT = "query", "document"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """The prompts of a model.

    Attributes:
        default: the prompt of a call that names none.
        by_name: the others, and maybe this one too.
        pooled: the prompt's tokens are pooled with the text's.
    """

    default: str = ""
    by_name: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pooled: bool = True

    def choose(self, prompt: str | None = None, name: str | None = None) -> str:
        """The prompt itself, else the one of that name, else the default.

        Raises:
            InputError: a prompt that is no ``str``, a name that there is not.
        """
        if prompt is not None:
            return check_prompt(prompt, InputError)
        if name is None:
            return self.default
        known = {_QUERY: "", _DOCUMENT: ""} | dict(self.by_name)
        if not isinstance(name, str) or name not in known:
            shown = ", ".join(map(repr, known))
            raise InputError(f"prompt_name must be one of {shown}, not {excerpt(name)}")
        return known[name]

    def of_query(self) -> str:
        """What stands before a query."""
        return self.choose(name=_QUERY)

    def of_document(self) -> str:
        """What stands before a text that is searched."""
        return self.choose(name=_DOCUMENT)

    def count_tokens(self, tokenizer: Tokenizer, prompt: str) -> int:
        """The first tokens of each text that are not pooled: the prompt's, with what opens it."""
        if self.pooled or not prompt:
            return 0
        ids = tokenizer.encode_one(prompt)
        return len(ids) - (ids[-1] in tokenizer.special_ids)


def check_prompt(prompt: Any, error: type[ValueError] = ConfigError) -> str:
    """The prompt. Raises ``error`` for what is no ``str``."""
    if not isinstance(prompt, str):
        raise error(f"prompt must be a str, not {excerpt(prompt)}")
    return prompt


def read_prompts(file: Path, settings: Mapping[str, Any], *, pooled: bool) -> Prompts:
    """The prompts of ``config_sentence_transformers.json``. Raises ConfigError."""
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, Mapping):
        raise ConfigError(f"prompts in {file} must be an object, not {excerpt(prompts)}")
    by_name = {name: "" if prompt is None else prompt for name, prompt in prompts.items()}
    for name, prompt in by_name.items():
        if not isinstance(prompt, str):
            raise ConfigError(
                f"prompts in {file} must be texts by their names, not {excerpt(prompt)} "
                f"for {excerpt(name)}"
            )
    named = settings.get("default_prompt_name")
    given = Prompts(by_name=by_name, pooled=pooled)
    if named is None:
        return given
    try:
        return dataclasses.replace(given, default=given.choose(name=named))
    except InputError:
        raise ConfigError(
            f"default_prompt_name in {file} must name one of its prompts, not {excerpt(named)}"
        ) from None


def check_token_left(ids: list[int], skipped: int, index: int) -> list[int]:
    """``ids``; InputError where a prompt that is not pooled leaves nothing of the text."""
    if len(ids) <= skipped:
        raise InputError(
            f"texts[{index}] must have a token after the {skipped} of the prompt, which are not "
            f"pooled, not {len(ids)} tokens in all: the prompt fills the limit"
        )
    return ids
