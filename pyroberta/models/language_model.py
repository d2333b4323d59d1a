"""What language models share: a head with a logit for each word, at some places or at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..arrays import Array, IntArray, Shapes
from ..checkpoint import Source, Table
from ..config import RobertaConfig
from ..errors import CheckpointError
from ..kernels import Kernels
from ..kernels.arithmetic import in_usual_arithmetic
from .base import Model, Output
from .call import Encoded
from .embeddings import WORDS, Embeddings
from .inputs import read_logit_positions
from .layers import linear_shapes, linear_tensors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_DENSE, _DECODER = "lm_head.dense.weight", "lm_head.decoder.weight"


class LMHead:
    """``layer_norm(gelu(dense(x)))`` times the word table, plus a bias: logits of each word.

    The activation is exact GELU whatever the configuration's is, as in the models that trained
    the checkpoints. In float32 a tied head multiplies by the mapped word table as it stands in the
    file.

    Args:
        config: the sizes.
        source: its tensors: the dense layer's ``[hidden, hidden]`` and ``[hidden]``, the layer
            norm's ``[hidden]``, a bias ``[vocab]``, and an untied decoder's ``[vocab, hidden]``.
        kernels: that compute with them.
        words: the word table ``[vocab, hidden]``, by which a tied head multiplies.
    """

    # What a file may call its tensors: an untied decoder has a bias of its own, and the first
    # versions of transformers called its weight the head's.
    tensors = (
        *linear_tensors("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder"),
        "lm_head.bias",
        "lm_head.weight",
    )

    def __init__(
        self, config: RobertaConfig, source: Source, kernels: Kernels, words: Table
    ) -> None:
        bias = source.read("lm_head.dense.bias", kernels.dtype)
        self._dense = kernels.head_linear(source.table(_DENSE), bias, source.packed(_DENSE))
        self._gamma = source.read("lm_head.layer_norm.weight", kernels.dtype)
        self._beta = source.read("lm_head.layer_norm.bias", kernels.dtype)
        self._eps = config.layer_norm_epsilon
        if _DECODER in source.names():
            words = source.table(_DECODER)
        bias = source.read("lm_head.bias", kernels.dtype)
        self._words = kernels.head_linear(words, bias, source.packed(_DECODER))

    def packed(self) -> dict[str, Array]:
        """The packed weights, for a packed file."""
        memory = {_DENSE: self._dense.memory, _DECODER: self._words.memory}
        return {name: array for name, array in memory.items() if array is not None}

    @staticmethod
    def shapes(config: RobertaConfig, names: set[str] | None = None) -> Shapes:
        """The tensors that it reads: of a file with ``names``, or of a new model.

        Raises:
            CheckpointError: the weight of the decoder is neither in the file nor tied.
        """
        hidden = config.hidden_size
        shapes = linear_shapes("lm_head.dense", hidden, hidden)
        shapes["lm_head.layer_norm.weight"] = shapes["lm_head.layer_norm.bias"] = (hidden,)
        shapes["lm_head.bias"] = (config.vocab_size,)
        has_own = not config.tie_word_embeddings if names is None else _DECODER in names
        if has_own:
            shapes[_DECODER] = (config.vocab_size, hidden)
        elif not config.tie_word_embeddings:
            raise CheckpointError(
                f"checkpoint must hold {_DECODER} [{config.vocab_size}, {hidden}] where "
                "tie_word_embeddings is false"
            )
        return shapes

    def __call__(self, kernels: Kernels, x: Array) -> Array:
        """``[n, hidden]`` to ``[n, vocab]``."""
        y = kernels.activate("gelu", self._dense(x))
        return self._words(kernels.layer_norm(y, self._gamma, self._beta, self._eps))


class LanguageModel(Model[Output]):
    """The masked and the causal language model: what they share."""

    head_tensors = LMHead.tensors

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        return LMHead.shapes(config, names)

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        # A tied head multiplies by the table as the file has it.
        words = source.table(WORDS) if embeddings.is_narrow else embeddings.word
        return LMHead(self.config, source, kernels, words)

    def _packed_head(self) -> dict[str, Array]:
        packed: dict[str, Array] = self._parts.head.packed()
        return packed

    @in_usual_arithmetic
    def encode_rows(
        self,
        rows: Sequence[Any],
        token_type_ids: Sequence[Any] | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        logit_positions: ArrayLike | None = None,
        output_hidden_states: bool | None = None,
    ) -> Output:
        """The logits for rows of any lengths; see ``RobertaModel.encode_rows``.

        Args:
            rows, token_type_ids, attention_head_mask, output_hidden_states: see there.
            logit_positions: integers ``[n, 2]``, pairs of a row and a place in it: the logits of
                those places alone, ``[n, vocab]``.
        """
        call = self._read_rows(rows, token_type_ids, attention_head_mask, output_hidden_states)
        at = None if logit_positions is None else read_logit_positions(logit_positions, call.ragged)
        return self._output_at(self._run(call), at)

    def _output(self, encoded: Encoded) -> Output:
        return self._output_at(encoded, None)

    def _output_at(self, encoded: Encoded, at: IntArray | None) -> Output:
        """The output with the logits of the tokens ``at`` of the run alone, or of all."""
        raise NotImplementedError

    def _logits(self, encoded: Encoded, at: IntArray | None) -> Array:
        """``[n, vocab]`` of the tokens ``at`` of the run, or those of all, as the call was."""
        parts, x = encoded.parts, encoded.result.last
        if at is not None:
            x = x[at]
        logits: Array = parts.head(parts.kernels, x)
        return logits if at is not None else encoded.ragged.scatter(logits)
