"""The encoder by itself: ids in, hidden states out."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..arrays import Array, Shapes
from ..checkpoint import Source
from ..config import RobertaConfig
from ..kernels import Kernels
from .base import Model
from .call import Encoded
from .embeddings import Embeddings
from .layers import Pooler
from .outputs import ModelOutput


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BaseModelOutput(ModelOutput):
    """What ``RobertaModel`` gives.

    Attributes:
        last_hidden_state: ``[batch, tokens, hidden]``, the last block's result; 0 where masked.
        pooler_output: ``[batch, hidden]``, ``tanh`` of a linear layer of the first token, or
            ``None`` where the checkpoint has no pooler.
    """

    last_hidden_state: Array
    pooler_output: Array | None = None


class RobertaModel(Model[BaseModelOutput]):
    """The encoder: ids in, hidden states out (Liu et al. 2019, arXiv:1907.11692).

    Example:
        >>> model = RobertaModel.from_config(RobertaConfig(num_blocks=2), seed=0)
        >>> model([[0, 31, 51, 2]]).last_hidden_state.shape
        (1, 4, 768)
    """

    architecture = "base"
    head_tensors = Pooler.tensors

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        in_file = names is None or "pooler.dense.weight" in names
        wanted = in_file if add_pooling_layer is None else add_pooling_layer
        return Pooler.shapes(config) if wanted else {}

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return Pooler(source, kernels) if "pooler.dense.weight" in source.names() else None

    def _reads_first_token(self) -> bool:
        return self._parts.head is not None

    def _output(self, encoded: Encoded) -> BaseModelOutput:
        pooler, kernels = encoded.parts.head, encoded.parts.kernels
        return BaseModelOutput(
            last_hidden_state=encoded.ragged.scatter(encoded.result.last),
            pooler_output=None if pooler is None else pooler(kernels, encoded.first_hidden),
            **encoded.looks(),
        )
