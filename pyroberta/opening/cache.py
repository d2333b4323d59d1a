"""The Hub's cache on this machine: which of its folders holds a repository's revision.

Its layout is that of the ``huggingface_hub`` library: a folder ``models--org--name`` for each
repository, in it ``refs/`` with the commit of each branch and tag, and ``snapshots/`` with a
folder for each commit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..checks import excerpt
from ..errors import InputError

_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ON = {"1", "ON", "YES", "TRUE"}

DEFAULT_REVISION = "main"


def is_hub_name(name: str) -> bool:
    """Whether ``name`` may be a repository's: ``"name"`` or ``"org/name"``."""
    return len(name) <= 96 and _NAME.fullmatch(name) is not None and ".." not in name


def is_offline(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the user has forbidden the network, as transformers and the Hub's library read it."""
    given = os.environ if environment is None else environment
    return any(given.get(n, "").upper() in _ON for n in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The folder of the cache, as the Hub's library finds it."""
    given = os.environ if environment is None else environment
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given.get(name):
            return Path(os.path.expandvars(given[name])).expanduser()
    home = given.get("HF_HOME") or os.path.join(
        given.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def repository_folder(name: str) -> Path:
    """Where the cache keeps a repository of models."""
    return cache_folder() / f"models--{name.replace('/', '--')}"


def is_repository(folder: Path) -> bool:
    """Whether a folder is a repository's in the cache."""
    return folder.name.startswith("models--") and (folder / "snapshots").is_dir()


def find_snapshot(repository: Path, revision: str | None) -> Path | None:
    """The folder of a revision in a repository's folder; ``None`` where it is not there.

    Args:
        repository: its folder in the cache.
        revision: a branch, a tag or a commit; ``None``: the main branch, or the only commit.

    Raises:
        InputError: ``revision`` cannot be one.
    """
    wanted = DEFAULT_REVISION if revision is None else check_revision(revision)
    snapshots = repository / "snapshots"
    commit = wanted
    ref = repository / "refs" / wanted
    if ref.is_file():
        commit = ref.read_text(encoding="utf-8", errors="replace").strip()
    if _COMMIT.fullmatch(commit) and (snapshots / commit).is_dir():
        return snapshots / commit
    if revision is None and not ref.is_file() and snapshots.is_dir():
        there = [folder for folder in snapshots.iterdir() if folder.is_dir()]
        if len(there) == 1:
            return there[0]
    return None


def check_revision(revision: str) -> str:
    """A revision's name that leads out of no folder. Raises InputError."""
    if (
        not isinstance(revision, str)
        or not revision
        or revision.startswith("/")
        or "\0" in revision
        or ".." in revision.split("/")
    ):
        raise InputError(f"revision must be a branch, a tag or a commit, not {excerpt(revision)}")
    return revision
