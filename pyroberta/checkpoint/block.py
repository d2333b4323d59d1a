"""The tensors of one block in a checkpoint: their names, and where they stand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..arrays import Array, Shapes
from ..config import RobertaConfig
from .source import Source


@dataclasses.dataclass(frozen=True)
class BlockLayer:
    """A field of a block and the layers of the file that it is made of, one below the other.

    Attributes:
        names: of the file's layers, after the block's number.
        rows, columns: of each one's weight, as attributes of the configuration; a norm has none.
    """

    names: tuple[str, ...]
    rows: str = "hidden_size"
    columns: str | None = "hidden_size"


# All that a block holds, by the names that the kernels have for it.
_LAYERS = {
    "query_key_value": BlockLayer(
        tuple(f"attention.self.{name}" for name in ("query", "key", "value"))
    ),
    "attention_output": BlockLayer(("attention.output.dense",)),
    "attention_norm": BlockLayer(("attention.output.LayerNorm",), columns=None),
    "intermediate": BlockLayer(("intermediate.dense",), rows="intermediate_size"),
    "output": BlockLayer(("output.dense",), columns="intermediate_size"),
    "output_norm": BlockLayer(("output.LayerNorm",), columns=None),
}
_CROSS_LAYERS = {
    "cross_query": BlockLayer(("crossattention.self.query",)),
    "cross_key_value": BlockLayer(("crossattention.self.key", "crossattention.self.value")),
    "cross_output": BlockLayer(("crossattention.output.dense",)),
    "cross_norm": BlockLayer(("crossattention.output.LayerNorm",), columns=None),
}


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

    def in_files(self, names: tuple[str, ...]) -> list[tuple[int, int, int]] | None:
        """Where the weights of some layers stand: descriptor, offset and rows; if all are float32
        in order."""
        places = []
        for name in names:
            tensor = self._source.locate(f"{self._prefix}{name}.weight")
            if tensor is None or tensor.dtype != "F32" or not tensor.contiguous:
                return None
            places.append((tensor.file.fileno(), tensor.offset, tensor.shape[0]))
        return places

    def check_unchanged(self, names: tuple[str, ...]) -> None:
        """Raise CheckpointError where a file of these layers was written since it was opened."""
        for name in names:
            tensor = self._source.locate(f"{self._prefix}{name}.weight")
            if tensor is not None:
                tensor.file.check_unchanged()


def block_layers(cross: bool) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The fields of a block and the file's names: linear layers, and norms."""
    layers = _LAYERS | (_CROSS_LAYERS if cross else {})
    linears = {field: layer.names for field, layer in layers.items() if layer.columns}
    return linears, {f: layer.names[0] for f, layer in layers.items() if not layer.columns}


def blocks_shapes(config: RobertaConfig, *, cross: bool = False) -> Shapes:
    """The tensors of all blocks; ``cross``: those of their cross attention too."""
    shapes: Shapes = {}
    for block in range(config.num_blocks):
        for layer in (_LAYERS | (_CROSS_LAYERS if cross else {})).values():
            rows = getattr(config, layer.rows)
            for name in layer.names:
                weight = (rows, getattr(config, layer.columns)) if layer.columns else (rows,)
                shapes[f"encoder.layer.{block}.{name}.weight"] = weight
                shapes[f"encoder.layer.{block}.{name}.bias"] = (rows,)
    return shapes
