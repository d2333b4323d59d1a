"""The folder that a user means by a path or a name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..checks import excerpt
from ..errors import InputError
from .cache import (
    cache_folder,
    find_snapshot,
    is_hub_name,
    is_offline,
    is_repository,
    repository_folder,
)


def find_folder(
    path: Any,
    *,
    revision: str | None = None,
    name: str = "path",
    error: type[ValueError] = InputError,
) -> Path:
    """The folder of a checkpoint, of sentence-transformers, or of an encoder and a decoder.

    Args:
        path: a folder; a ``str`` that is none may be a name of the Hub's (``"org/name"``), which is
            looked for in its cache, without the network, and downloaded where it is not there,
            the ``huggingface_hub`` library is, and no offline mode forbids it.
        revision: of a name of the Hub's, or of its folder in the cache: a branch, a tag or a
            commit. ``None``: the main branch.
        name: of the argument, in errors.
        error: what to raise for what is no path.

    Raises:
        FileNotFoundError: there is no such folder or name.
        ``error``: no path; a revision of a folder that has none.
    """
    try:
        folder = Path(path)
        given = os.fspath(path)
    except TypeError:
        raise error(f"{name} must be a folder's path, not {excerpt(path)}") from None
    try:
        is_folder = folder.is_dir()
    except ValueError:  # a name with a null byte
        is_folder = False
    if is_folder and is_repository(folder):
        snapshot = find_snapshot(folder, revision)
        if snapshot is None:
            raise FileNotFoundError(
                f"{name} must be a folder of the Hub's cache with the revision "
                f"{revision or 'main'!r} in its snapshots, not {str(path)!r}"
            )
        return snapshot
    if is_folder and revision is not None:
        raise error(
            f"revision must be left out for a folder, which has none, not {excerpt(revision)}: "
            f"{str(path)!r}"
        )
    # A path is never a name: Path("./model") and Path("model") are one.
    if is_folder or not isinstance(given, str) or isinstance(path, os.PathLike):
        return folder
    return _find_name(given, revision, name) if is_hub_name(given) else folder


def _find_name(given: str, revision: str | None, name: str) -> Path:
    from .download import INSTALL, download, import_hub
    from .layout import is_complete

    snapshot = find_snapshot(repository_folder(given), revision)
    can_download = not is_offline() and import_hub() is not None
    if snapshot is not None and (not can_download or is_complete(snapshot)):
        return snapshot
    if can_download:
        return download(given, revision, cache_folder())
    why = (
        "offline mode forbids to download it (HF_HUB_OFFLINE)"
        if is_offline()
        else f"to download it: {INSTALL}"
    )
    at = f" at revision {revision!r}" if revision else ""
    raise FileNotFoundError(
        f"{name} must be a checkpoint's folder, not {given!r}; as a name of the Hub's{at} it is "
        f"not in the cache {cache_folder()}, and {why}"
    )
