"""Files to named arrays: safetensors, shards, names, ties, and back."""

from __future__ import annotations

from .reader import Checkpoint, Tensor, open_checkpoint
from .source import FileSource, RandomSource, Source, Table
from .writer import save_checkpoint

__all__ = [
    "Checkpoint",
    "FileSource",
    "RandomSource",
    "Source",
    "Table",
    "Tensor",
    "open_checkpoint",
    "save_checkpoint",
]
