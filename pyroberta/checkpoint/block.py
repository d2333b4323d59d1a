"""The tensors of one block in a checkpoint: their names, and where they stand."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .source import Source

Array = NDArray[Any]

# The linear layers of a block: each is one or more of the file's, one below the other.
_LINEARS = {
    "query_key_value": tuple(f"attention.self.{name}" for name in ("query", "key", "value")),
    "attention_output": ("attention.output.dense",),
    "intermediate": ("intermediate.dense",),
    "output": ("output.dense",),
}
_NORMS = {"attention_norm": "attention.output.LayerNorm", "output_norm": "output.LayerNorm"}
_CROSS_LINEARS = {
    "cross_query": ("crossattention.self.query",),
    "cross_key_value": ("crossattention.self.key", "crossattention.self.value"),
    "cross_output": ("crossattention.output.dense",),
}
_CROSS_NORMS = {"cross_norm": "crossattention.output.LayerNorm"}


class BlockTensors:
    """The tensors of block ``n`` of a source, under the names that follow its number.

    Args:
        source: all tensors.
        n: the block's number.

    Attributes:
        name: what its tensors' names begin with.
    """

    def __init__(self, source: Source, n: int) -> None:
        self.name = f"encoder.layer.{n}"
        self._source = source
        self._prefix = f"{self.name}."

    def read(self, name: str, dtype: np.dtype[Any]) -> Array:
        """A tensor's values."""
        return self._source.read(self._prefix + name, dtype)

    def joined(self, names: tuple[str, ...], part: str, dtype: np.dtype[Any]) -> Array:
        """``part`` ("weight" or "bias") of some layers, one below the other."""
        parts = [self.read(f"{name}.{part}", dtype) for name in names]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def packed(self) -> Array | None:
        """The whole block as the kernels use it, from a packed file."""
        return self._source.packed(self.name)

    def in_files(self, names: tuple[str, ...]) -> list[tuple[str, int, int]] | None:
        """Where the weights of some layers stand: file, offset and rows; if all are float32."""
        places = []
        for name in names:
            tensor = self._source.locate(f"{self._prefix}{name}.weight")
            if tensor is None or tensor.dtype != "F32":
                return None
            places.append((os.fspath(tensor.file), tensor.offset, tensor.shape[0]))
        return places


def block_layers(cross: bool) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The fields of a block and the file's names: linear layers, and norms."""
    if not cross:
        return _LINEARS, _NORMS
    return _LINEARS | _CROSS_LINEARS, _NORMS | _CROSS_NORMS
