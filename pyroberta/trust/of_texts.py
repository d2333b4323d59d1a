"""A checkpoint and texts as a model and rows of ids: what the commands of this room begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..architectures import find_class
from ..checks import excerpt
from ..config import RobertaConfig
from ..errors import ConfigError, InputError
from ..models import Model
from ..opening import find_folder, transformer_folder
from ..shipped import SHIPPED
from ..text.tokenizer import Tokenizer

Row = list[int]


def open_model(
    path: str | os.PathLike[str] | None,
    compute_type: str,
    *,
    revision: str | None = None,
    architecture: str | None = None,
) -> Model[Any]:
    """The model of a checkpoint (``None``: the shipped one); float64 is on the reference.

    Raises:
        ConfigError: a model that reads more than a text.
    """
    given = find_folder(SHIPPED if path is None else path, revision=revision)
    folder = transformer_folder(given)
    kind = find_class(folder, architecture)
    if kind._has_choices:
        raise ConfigError(f"checkpoint must be of a model that reads a text, not {kind.__name__}")
    backend = "reference" if compute_type == "float64" else "native"
    model = kind.from_pretrained(folder, backend=backend, compute_type=compute_type)
    if model._has_cross_attention(model.config):
        raise ConfigError(
            "checkpoint must be of a model that reads ids alone, not an encoder's output too: "
            "call pyroberta.trace"
        )
    return model


def read_rows(
    path: str | os.PathLike[str] | None,
    texts: Sequence[str | Mapping[str, Any]],
    *,
    revision: str | None = None,
) -> tuple[Tokenizer, list[Row]]:
    """The checkpoint's tokenizer, and the ids of each text.

    Args:
        path: the checkpoint; ``None``: the shipped one.
        texts: each a str, or an object with "text" and, for a pair, "text_pair".
        revision: of a Hub name.

    Raises:
        InputError: no text, or one that is too long for the model.
        ImportError: the ``tokenizers`` library is missing.
    """
    if isinstance(texts, (str, Mapping)) or not isinstance(texts, Sequence):
        raise InputError(f"texts must be a list of them, not a {type(texts).__name__}")
    if not texts:
        raise InputError("texts must have a text, not none")
    given = find_folder(SHIPPED if path is None else path, revision=revision)
    folder = transformer_folder(given)
    config = RobertaConfig.from_pretrained(folder)
    tokenizer = Tokenizer.from_pretrained(folder, config=config)
    said: list[Any] = []
    for n, one in enumerate(texts):
        if isinstance(one, str):
            said.append(one)
            continue
        if not isinstance(one, Mapping) or not isinstance(one.get("text"), str):
            raise InputError(
                f'texts[{n}] must be a str, or an object with a str under "text", not '
                f"{excerpt(one)}"
            )
        pair = one.get("text_pair")
        if pair is not None and not isinstance(pair, str):
            raise InputError(f"text_pair of texts[{n}] must be a str, not {excerpt(pair)}")
        said.append(one["text"] if pair is None else (one["text"], pair))
    return tokenizer, tokenizer.encode(said)
