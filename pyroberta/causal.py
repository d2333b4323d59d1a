"""RoBERTa as a decoder: always causal, with a cache, and with cross attention to an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checkpoint import Source
from .config import RobertaConfig
from .decoder import Cache, CacheCall, CrossInputs, check_encoder, encoder_checksum, new_cache
from .embeddings import Embeddings
from .encoder import Encoder
from .errors import InputError
from .heads import LMHead, Shapes
from .inputs import check_count, count_tokens, read_batch, read_head_mask, read_logit_positions
from .kernels import Kernels
from .outputs import CausalLMOutput
from .pretrained import Encoded, Model, Parts, pick

Array = NDArray[Any]
IntArray = NDArray[np.int64]


class RobertaForCausalLM(Model[CausalLMOutput]):
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
    _saved_keys: ClassVar[Mapping[str, Any]] = {"is_decoder": True}

    def __init__(self, config: RobertaConfig, source: Source, kernels: Kernels) -> None:
        self._mark = object()  # caches carry it: another load of the same files has another
        super().__init__(config, source, kernels)

    @classmethod
    def _has_cross_attention(cls, config: RobertaConfig) -> bool:
        return config.use_cross_attention

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        return LMHead.shapes(config, names)

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        return LMHead(self.config, source, kernels, embeddings.word)

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
        batch = np.asarray(input_ids).shape[0] if np.ndim(input_ids) else 0
        call = None if cache is None else CacheCall(self._mark, cache, batch)
        before = None if call is None else call.counted
        ragged = read_batch(
            config, input_ids, attention_mask, token_type_ids, position_ids, before=before
        )
        head_mask = read_head_mask("attention_head_mask", attention_head_mask, config)
        cross_mask = read_head_mask("cross_attention_head_mask", cross_attention_head_mask, config)
        hidden = pick("output_hidden_states", output_hidden_states, config.output_hidden_states)
        attentions = pick("output_attentions", output_attentions, config.output_attentions)
        dropout = self._dropout(training, rng)
        if dropout is not None and call is not None:
            raise InputError("cache must be None with training=True")
        parts = self._parts if dropout is None else self._for_training()
        at = None if logit_positions is None else read_logit_positions(logit_positions, ragged)
        arrays = None if call is None else call.arrays(ragged)
        cross = self._cross(parts, call, encoder_hidden_state, encoder_attention_mask, batch)
        if cross is None and cross_mask is not None:
            raise InputError(
                "cross_attention_head_mask must be None for a model without cross attention"
            )

        x = parts.embeddings(parts.kernels, ragged)
        if dropout is not None:
            x = dropout(x, dropout.rate)
        if call is not None:
            call.start()
        result = parts.encoder(
            x,
            ragged,
            head_mask=head_mask,
            want_hidden_states=hidden,
            want_attentions=attentions,
            dropout=dropout,
            causal=True,
            cache=arrays,
            cross=None if cross is None else cross.attention(cross_mask),
        )
        encoded = Encoded(config, parts, ragged, result, dropout, None)
        looks = encoded.looks()
        if arrays is not None and result.attentions is not None:
            lengths = arrays.lengths + np.diff(ragged.offsets)
            looks["attentions"] = tuple(
                ragged.scatter_keys(flat, config.num_attention_heads, lengths)
                for flat in result.attentions
            )
        if cross is not None and result.cross_attentions is not None:
            looks["cross_attentions"] = tuple(
                ragged.scatter_cross(flat, config.num_attention_heads, cross)
                for flat in result.cross_attentions
            )
        if at is None:
            logits = ragged.scatter(parts.head(parts.kernels, result.last))
        else:
            logits = parts.head(parts.kernels, result.last[at])
        following = None
        if call is not None:
            following = call.next(ragged, count_tokens(input_ids, config.pad_token_id))
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
        from .generation import generate

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
        from .generation import stream

        encoder = encoder_hidden_state, encoder_attention_mask
        return stream(self, input_ids, attention_mask, encoder, options)

    def _cross(
        self,
        parts: Parts,
        call: CacheCall | None,
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
        cached = None if call is None else call.cross
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
        if call is not None:
            call.check_encoder_tokens(np.asarray(hidden).shape[1])
        checksum = encoder_checksum(np.asarray(hidden), mask)
        if cached is not None:
            if cached.checksum != checksum:
                raise InputError(
                    "encoder_hidden_state must be the one in the cache, or left out, "
                    "not another one"
                )
            return cached
        cross = CrossInputs(
            key_values=parts.encoder.cross_key_values(x),
            offsets=offsets,
            places=places,
            tokens=np.asarray(hidden).shape[1],
            rows=np.arange(batch, dtype=np.int64),
            checksum=checksum,
        )
        if call is not None:
            call.keep(cross)
        return cross

    def _make_encoder(self, kernels: Kernels) -> Encoder:
        cross = self.config.use_cross_attention
        return Encoder(self.config, self._source, kernels, cross=cross)
