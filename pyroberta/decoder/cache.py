"""The cache of a causal model: keys and values of the tokens so far, row by row.

A row of the cache holds its attended tokens without gaps, so each row continues at its own length
and its own position. The arrays are shared by the caches of one conversation: a call appends to
them and returns a new ``Cache``, and the one it was given can not be used again (its slots may hold
other tokens by then), which is checked.
"""

from __future__ import annotations

import binascii
import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, IntArray
from ..checks import as_array
from ..config import RobertaConfig
from ..errors import InputError
from ..models.inputs import read_encoder_batch
from ..models.ragged import Ragged
from ..run_options import CrossAttention, KeyValueCache

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclasses.dataclass
class _Storage:
    """What the caches of one conversation share."""

    model: object  # whose keys and values these are
    keys: list[Array]  # for each block [batch, max_length, hidden]
    values: list[Array]
    cross: CrossInputs | None
    encoder_tokens: int | None  # what the encoder's output must have, where it was said
    version: int = 0
    # Holds the version, but for as long as a call appends to it: taking it out is one step that no
    # other thread can come into.
    turns: set[int] = dataclasses.field(default_factory=lambda: {0})

    def __deepcopy__(self, memo: dict[int, Any]) -> _Storage:
        """Keys and values of their own, for the same model; the encoder's are never written."""
        return dataclasses.replace(
            self,
            keys=[array.copy() for array in self.keys],
            values=[array.copy() for array in self.values],
            turns={self.version},
        )

    def __reduce__(self) -> str:
        raise InputError("cache must be used in the process that made it, not pickled")


@dataclasses.dataclass(frozen=True)
class CrossInputs:
    """An encoder's output, as a decoder's blocks attend to it.

    Attributes:
        key_values: for each block ``[total, 2 hidden]``.
        offsets: int64 ``[encoder rows + 1]``.
        places, tokens: where the attended tokens stood, and the padded width, for attentions.
        rows: int64 ``[batch]``: the encoder row of each row.
        checksum: of the encoder's output and mask, to tell another one by.
    """

    key_values: list[Array]
    offsets: IntArray
    places: IntArray
    tokens: int
    rows: IntArray
    checksum: int

    def attention(self, head_mask: Array | None) -> CrossAttention:
        """What ``run_blocks`` takes."""
        return CrossAttention(self.key_values, self.offsets, self.rows, head_mask)

    def columns(self) -> list[IntArray]:
        """For each row, where in the encoder's padded row each of its keys stood."""
        return [
            self.places[self.offsets[row] : self.offsets[row + 1]] - row * self.tokens
            for row in self.rows.tolist()
        ]

    def select(self, rows: IntArray) -> CrossInputs:
        """The same for other rows: nothing is copied."""
        return dataclasses.replace(self, rows=self.rows[rows])


class Cache:
    """The tokens that a causal model has seen, ready for the next ones.

    Made by ``RobertaForCausalLM.init_cache``, filled by calls with ``cache=``, which return the
    next one as ``output.cache``. A cache that was appended to since is refused.

    Attributes:
        batch: rows.
        max_length: tokens that a row can hold.
        lengths: int64 ``[batch]``: attended tokens in each row.
        nbytes: memory of the keys and values, of the encoder's too.
    """

    def __init__(
        self, storage: _Storage, lengths: IntArray, counted: IntArray, version: int
    ) -> None:
        self._storage = storage
        self._version = version
        self.lengths = lengths
        self.lengths.flags.writeable = False
        # Tokens that are not pads, masked or not: the next one's position follows from it.
        self._counted = counted

    @property
    def batch(self) -> int:
        return len(self.lengths)

    @property
    def max_length(self) -> int:
        return int(self._storage.keys[0].shape[1])

    @property
    def nbytes(self) -> int:
        cross = self._storage.cross
        arrays = self._storage.keys + self._storage.values
        arrays = arrays + (cross.key_values if cross is not None else [])
        return sum(array.nbytes for array in arrays)

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder's keys and values are in it."""
        return self._storage.cross is not None

    def __repr__(self) -> str:
        return (
            f"Cache(batch={self.batch}, max_length={self.max_length}, "
            f"lengths={self.lengths.tolist()})"
        )

    def select(self, rows: ArrayLike) -> Cache:
        """A new cache of these rows, in this order, any of them more than once (as beams are).

        Args:
            rows: integers ``[n]`` in ``[0, batch)``.

        Raises:
            InputError: a row out of range, or a cache that was appended to since.
        """
        self._check_newest()
        index = as_array("rows", rows)
        if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
            raise InputError(f"rows must be integers [n], not {index.dtype}{list(index.shape)}")
        index = index.astype(np.int64)
        if ((index < 0) | (index >= self.batch)).any():
            bad = int(index[(index < 0) | (index >= self.batch)][0])
            raise InputError(f"rows must be in [0, batch) = [0, {self.batch}), not {bad}")
        old, filled = self._storage, int(self.lengths.max(initial=0))
        shape = (len(index), *old.keys[0].shape[1:])

        def gather(arrays: list[Array]) -> list[Array]:
            # Only the filled slots are copied; the rest of the new arrays is not touched.
            copies = [np.zeros(shape, array.dtype) for array in arrays]
            for copy, array in zip(copies, arrays, strict=True):
                copy[:, :filled] = array[index, :filled]
            return copies

        cross = None if old.cross is None else old.cross.select(index)
        storage = _Storage(
            old.model, gather(old.keys), gather(old.values), cross, old.encoder_tokens
        )
        return Cache(storage, self.lengths[index], self._counted[index], 0)

    def _check_newest(self) -> None:
        if self._version != self._storage.version:
            raise InputError(
                "cache must be the newest of its calls (output.cache), "
                f"not one that {self._storage.version - self._version} calls have appended to"
            )


class CacheCall:
    """One call's dealings with a cache: checks first, then where its tokens go.

    Args:
        model: the model's own mark, to tell its caches from another's.
        cache: as given to the call.
        batch: rows of the call.
    """

    def __init__(self, model: object, cache: Cache, batch: int) -> None:
        if not isinstance(cache, Cache):
            raise InputError(f"cache must be a pyroberta cache, not {type(cache).__name__}")
        if cache._storage.model is not model:
            raise InputError(
                "cache must come from this model's init_cache, not from that of another model "
                "or compute type"
            )
        cache._check_newest()
        if cache.batch != batch:
            raise InputError(f"cache must have the batch of input_ids ({batch}), not {cache.batch}")
        self._cache = cache

    @property
    def counted(self) -> IntArray:
        """Tokens of each row, pads left out, that came before."""
        return self._cache._counted

    @property
    def cross(self) -> CrossInputs | None:
        """The encoder's keys and values, where they are cached."""
        return self._cache._storage.cross

    def keep(self, cross: CrossInputs) -> None:
        """Put the encoder's keys and values into the cache."""
        self._cache._storage.cross = cross

    def check_encoder_tokens(self, tokens: int) -> None:
        """Raise InputError unless the cache was made for so many tokens of the encoder."""
        wanted = self._cache._storage.encoder_tokens
        if wanted not in (None, tokens):
            raise InputError(
                f"encoder_hidden_state must have the encoder_tokens of the cache ({wanted}), "
                f"not {tokens}"
            )

    def arrays(self, ragged: Ragged) -> KeyValueCache:
        """What ``run_blocks`` takes. Raises InputError where the new tokens do not fit."""
        cache = self._cache
        needed = cache.lengths + np.diff(ragged.offsets)
        if (needed > cache.max_length).any():
            row = int(np.argmax(needed > cache.max_length))
            raise InputError(
                f"cache must have room for row {row}: {int(needed[row])} tokens, "
                f"not max_length {cache.max_length}"
            )
        storage = cache._storage
        return KeyValueCache(storage.keys, storage.values, cache.lengths)

    @contextlib.contextmanager
    def appending(self) -> Iterator[None]:
        """For as long as the call writes. After it the given cache is not the newest; if the call
        fails it is as before: what was written stands behind its tokens.

        Raises:
            InputError: another call has it, or has appended to it.
        """
        storage, version = self._cache._storage, self._cache._version
        try:
            storage.turns.remove(version)
        except KeyError:
            self._cache._check_newest()
            raise InputError(
                "cache must be used by one call at a time, not by two threads' at once"
            ) from None
        cross = storage.cross
        try:
            yield
        except BaseException:
            storage.cross = cross
            storage.turns.add(version)
            raise
        storage.version = version + 1
        storage.turns.add(version + 1)

    def next(self, ragged: Ragged, counted: IntArray) -> Cache:
        """The cache after the call."""
        cache = self._cache
        lengths = cache.lengths + np.diff(ragged.offsets)
        return Cache(cache._storage, lengths, self.counted + counted, cache._version + 1)


def new_cache(
    model: object,
    config: RobertaConfig,
    dtype: np.dtype[Any],
    batch: int,
    max_length: int,
    encoder_tokens: int | None,
) -> Cache:
    """An empty cache; its memory is touched as it fills."""
    shape = (batch, max_length, config.hidden_size)
    storage = _Storage(
        model,
        [np.zeros(shape, dtype) for _ in range(config.num_blocks)],
        [np.zeros(shape, dtype) for _ in range(config.num_blocks)],
        None,
        encoder_tokens,
    )
    zeros = np.zeros(batch, np.int64)
    return Cache(storage, zeros.copy(), zeros, 0)


def encoder_checksum(hidden: Array, places: IntArray, dtype: np.dtype[Any]) -> int:
    """A number that tells one encoder's output from another: its attended tokens, and where."""
    # In the dtype that is computed in, so that equal numbers are equal; -0 + 0 is 0.
    numbers = np.ascontiguousarray(hidden, dtype) + dtype.type(0)
    at = binascii.crc32(numbers.view(np.uint8).data)
    return binascii.crc32(places.data, at)


def check_encoder(
    config: RobertaConfig, hidden: ArrayLike, mask: ArrayLike | None, batch: int
) -> tuple[Array, IntArray, IntArray]:
    """An encoder's output, checked and ragged: ``[total, hidden]``, offsets and places."""
    array = as_array("encoder_hidden_state", hidden)
    if array.dtype.kind != "f":
        raise InputError(f"encoder_hidden_state must be floats, not {array.dtype}")
    wanted = f"[batch, encoder tokens, hidden_size] [{batch}, n, {config.hidden_size}]"
    if array.ndim != 3 or array.shape[0] != batch or array.shape[2] != config.hidden_size:
        raise InputError(f"encoder_hidden_state must be {wanted}, not of shape {list(array.shape)}")
    if array.shape[1] == 0:
        raise InputError(f"encoder_hidden_state must have a token, not shape {list(array.shape)}")
    return read_encoder_batch(array, mask)
