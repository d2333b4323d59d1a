"""From what a user names to a folder: a path, a Hub name, a folder of the Hub's cache."""

from __future__ import annotations

from .adapters import Found, base_folder, find_checkpoint, find_model
from .find import find_folder
from .layout import SentenceModule, files_beside, read_modules, transformer_folder, what_it_is

__all__ = [
    "Found",
    "SentenceModule",
    "base_folder",
    "files_beside",
    "find_checkpoint",
    "find_folder",
    "find_model",
    "read_modules",
    "transformer_folder",
    "what_it_is",
]
