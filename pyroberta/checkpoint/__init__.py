"""Files to named arrays: safetensors, shards, names, ties, and back."""

from __future__ import annotations

from ..opening.files import PACKED_FILE
from .block import BlockTensors, block_layers, blocks_shapes
from .formats import Checkpoint, open_checkpoint
from .packed import PackedSource, is_packed
from .reader import Tensor
from .source import FileSource, RandomSource, Source, Table
from .writer import save_checkpoint, save_packed

__all__ = [
    "PACKED_FILE",
    "BlockTensors",
    "Checkpoint",
    "FileSource",
    "PackedSource",
    "RandomSource",
    "Source",
    "Table",
    "Tensor",
    "block_layers",
    "blocks_shapes",
    "is_packed",
    "open_checkpoint",
    "save_checkpoint",
    "save_packed",
]
