"""Files to named arrays: safetensors, shards, names, ties, and back."""

from __future__ import annotations

from ..opening.files import PACKED_FILE
from .block import BlockTensors, block_layers, blocks_shapes
from .formats import Checkpoint, open_checkpoint
from .names import find_prefix
from .packed import PackedSource, is_packed
from .reader import Tensor, read_tensors
from .source import ArraySource, FileSource, RandomSource, Source
from .table import EMBEDDING_TYPES, Table, check_embedding_type, narrow
from .writer import Part, save_checkpoint, save_packed, save_tensors

__all__ = [
    "EMBEDDING_TYPES",
    "PACKED_FILE",
    "ArraySource",
    "BlockTensors",
    "Checkpoint",
    "FileSource",
    "PackedSource",
    "Part",
    "RandomSource",
    "Source",
    "Table",
    "Tensor",
    "block_layers",
    "blocks_shapes",
    "check_embedding_type",
    "find_prefix",
    "is_packed",
    "narrow",
    "open_checkpoint",
    "read_tensors",
    "save_checkpoint",
    "save_packed",
    "save_tensors",
]
