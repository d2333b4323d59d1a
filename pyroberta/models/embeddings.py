"""From ids to vectors: the three tables and their layer norm."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..arrays import Array, Shapes
from ..checkpoint import Source, Table, narrow
from ..config import RobertaConfig
from ..kernels import Kernels
from .ragged import Ragged

WORDS = "embeddings.word_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_NORM = "embeddings.LayerNorm"


def embeddings_shapes(config: RobertaConfig) -> Shapes:
    """The tensors that ``Embeddings`` reads."""
    hidden = config.hidden_size
    return {
        WORDS: (config.vocab_size, hidden),
        _TYPES: (config.max_token_types, hidden),
        _POSITIONS: (config.max_positions, hidden),
        f"{_NORM}.weight": (hidden,),
        f"{_NORM}.bias": (hidden,),
    }


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """The tables and their layer norm.

    Attributes:
        word: ``[vocab, hidden]``, and
        position: ``[max_positions, hidden]``: both stay in the mapped file; rows are gathered.
        is_narrow: whether ``word`` is in an ``embedding_type``.
        type: ``[max_token_types, hidden]``, in the kernels' dtype.
        gamma, beta: ``[hidden]``, of the layer norm.
        eps: added to its variance.
    """

    word: Table
    type: Array
    position: Table
    is_narrow: bool
    gamma: Array
    beta: Array
    eps: float

    @classmethod
    def load(
        cls,
        config: RobertaConfig,
        source: Source,
        dtype: np.dtype[Any],
        embedding_type: str | None,
    ) -> Embeddings:
        """Read or map the tables; the small ones in ``dtype``, the words' in ``embedding_type``."""
        word = source.narrow(WORDS)
        is_narrow = word is not None or embedding_type is not None
        if word is None:
            word = source.table(WORDS)
            if embedding_type is not None:
                word = narrow(word, embedding_type, WORDS)
        return cls(
            word=word,
            type=source.read(_TYPES, dtype),
            position=source.table(_POSITIONS),
            is_narrow=is_narrow,
            gamma=source.read(f"{_NORM}.weight", dtype),
            beta=source.read(f"{_NORM}.bias", dtype),
            eps=config.layer_norm_epsilon,
        )

    def narrowed(self) -> dict[str, Table]:
        """The table of words, by its name, if it is in an ``embedding_type``."""
        return {WORDS: self.word} if self.is_narrow else {}

    def __call__(self, kernels: Kernels, ragged: Ragged) -> Array:
        """``layer_norm(word[ids] + type[types] + position[positions])``: ``[total, hidden]``.

        The row of token type 0 is added where no types were given: it is not zero in models that
        were fine-tuned.
        """
        if not len(ragged.ids):
            return np.zeros((0, self.gamma.shape[0]), kernels.dtype)
        return kernels.embeddings(
            self.word,
            self.type,
            self.position,
            ragged.ids,
            ragged.types,
            ragged.positions,
            self.gamma,
            self.beta,
            self.eps,
        )
