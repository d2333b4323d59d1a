"""An encoder and a decoder that attends to what it gives: text to other text.

The encoder is a ``RobertaModel`` without its pooler, the decoder a ``RobertaForCausalLM`` with
cross attention. What is computed here is the layer between them, where their widths differ.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, IntArray
from ..checkpoint import check_embedding_type
from ..checks import check_count
from ..errors import ConfigError, InputError
from ..kernels import choose_kernels
from ..kernels.arithmetic import in_usual_arithmetic
from ..models import RobertaModel
from ..models.layers import Linear
from ..opening import find_folder
from .cache import Cache
from .causal import RobertaForCausalLM
from .files import BRIDGE, read_folder
from .outputs import CausalLMOutput, EncoderDecoderOutput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_PathLike = str | os.PathLike[str]


class RobertaEncoderDecoder:
    """RoBERTa on both sides, as in Hugging Face's ``EncoderDecoderModel``.

    Rothe et al. 2019, arXiv:1907.12461. Made by ``from_pretrained`` or ``from_encoder_decoder``.

    Attributes:
        encoder, decoder: the two models.
        decoder_start_token_id: the first token of the decoder's text, or ``None``.
        eos_token_id: what ends it, one or several; ``None``: as the decoder's configuration says.
        pad_token_id: what fills up a generated batch; ``None``: likewise.

    Example:
        >>> model = RobertaEncoderDecoder.from_pretrained(path)  # doctest: +SKIP
        >>> model.generate([[0, 31, 51, 2]], max_new_tokens=8).shape  # doctest: +SKIP
        (1, 9)
    """

    def __init__(
        self,
        encoder: RobertaModel,
        decoder: RobertaForCausalLM,
        *,
        decoder_start_token_id: int | None = None,
        eos_token_id: int | list[int] | None = None,
        pad_token_id: int | None = None,
        bridge: Linear | None = None,
    ) -> None:
        for name, model, kind in (
            ("encoder", encoder, RobertaModel),
            ("decoder", decoder, RobertaForCausalLM),
        ):
            if not isinstance(model, kind):
                raise ConfigError(f"{name} must be a {kind.__name__}, not a {type(model).__name__}")
        if not decoder.config.use_cross_attention:
            raise ConfigError(
                "decoder must have cross attention (use_cross_attention true), not a checkpoint "
                "without: its weights would be random"
            )
        widths = encoder.config.hidden_size, decoder.config.hidden_size
        if bridge is None and widths[0] != widths[1]:
            raise ConfigError(
                f"decoder must have the hidden_size of the encoder ({widths[0]}), not {widths[1]}, "
                f"where there is no {BRIDGE} between them"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.decoder_start_token_id = decoder_start_token_id
        self.eos_token_id = eos_token_id
        self.pad_token_id = pad_token_id
        self._bridge = bridge
        self._opened: tuple[str, dict[str, Any]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """One of a folder is pickled as its path and options, another as its two models."""
        if self._opened is None:
            return _with_state, (type(self), self.__dict__)
        return _reopen, (type(self), *self._opened)

    def __deepcopy__(self, memo: dict[int, Any]) -> RobertaEncoderDecoder:
        """The weights are shared: nothing ever writes to them."""
        return copy.copy(self)

    def __copy__(self) -> RobertaEncoderDecoder:
        return _with_state(type(self), self.__dict__)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(encoder={self.encoder!r}, decoder={self.decoder!r})"

    @classmethod
    def from_pretrained(
        cls,
        path: _PathLike,
        *,
        revision: str | None = None,
        compute_type: str = "float32",
        backend: str = "native",
        embedding_type: str | None = None,
        memory_map: bool = True,
    ) -> RobertaEncoderDecoder:
        """Load the folder of an ``EncoderDecoderModel`` with the family on both sides.

        Every tensor of the files belongs to one of the sides (``encoder.``, ``decoder.``) or to the
        layer between them (``enc_to_dec_proj``). Where ``config.json`` says
        ``tie_encoder_decoder``, what one side lacks is the other's.

        Args:
            path, revision, compute_type, backend, embedding_type, memory_map: as for
                ``RobertaModel.from_pretrained``.

        Raises:
            FileNotFoundError: a file that is not there.
            ConfigError: ``config.json`` is of something else, or one of its sides is.
            CheckpointError: a tensor is missing, extra or misshapen, or a file is broken.
        """
        kernels = choose_kernels(backend, compute_type)
        check_embedding_type(embedding_type)
        path = find_folder(path, revision=revision)
        files = read_folder(path, kernels, memory_map=memory_map)
        model = cls(
            RobertaModel(*files.encoder, kernels, embedding_type),
            RobertaForCausalLM(*files.decoder, kernels, embedding_type),
            decoder_start_token_id=files.decoder_start_token_id,
            eos_token_id=files.eos_token_id,
            pad_token_id=files.pad_token_id,
            bridge=files.bridge,
        )
        options: dict[str, Any] = {"compute_type": compute_type, "backend": backend}
        options |= {"embedding_type": embedding_type, "memory_map": memory_map}
        model._opened = os.path.abspath(path), options
        return model

    @classmethod
    def from_encoder_decoder(
        cls,
        encoder: _PathLike | RobertaModel,
        decoder: _PathLike | RobertaForCausalLM,
        *,
        decoder_start_token_id: int | None = None,
        compute_type: str | None = None,
        backend: str = "native",
        embedding_type: str | None = None,
        memory_map: bool = True,
    ) -> RobertaEncoderDecoder:
        """Put two checkpoints of one width together.

        Args:
            encoder: the folder of any checkpoint of the family, or a loaded ``RobertaModel``.
            decoder: that of a causal model with cross attention, or such a model.
            decoder_start_token_id: ``None``: the decoder's ``bos_token_id``.
            compute_type, backend, embedding_type, memory_map: of what is loaded here, as for
                ``RobertaModel.from_pretrained``.

        Raises:
            ConfigError: a decoder without cross attention, or of another width.
            FileNotFoundError, CheckpointError: as for ``from_pretrained``.
        """
        options: dict[str, Any] = {
            "compute_type": compute_type,
            "backend": backend,
            "embedding_type": embedding_type,
            "memory_map": memory_map,
        }
        if isinstance(encoder, (str, os.PathLike)):
            encoder = RobertaModel.from_pretrained(encoder, add_pooling_layer=False, **options)
        if isinstance(decoder, (str, os.PathLike)):
            decoder = RobertaForCausalLM.from_pretrained(decoder, **options)
        start = decoder_start_token_id
        if start is None and isinstance(decoder, RobertaForCausalLM):
            start = decoder.config.bos_token_id
        return cls(encoder, decoder, decoder_start_token_id=start)

    def init_cache(self, batch: int, max_length: int) -> Cache:
        """An empty cache for the decoder; see ``RobertaForCausalLM.init_cache``."""
        return self.decoder.init_cache(batch, max_length)

    @in_usual_arithmetic
    def encode(self, input_ids: ArrayLike, attention_mask: ArrayLike | None = None) -> Array:
        """What the decoder attends to: ``[batch, tokens, hidden of the decoder]``.

        Raises:
            InputError: as for a call of ``RobertaModel``; a row with no attended token.
        """
        hidden = self.encoder(input_ids, attention_mask).last_hidden_state
        if attention_mask is not None:
            attended = (np.asarray(attention_mask) > 0).any(axis=1)
            if not attended.all():
                raise InputError(
                    "attention_mask must attend to a token of every row, "
                    f"not none of {int(np.argmin(attended))}"
                )
        if self._bridge is None:
            return hidden
        batch, tokens, width = hidden.shape
        flat = self._bridge(self.encoder._parts.kernels, hidden.reshape(batch * tokens, width))
        return flat.reshape(batch, tokens, -1)

    def __call__(
        self,
        input_ids: ArrayLike | None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        *,
        cache: Cache | None = None,
        logit_positions: ArrayLike | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> EncoderDecoderOutput:
        """Compute the logits of the decoder's tokens.

        Args:
            input_ids, attention_mask: of the encoder, ``[batch, tokens]``; ``None`` where the
                cache has its output already.
            decoder_input_ids, decoder_attention_mask: ``[batch, decoder tokens]``; of the new
                tokens alone where there is a cache. They are the tokens as the decoder reads
                them, its start token first: nothing is put before them.
            cache: the decoder's tokens before, from ``init_cache`` or a call.
            logit_positions: integers ``[n, 2]``: the logits of those of its places alone.
            output_hidden_states, output_attentions: of the decoder.

        Raises:
            InputError: an argument that does not fit the models, the cache or the others.
        """
        if decoder_input_ids is None:
            raise InputError("decoder_input_ids must be given, not None")
        hidden = None
        if input_ids is not None:
            hidden = self.encode(input_ids, attention_mask)
        elif cache is None or not cache.has_encoder:
            raise InputError(
                "input_ids must be given where no cache has the encoder's output, not None"
            )
        elif attention_mask is not None:
            raise InputError("attention_mask must come with input_ids")
        output: CausalLMOutput = self.decoder(
            decoder_input_ids,
            decoder_attention_mask,
            encoder_hidden_state=hidden,
            encoder_attention_mask=attention_mask,
            cache=cache,
            logit_positions=logit_positions,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        return EncoderDecoderOutput(
            logits=output.logits,
            encoder_last_hidden_state=hidden,
            decoder_hidden_states=output.hidden_states,
            decoder_attentions=output.attentions,
            cross_attentions=output.cross_attentions,
            cache=output.cache,
        )

    def generate(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        *,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        decoder_start_token_id: int | None = None,
        **options: Any,
    ) -> IntArray:
        """The decoder's text for each row, int64 ``[batch, decoder tokens + new]``.

        The encoder runs once.

        Args:
            input_ids, attention_mask: of the encoder, ``[batch, tokens]``.
            decoder_input_ids, decoder_attention_mask: how each text begins, its start token
                included; ``None``: with the start token alone.
            decoder_start_token_id: in place of the model's.
            **options: those of ``pyroberta.generation.GenerationOptions``; lengths count the
                decoder's tokens.

        Raises:
            InputError: as for ``RobertaForCausalLM.generate``; no start token.
        """
        prompt = self._prompt(input_ids, decoder_input_ids, decoder_start_token_id)
        encoder, options = self._encoded(input_ids, attention_mask, options)
        return self.decoder.generate(prompt, decoder_attention_mask, **encoder, **options)

    def stream(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        *,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        decoder_start_token_id: int | None = None,
        **options: Any,
    ) -> Iterator[IntArray]:
        """The new columns of ``generate`` one by one; see ``RobertaForCausalLM.stream``."""
        prompt = self._prompt(input_ids, decoder_input_ids, decoder_start_token_id)
        encoder, options = self._encoded(input_ids, attention_mask, options)
        return self.decoder.stream(prompt, decoder_attention_mask, **encoder, **options)

    def _prompt(
        self, input_ids: ArrayLike, decoder_input_ids: ArrayLike | None, start: int | None
    ) -> ArrayLike:
        """What the decoder's texts begin with."""
        if decoder_input_ids is not None:
            if start is not None:
                raise InputError(
                    "decoder_start_token_id must be left out where decoder_input_ids are given, "
                    f"not {start!r}"
                )
            return decoder_input_ids
        start = self.decoder_start_token_id if start is None else start
        if start is None:
            raise InputError(
                "decoder_start_token_id must be given: neither the model nor its decoder has one"
            )
        check_count("decoder_start_token_id", start, 0)
        return np.full((len(np.asarray(input_ids)), 1), start, np.int64)

    def _encoded(
        self, input_ids: ArrayLike, attention_mask: ArrayLike | None, options: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The encoder's part of the decoder's arguments, and the options with the model's ids."""
        for name in ("eos_token_id", "pad_token_id"):
            if options.get(name) is None and getattr(self, name) is not None:
                options[name] = getattr(self, name)
        hidden = self.encode(input_ids, attention_mask)
        return {"encoder_hidden_state": hidden, "encoder_attention_mask": attention_mask}, options


def _with_state(cls: type[RobertaEncoderDecoder], state: dict[str, Any]) -> RobertaEncoderDecoder:
    """A model of the same parts."""
    made = object.__new__(cls)
    made.__dict__.update(state)
    return made


def _reopen(
    cls: type[RobertaEncoderDecoder], path: str, options: dict[str, Any]
) -> RobertaEncoderDecoder:
    """A model that was pickled as its path and options."""
    return cls.from_pretrained(path, **options)
