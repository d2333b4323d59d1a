"""What all tasks share: a model and its tokenizer, and how a task is made of a folder."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..checks import check_count, check_path
from ..config import RobertaConfig
from ..errors import ConfigError
from ..opening import transformer_folder
from .batching import BATCH_TOKENS
from .tokenizer import Tokenizer

Self = TypeVar("Self", bound="Task")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loading:
    """How a task's model and tokenizer are loaded.

    Attributes:
        tokenizer: a tokenizer or its folder; ``None``: in the model's folder.
        options: ``compute_type`` and so on, as for ``from_pretrained``.
    """

    tokenizer: Tokenizer | str | os.PathLike[str] | None
    options: dict[str, Any]

    def read_tokenizer(
        self, folder: Path, config: RobertaConfig, max_tokens: int | None = None
    ) -> Tokenizer:
        """The tokenizer for a model in ``folder``; ``max_tokens``: a lower limit than its own."""
        tokenizer = folder if self.tokenizer is None else self.tokenizer
        return as_tokenizer(tokenizer, config, max_tokens)


class Task:
    """Something that takes texts: a model, its tokenizer and a budget.

    Args:
        model: of ``model_class``.
        tokenizer: the model's.
        batch_tokens: the most tokens that are computed together.
    """

    model_class: ClassVar[Any]
    # Whether the shipped checkpoint can do it.
    is_shipped: ClassVar[bool] = True

    def __init__(
        self, model: Any, tokenizer: Tokenizer, *, batch_tokens: int = BATCH_TOKENS
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_tokens = check_count("batch_tokens", batch_tokens, 1)

    def __repr__(self) -> str:
        said = [type(self.model).__name__, repr(self.tokenizer), *self._chosen()]
        return f"{type(self).__name__}({', '.join(said)})"

    def _chosen(self) -> list[str]:
        """The options that are not their defaults, each as ``name=value``."""
        return []

    @classmethod
    def from_folder(cls: type[Self], folder: Path, loading: Loading, **options: Any) -> Self:
        """The task with the model of a folder; ``options`` are those of the class.

        The small files are read first: what is wrong with them is said before the weights are
        read. Raises as ``pipeline`` does.
        """
        folder = transformer_folder(folder)
        tokenizer = loading.read_tokenizer(folder, cls.read_config(folder))
        return cls(cls.model_class.from_pretrained(folder, **loading.options), tokenizer, **options)

    @classmethod
    def read_config(cls, folder: Path) -> RobertaConfig:
        """The configuration of the model that reads the texts."""
        return RobertaConfig.from_pretrained(folder)

    @classmethod
    def config_of(cls, model: Any) -> RobertaConfig:
        """The configuration of a loaded model's side that reads the texts."""
        config: RobertaConfig = model.config
        return config


def as_tokenizer(
    tokenizer: Tokenizer | str | os.PathLike[str], config: RobertaConfig, max_tokens: int | None
) -> Tokenizer:
    """A tokenizer for a model of this configuration, read from its folder or checked."""
    if not isinstance(tokenizer, Tokenizer):
        path = check_path("tokenizer", tokenizer, ConfigError, "a path or loaded")
        return Tokenizer.from_pretrained(path, config=config, max_tokens=max_tokens)
    # One that was made without this model's sizes would let ids and lengths pass unchecked.
    sizes = tokenizer.vocab_size, tokenizer.max_tokens
    if sizes[0] != config.vocab_size or sizes[1] is None or sizes[1] > config.max_tokens:
        raise ConfigError(
            f"tokenizer must be made with config= of this model (vocab_size {config.vocab_size}, "
            f"max_tokens {config.max_tokens}), not for {sizes[0]} and {sizes[1]}"
        )
    return tokenizer
