"""A checkpoint's folder made into one that is mapped and used as it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..architectures import from_pretrained
from ..checkpoint import is_packed
from ..checkpoint.new_folder import check_new_folder, copy_files, new_folder
from ..config import read_config_json
from ..errors import InputError
from ..models import Model
from ..opening import files_beside, find_folder, transformer_folder
from ..opening.files import ADAPTER_CONFIG, CONFIG_FILE


def pack(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    revision: str | None = None,
    **options: Any,
) -> Model[Any]:
    """Write a checkpoint packed, with the other files of its folder; gives the model.

    Args:
        model: a folder, one of sentence-transformers too, or a Hub name.
        out: a folder that is new or empty. It appears when all is written, or not at all.
        revision: of a Hub name.
        **options: of ``from_pretrained``: ``compute_type``, ``embedding_type``, ``architecture``.

    Raises:
        InputError: ``out`` holds something; ``model`` is packed, or of two models.
        ConfigError, CheckpointError, FileNotFoundError: as ``from_pretrained``.
    """
    folder = find_folder(model, revision=revision, name="MODEL")
    target = check_new_folder("OUT", out)
    transformer = transformer_folder(folder)
    if is_packed(transformer):
        raise InputError(
            f"MODEL must be a checkpoint's folder, not a packed one: {os.fspath(model)!r}"
        )
    if read_config_json(transformer).get("model_type") == "encoder-decoder":
        raise InputError(
            f"MODEL must be of one model, not of an encoder and a decoder: {os.fspath(model)!r}"
        )
    opened = from_pretrained(transformer, **options)
    place = transformer.relative_to(folder)
    copies: dict[Path, Path] = {
        file.relative_to(folder): file for file in files_beside(folder, target)
    }
    copies.pop(place / CONFIG_FILE, None)  # it is written anew
    copies.pop(place / ADAPTER_CONFIG, None)  # an adapter is merged
    with new_folder(target) as partial:
        opened.save_packed(partial / place)
        copy_files(copies, partial)
    return opened
