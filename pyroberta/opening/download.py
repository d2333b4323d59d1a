"""Files of the Hub that are not in its cache, brought there by the ``huggingface_hub`` library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import excerpt
from .layout import MODULES, files_to_read

INSTALL = 'pip install "pyroberta[hub]"'


def import_hub() -> Any | None:
    """The library, or ``None`` where it is not installed."""
    try:
        import huggingface_hub
    except ImportError:
        return None
    return huggingface_hub


def download(name: str, revision: str | None, cache: Path) -> Path:
    """The folder of a revision in the cache, with the files that are read of it and no others.

    What is there already is not fetched again, and a file that broke off is gone on with; the
    library shows how far it is.

    Args:
        name: of the repository.
        revision: a branch, a tag or a commit; ``None``: the main branch.
        cache: the folder of the cache.

    Raises:
        FileNotFoundError: the Hub has no such repository or revision, or cannot be reached.
        ImportError: the library is missing.
    """
    hub = import_hub()
    if hub is None:
        raise ImportError(f"{name!r} can be downloaded where the Hub's library is: {INSTALL}")
    where = {"revision": revision, "cache_dir": str(cache)}
    try:
        files = hub.HfApi().list_repo_files(name, revision=revision)
        folders: list[str] = []
        if MODULES in files:
            folders = _module_folders(Path(hub.hf_hub_download(name, MODULES, **where)))
        wanted = list(files_to_read(files, folders))
        return Path(hub.snapshot_download(name, allow_patterns=wanted, **where))
    except Exception as error:  # the library's, its transport's and the system's have no one class
        first = (str(error).strip().splitlines() or [""])[0]
        raise FileNotFoundError(
            f"path must be a checkpoint's folder or a name of the Hub's, not {name!r}"
            + (f" at revision {revision!r}" if revision else "")
            + f": the download failed: {type(error).__name__}: {excerpt(first)}"
        ) from error


def _module_folders(file: Path) -> list[str]:
    """The folders that ``modules.json`` names; what is wrong with it is said where it is read."""
    try:
        modules = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return []
    if not isinstance(modules, list):
        return []
    paths = [module.get("path") for module in modules if isinstance(module, Mapping)]
    return [path for path in paths if isinstance(path, str) and path]
