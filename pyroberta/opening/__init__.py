"""From what a user names to a folder: a path, a Hub name, a folder of the Hub's cache."""

from __future__ import annotations

from .find import find_checkpoint, find_folder
from .layout import SentenceModule, files_beside, read_modules, transformer_folder, what_it_is

__all__ = [
    "SentenceModule",
    "files_beside",
    "find_checkpoint",
    "find_folder",
    "read_modules",
    "transformer_folder",
    "what_it_is",
]
