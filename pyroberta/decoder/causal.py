"""RoBERTa as a decoder: always causal, with a cache, and with cross attention to an encoder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, IntArray
from ..checkpoint import Source
from ..checks import as_array, check_count
from ..config import RobertaConfig
from ..errors import InputError
from ..generation import generate, stream
from ..kernels import Kernels
from ..kernels.arithmetic import in_usual_arithmetic
from ..models.call import Call, Encoded, Parts
from ..models.inputs import count_tokens, read_head_mask, read_logit_positions
from ..models.language_model import LanguageModel
from .cache import Cache, CacheCall, CrossInputs, check_encoder, encoder_checksum, new_cache
from .outputs import CausalLMOutput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RobertaForCausalLM(LanguageModel[CausalLMOutput]):
    """Logits of the next word at every place; a token attends to itself and those before it.

    Where ``config.use_cross_attention`` is set its blocks attend to an encoder's output too, which
    every call then needs (or has in its cache).

    Example:
        >>> config = RobertaConfig(num_blocks=2, vocab_size=100)
        >>> model = RobertaForCausalLM.from_config(config, seed=0)
        >>> cache = model.init_cache(batch=1, max_length=16)
        >>> cache = model([[0, 5, 6]], cache=cache).cache
        >>> model([[7]], cache=cache).cache.lengths.tolist()
        [4]
    """

    architecture = "for_causal_language_modeling"
    decides = "next words"
    _is_causal = True

    def __init__(
        self,
        config: RobertaConfig,
        source: Source,
        kernels: Kernels,
        embedding_type: str | None = None,
    ) -> None:
        self._mark = object()  # caches carry it: another load of the same files has another
        super().__init__(config, source, kernels, embedding_type)

    @classmethod
    def _has_cross_attention(cls, config: RobertaConfig) -> bool:
        return config.use_cross_attention

    def encode_rows(
        self,
        rows: Sequence[Any],
        token_type_ids: Sequence[Any] | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        logit_positions: ArrayLike | None = None,
        output_hidden_states: bool | None = None,
    ) -> CausalLMOutput:
        """The logits for rows of any lengths, without a cache; see ``RobertaModel.encode_rows``.

        Raises:
            InputError: as there; a model with cross attention, which reads an encoder's output too.
        """
        if self.config.use_cross_attention:
            raise InputError(
                "encode_rows must be asked of a model without cross attention, not of one that "
                "reads an encoder's output too"
            )
        return super().encode_rows(
            rows,
            token_type_ids,
            attention_head_mask,
            logit_positions=logit_positions,
            output_hidden_states=output_hidden_states,
        )

    def _output_at(self, encoded: Encoded, at: IntArray | None) -> CausalLMOutput:
        return CausalLMOutput(logits=self._logits(encoded, at), **encoded.looks())

    def init_cache(self, batch: int, max_length: int, encoder_tokens: int | None = None) -> Cache:
        """An empty cache for calls with ``batch`` rows of at most ``max_length`` tokens each.

        It takes ``2 * num_blocks * batch * max_length * hidden_size`` numbers (float32: 72 KB a
        token at roberta-base size), and twice ``num_blocks * hidden_size`` for each token of an
        encoder, once the first call has given its output.

        Args:
            batch: rows, 0 or more.
            max_length: attended tokens of a row; at most ``config.max_tokens``.
            encoder_tokens: tokens of the encoder's output (padded); the first call's must have
                as many. ``None``: any number.

        Raises:
            InputError: a number out of range.
        """
        batch = check_count("batch", batch, 0)
        max_length = check_count("max_length", max_length, 1)
        if max_length > self.config.max_tokens:
            raise InputError(
                f"max_length must be at most the model's {self.config.max_tokens}, not {max_length}"
            )
        if encoder_tokens is not None:
            check_count("encoder_tokens", encoder_tokens, 1)
            if not self.config.use_cross_attention:
                raise InputError(
                    "encoder_tokens must be None for a model without cross attention, "
                    f"not {encoder_tokens}"
                )
        dtype = self._parts.kernels.dtype
        return new_cache(self._mark, self.config, dtype, batch, max_length, encoder_tokens)

    @in_usual_arithmetic
    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        encoder_hidden_state: ArrayLike | None = None,
        encoder_attention_mask: ArrayLike | None = None,
        cross_attention_head_mask: ArrayLike | None = None,
        cache: Cache | None = None,
        logit_positions: ArrayLike | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        training: bool = False,
        rng: np.random.Generator | None = None,
    ) -> CausalLMOutput:
        """Compute the logits of a batch. The arguments are those of every model, and more.

        Args:
            input_ids, token_type_ids, position_ids, attention_head_mask: see ``RobertaModel``;
                with a cache, of the new tokens. Default positions go on from the cache's.
            attention_mask: of the new tokens alone.
            encoder_hidden_state: ``[batch, encoder tokens, hidden]``, for a model with cross
                attention; may be left out once it is in the cache.
            encoder_attention_mask: ``[batch, encoder tokens]``, above 0 where attended.
            cross_attention_head_mask: ``[num_blocks, num_attention_heads]``.
            cache: the tokens before; the call appends its own and returns the next cache.
            logit_positions: integers ``[n, 2]``: the logits of those places alone.
            output_hidden_states, output_attentions, training, rng: see ``RobertaModel``.

        Raises:
            InputError: an argument that does not fit the model, the cache or the others.
        """
        config = self.config
        batch = len(np.atleast_1d(as_array("input_ids", input_ids)))
        writer = None if cache is None else CacheCall(self._mark, cache, batch)
        call = self._read_call(
            (input_ids, attention_mask, token_type_ids, position_ids),
            attention_head_mask,
            output_hidden_states,
            output_attentions,
            training,
            rng,
            before=None if writer is None else writer.counted,
        )
        ragged = call.ragged
        cross_mask = read_head_mask("cross_attention_head_mask", cross_attention_head_mask, config)
        if call.dropout is not None and writer is not None:
            raise InputError("cache must be None with training=True")
        at = None if logit_positions is None else read_logit_positions(logit_positions, ragged)
        if cross_mask is not None and not config.use_cross_attention:
            raise InputError(
                "cross_attention_head_mask must be None for a model without cross attention"
            )
        encoder = encoder_hidden_state, encoder_attention_mask
        with contextlib.nullcontext() if writer is None else writer.appending():
            return self._append(call, writer, encoder, cross_mask, at, input_ids)

    def _append(
        self,
        call: Call,
        writer: CacheCall | None,
        encoder: tuple[ArrayLike | None, ArrayLike | None],
        cross_mask: Array | None,
        at: IntArray | None,
        input_ids: ArrayLike,
    ) -> CausalLMOutput:
        """The output of a checked call, whose tokens go to the cache if there is one."""
        ragged = call.ragged
        arrays = None if writer is None else writer.arrays(ragged)
        parts = self._parts if call.dropout is None else self._for_training()
        cross = self._cross(parts, writer, *encoder, ragged.batch)
        encoded = self._run(
            call,
            cache=arrays,
            cross=None if cross is None else cross.attention(cross_mask),
        )
        result, heads = encoded.result, self.config.num_attention_heads
        looks = encoded.looks()
        if arrays is not None and result.attentions is not None:
            # The keys in the cache's order: its own, then the call's.
            lengths = arrays.lengths + np.diff(ragged.offsets)
            columns = [np.arange(n, dtype=np.int64) for n in lengths.tolist()]
            longest = int(lengths.max(initial=0))
            looks["attentions"] = tuple(
                ragged.scatter_keys(flat, heads, columns, longest) for flat in result.attentions
            )
        if cross is not None and result.cross_attentions is not None:
            columns = cross.columns()
            looks["cross_attentions"] = tuple(
                ragged.scatter_keys(flat, heads, columns, cross.tokens)
                for flat in result.cross_attentions
            )
        following = None
        if writer is not None:
            following = writer.next(ragged, count_tokens(input_ids, self.config.pad_token_id))
        logits = self._logits(encoded, at)
        return CausalLMOutput(logits=logits, cache=following, **looks)

    def generate(
        self,
        input_ids: ArrayLike | None,
        attention_mask: ArrayLike | None = None,
        *,
        encoder_hidden_state: ArrayLike | None = None,
        encoder_attention_mask: ArrayLike | None = None,
        **options: Any,
    ) -> IntArray:
        """The prompt and the tokens that go on from it, int64 ``[batch, tokens + new]``.

        New tokens begin at column ``tokens`` in every row, whatever the padding; after a row's
        end come pads. A row that has ended costs nothing more.

        Args:
            input_ids, attention_mask: the prompt, ``[batch, tokens]``; pads anywhere.
            encoder_hidden_state, encoder_attention_mask: as for a call.
            **options: those of ``pyroberta.generation.GenerationOptions``: ``max_new_tokens``,
                ``strategy`` (``"greedy"``, ``"sampling"``, ``"beam"``, ``"contrastive"``), ...

        Raises:
            InputError: options out of range or at odds with each other; a prompt that leaves no
                room for the new tokens; what a call raises it for.

        Example:
            >>> config = RobertaConfig(num_blocks=2, vocab_size=100)
            >>> model = RobertaForCausalLM.from_config(config, seed=0)
            >>> model.generate([[0, 5, 6]], max_new_tokens=4, eos_token_id=()).shape
            (1, 7)
        """
        encoder = encoder_hidden_state, encoder_attention_mask
        return generate(self, input_ids, attention_mask, encoder, options)

    def stream(
        self,
        input_ids: ArrayLike | None,
        attention_mask: ArrayLike | None = None,
        *,
        encoder_hidden_state: ArrayLike | None = None,
        encoder_attention_mask: ArrayLike | None = None,
        **options: Any,
    ) -> Iterator[IntArray]:
        """The new columns of ``generate`` one by one, each int64 ``[batch]``, as they are known.

        Arguments and errors are those of ``generate``; beam search has no stream.
        """
        encoder = encoder_hidden_state, encoder_attention_mask
        return stream(self, input_ids, attention_mask, encoder, options)

    def _cross(
        self,
        parts: Parts,
        writer: CacheCall | None,
        hidden: ArrayLike | None,
        mask: ArrayLike | None,
        batch: int,
    ) -> CrossInputs | None:
        """The encoder's keys and values: from the cache, or computed (and cached)."""
        if not self.config.use_cross_attention:
            for name, value in (("encoder_hidden_state", hidden), ("encoder_attention_mask", mask)):
                if value is not None:
                    raise InputError(f"{name} must be None for a model without cross attention")
            return None
        cached = None if writer is None else writer.cross
        if hidden is None:
            if mask is not None and cached is None:
                raise InputError("encoder_attention_mask must come with encoder_hidden_state")
            if cached is None:
                raise InputError(
                    "encoder_hidden_state must be given to a model with cross attention "
                    "(or be in its cache), not None"
                )
            return cached
        x, offsets, places = check_encoder(self.config, hidden, mask, batch)
        x = np.ascontiguousarray(x, parts.kernels.dtype)
        tokens = as_array("encoder_hidden_state", hidden).shape[1]
        if writer is not None:
            writer.check_encoder_tokens(tokens)
        checksum = encoder_checksum(x, places, np.dtype(self._parts.kernels.dtype))
        if cached is not None:
            if cached.checksum != checksum:
                raise InputError(
                    "encoder_hidden_state must be the one in the cache, or left out, "
                    "not another one"
                )
            return cached
        cross = CrossInputs(
            key_values=parts.blocks.cross_key_values(x),
            offsets=offsets,
            places=places,
            tokens=tokens,
            rows=np.arange(batch, dtype=np.int64),
            checksum=checksum,
        )
        if writer is not None:
            writer.keep(cross)
        return cross
