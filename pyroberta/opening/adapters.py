"""Which folder an adapter is in, and which its base is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..checks import excerpt
from ..errors import CheckpointError, InputError
from ..small_json import read_json_object
from .files import ADAPTER_CONFIG, WEIGHTS
from .find import find_folder
from .layout import transformer_folder


@dataclasses.dataclass(frozen=True)
class Found:
    """Where a model's files are.

    Attributes:
        folder: of the checkpoint.
        adapter: of the adapter that is merged into it, or ``None``.
    """

    folder: Path
    adapter: Path | None


def find_model(path: Any, *, revision: str | None = None, adapter: Any = None) -> Found:
    """The folders of a checkpoint and of its adapter.

    Args:
        path: as for ``find_folder``; where it holds an adapter alone, the checkpoint is the base
            that ``adapter_config.json`` names.
        revision: of a name of the Hub's.
        adapter: ``None``: the one that stands in the folder, if one does; ``False``: none; else a
            folder of an adapter or its Hub name.

    Raises:
        FileNotFoundError: a folder that is not there; it says whose base it is.
        CheckpointError: ``adapter_config.json`` names no base, or one with an adapter of its own.
        InputError: ``adapter`` is no folder of an adapter.
    """
    folder = transformer_folder(find_folder(path, revision=revision))
    merged = folder if (folder / ADAPTER_CONFIG).exists() else None
    if adapter is False:
        merged = None
    elif adapter is not None:
        merged = find_folder(adapter, name="adapter")
        if not (merged / ADAPTER_CONFIG).is_file():
            raise InputError(
                f"adapter must be a folder with {ADAPTER_CONFIG}, or False for none, "
                f"not {excerpt(str(adapter))}"
            )
    return Found(base_folder(folder), merged)


def find_checkpoint(path: Any, *, revision: str | None = None) -> Path:
    """The folder of the checkpoint itself: as ``find_folder``, inside it, or an adapter's base.

    Raises:
        FileNotFoundError, InputError: as ``find_folder``.
        ConfigError, CheckpointError: a ``modules.json`` or ``adapter_config.json`` that is
            malformed.
    """
    return base_folder(transformer_folder(find_folder(path, revision=revision)))


def base_folder(folder: Path) -> Path:
    """The folder itself; of one that holds an adapter alone the folder of its base."""
    file = folder / ADAPTER_CONFIG
    if not file.exists() or any((folder / name).exists() for name in WEIGHTS):
        return folder
    config = read_json_object(file)
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"base_model_name_or_path in {file} must name the adapter's base, not {excerpt(name)}: "
            "open the base with adapter= this folder"
        )
    try:
        base = transformer_folder(
            find_folder(name, revision=revision if isinstance(revision, str) else None)
        )
        if not base.is_dir():
            raise FileNotFoundError(f"there is no folder {str(base)!r}")
    except (FileNotFoundError, InputError) as error:
        raise FileNotFoundError(
            f"{folder} holds an adapter alone, whose base {name!r} ({ADAPTER_CONFIG}) must be a "
            f"folder or a Hub name that can be had: {error}; or open the base with adapter= this "
            "folder"
        ) from None
    if (base / ADAPTER_CONFIG).exists():
        raise CheckpointError(
            f"base_model_name_or_path in {file} must name a model without an adapter of its own, "
            f"not {name!r}"
        )
    return base
