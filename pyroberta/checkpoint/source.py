"""Where a model's weights come from: a checkpoint's files, or a seed.

A source gives the same arrays each time it is asked, so that a model whose weights were packed
can have them again (to save, or to train).
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..arrays import Array, Shapes
from .formats import open_checkpoint
from .names import check, rename
from .reader import Tensor
from .table import Table

if TYPE_CHECKING:
    from .adapter import Adapter


class Source(Protocol):
    """Gives the tensors of a model by name."""

    def names(self) -> set[str]:
        """What it can give."""

    def read(self, name: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
        """A tensor's values."""

    def table(self, name: str) -> Table:
        """A tensor to gather rows from."""

    def locate(self, name: str) -> Tensor | None:
        """Where a tensor stands in a file, if it does."""

    def packed(self, name: str) -> Array | None:
        """The bytes of a packed tensor, aligned to 64 and not to be written; see ``packed.py``."""

    def narrow(self, name: str) -> Table | None:
        """A table that stands in the file in an ``embedding_type``; see ``packed.py``."""


class FileSource:
    """The tensors of a checkpoint's folder.

    Args:
        path: the folder, or the tensors of a model that shares its files with another.
        memory_map: tables stay in the mapped file; else they are read.
    """

    def __init__(
        self, path: str | os.PathLike[str] | Mapping[str, Tensor], *, memory_map: bool = True
    ) -> None:
        tensors = path if isinstance(path, Mapping) else open_checkpoint(path)
        self._tensors: dict[str, Tensor] = rename(tensors)
        self._memory_map = memory_map

    def check(
        self,
        shapes: Shapes,
        aside: Collection[str],
        *,
        cross_attention: bool,
        any_head: bool = False,
    ) -> None:
        """Raise CheckpointError unless the files hold exactly these; see ``names.check``."""
        check(self._tensors, shapes, aside, cross_attention=cross_attention, any_head=any_head)

    def ignore(self, patterns: Collection[str]) -> None:
        """Forget the tensors whose names fit one of the patterns, as of a shell (``"mlp.*"``)."""
        self._tensors = {
            name: tensor
            for name, tensor in self._tensors.items()
            if not any(fnmatchcase(n, one) for one in patterns for n in (name, tensor.name))
        }

    def merge(self, adapter: Adapter) -> None:
        """Put an adapter's weights on those of the files. Raises CheckpointError."""
        self._tensors = adapter.merge(self._tensors)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all tensors but these: the heads of other models that share the file."""
        self._tensors = {name: self._tensors[name] for name in names}

    def names(self) -> set[str]:
        return set(self._tensors)

    def read(self, name: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
        return self._tensors[name].read(dtype)

    def table(self, name: str) -> Table:
        tensor = self._tensors[name]
        return Table(tensor.map() if self._memory_map else tensor.read_stored(), tensor.dtype)

    def locate(self, name: str) -> Tensor | None:
        return self._tensors[name]

    def packed(self, name: str) -> Array | None:
        return None

    def narrow(self, name: str) -> Table | None:
        return None


class ArraySource:
    """Weights that are in memory, as those of a model that was unpickled.

    Args:
        arrays: float32, by name.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)

    def names(self) -> set[str]:
        return set(self._arrays)

    def read(self, name: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
        return self._arrays[name].astype(dtype)

    def table(self, name: str) -> Table:
        return Table(self._arrays[name])

    def locate(self, name: str) -> Tensor | None:
        return None

    def packed(self, name: str) -> Array | None:
        return None

    def narrow(self, name: str) -> Table | None:
        return None


class RandomSource:
    """Weights drawn as a model is initialised before training.

    Matrices are normal with standard deviation ``initializer_range``, biases 0, layer norms 1
    and 0, and the padding rows of the word and position tables 0. Each tensor has a stream of its
    own, so that its values depend on the seed and its name alone.

    Args:
        shapes: of every tensor.
        seed: any whole number of at least 0.
        initializer_range: the standard deviation.
        pad_token_id: the row that is 0.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], seed: int, initializer_range: float, pad: int
    ) -> None:
        self._shapes = dict(shapes)
        self._seed = seed
        self._range = initializer_range
        self._pad = pad

    def names(self) -> set[str]:
        return set(self._shapes)

    def read(self, name: str, dtype: np.dtype[Any] | type = np.float32) -> Array:
        shape = self._shapes[name]
        if len(shape) == 1:
            norm = "LayerNorm" in name or "layer_norm" in name
            return np.full(shape, float(norm and name.endswith(".weight")), dtype)
        rng = np.random.default_rng([self._seed, binascii.crc32(name.encode())])
        values = rng.standard_normal(shape, np.float32) * np.float32(self._range)
        if name.endswith(("word_embeddings.weight", "position_embeddings.weight")):
            values[self._pad] = 0
        return values.astype(dtype, copy=False)

    def table(self, name: str) -> Table:
        return Table(self.read(name))

    def locate(self, name: str) -> Tensor | None:
        return None

    def packed(self, name: str) -> Array | None:
        return None

    def narrow(self, name: str) -> Table | None:
        return None
