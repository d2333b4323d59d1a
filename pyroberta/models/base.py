"""What all architectures share: loading, saving, and a call's way from ids to hidden states."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array, IntArray, Shapes
from ..checkpoint import (
    PackedSource,
    RandomSource,
    Source,
    blocks_shapes,
    save_checkpoint,
    save_packed,
)
from ..checks import check_count, pick_flag
from ..config import RobertaConfig
from ..errors import ConfigError, InputError
from ..kernels import Kernels, choose_kernels
from ..run_options import CrossAttention, KeyValueCache, RunOptions
from .blocks import Blocks
from .call import Call, Decides, Encoded, Parts, read_dropout
from .embeddings import Embeddings, embeddings_shapes
from .folder import open_folder
from .inputs import read_batch, read_head_mask
from .outputs import ModelOutput
from .ragged import Ragged
from .rows import read_rows

Output = TypeVar("Output", bound=ModelOutput)
Self = TypeVar("Self", bound="Model[Any]")


class Model(Generic[Output]):
    """An encoder and a head. Calls are safe from several threads at once.

    Made by ``from_pretrained`` or ``from_config``.

    Attributes:
        architecture: the ancestor's name for the class, e.g. ``"base"``.
        decides: what its logits choose, ``"nothing"`` of a base model.
        config: the model's ``RobertaConfig``.
        compute_type: what the products are computed in.
        backend: ``"native"`` or ``"reference"``.
    """

    architecture: ClassVar[str]
    decides: ClassVar[Decides] = "nothing"
    # The inputs are [batch, choices, tokens].
    _has_choices: ClassVar[bool] = False
    # A token attends to itself and those before it alone.
    _is_causal: ClassVar[bool] = False
    # What config.json says of the class besides its configuration.
    _saved_keys: ClassVar[Mapping[str, Any]] = {}
    # What a file may call the tensors of the head, and those of all heads: any of them may stand
    # in the file of a model that is opened as another class, and is left aside there.
    head_tensors: ClassVar[Collection[str]] = ()
    aside: ClassVar[set[str]] = set()

    def __init_subclass__(cls) -> None:
        Model.aside.update(cls.head_tensors)

    def __init__(self, config: RobertaConfig, source: Source, kernels: Kernels) -> None:
        self.config = config
        self.compute_type = kernels.compute_type
        self.backend = kernels.backend
        self._source = source
        self._parts = self._load(kernels)
        self._training_parts: Parts | None = None

    def __repr__(self) -> str:
        c = self.config
        return (
            f"{type(self).__name__}({c.num_blocks} blocks, hidden_size={c.hidden_size}, "
            f"vocab_size={c.vocab_size}, compute_type={self.compute_type!r}, "
            f"backend={self.backend!r})"
        )

    @classmethod
    def from_pretrained(
        cls: type[Self],
        path: str | os.PathLike[str],
        *,
        compute_type: str | None = None,
        backend: str = "native",
        add_pooling_layer: bool | None = None,
        memory_map: bool = True,
        **config_overrides: Any,
    ) -> Self:
        """Load a checkpoint's folder as Hugging Face writes it, or a packed one.

        Args:
            path: holds ``config.json`` and ``model.safetensors`` (or its shards and their index),
                or what ``save_packed`` wrote.
            compute_type: what the products round to: ``"float32"``, ``"bfloat16x3"``,
                ``"bfloat16"`` or ``"int8"`` (see ``compute_types.py``), or ``"float64"`` on the
                reference backend. ``None``: ``"float32"``, or what a packed file was packed for.
            backend: ``"native"`` or ``"reference"`` (the same graph over NumPy).
            add_pooling_layer: for ``RobertaModel``: ``None`` as the file has it, ``True``
                demands a pooler, ``False`` leaves it out.
            memory_map: keep word and position tables, and packed weights, in the mapped file;
                ``False`` reads them, which survives a file that is cut while it is in use.
            **config_overrides: fields of ``RobertaConfig`` to set.

        Raises:
            FileNotFoundError: a file that is not there.
            ConfigError: ``config.json`` is not of a model that this package computes.
            CheckpointError: a tensor is missing, extra or misshapen, or a file is broken.
        """
        config = RobertaConfig.from_pretrained(path, **config_overrides)
        source, kernels = open_folder(path, compute_type, backend, memory_map)
        shapes = cls._shapes(config, source.names(), add_pooling_layer)
        source.check(shapes, Model.aside, cross_attention=config.use_cross_attention)
        source.keep(shapes)
        return cls(config, source, kernels)

    @classmethod
    def from_config(
        cls: type[Self],
        config: RobertaConfig,
        *,
        seed: int,
        compute_type: str = "float32",
        backend: str = "native",
        add_pooling_layer: bool | None = None,
    ) -> Self:
        """A new model with random weights.

        Args:
            config: its sizes; ``initializer_range`` is the standard deviation of the matrices.
            seed: a whole number of at least 0: the same one gives the same weights.
            compute_type, backend: as in ``from_pretrained``.
            add_pooling_layer: for ``RobertaModel``: ``False`` leaves the pooler out.
        """
        seed = check_count("seed", seed, 0)
        kernels = choose_kernels(backend, compute_type)
        shapes = cls._shapes(config, None, add_pooling_layer)
        source = RandomSource(shapes, seed, config.initializer_range, config.pad_token_id)
        return cls(config, source, kernels)

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write ``config.json`` and ``model.safetensors`` (float32) as Hugging Face reads them."""
        prefix = "" if self.architecture == "base" else "roberta."
        encoder = ("embeddings.", "encoder.", "pooler.")
        tensors = {
            prefix + name if name.startswith(encoder) else name: self._source.read(name)
            for name in sorted(self._source.names())
        }
        if "lm_head.decoder.weight" in tensors:  # an untied decoder has its own name for the bias
            tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"]
        save_checkpoint(path, self._config_json(), tensors)

    def save_packed(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as this model's kernels use them, and ``config.json``.

        ``from_pretrained`` then maps them and uses them where they are: nothing is converted, and
        processes share the memory. One file serves every CPU whose kernels have the same layout.

        Raises:
            InputError: a model on the reference backend, or one that was packed itself; a folder
                that holds a checkpoint.
        """
        kernels = self._parts.kernels
        if kernels.family is None:
            raise InputError(f"backend must be 'native' to pack a model, not {self.backend!r}")
        if isinstance(self._source, PackedSource):
            raise InputError("model must come from a checkpoint, not from a packed file")
        packed = self._parts.blocks.packed() | self._packed_head()
        save_packed(
            path, self._config_json(), self._source, packed, kernels.compute_type, kernels.family
        )

    def _config_json(self) -> dict[str, Any]:
        config = self.config.to_hf() | {"architectures": [type(self).__name__], **self._saved_keys}
        return config | {"torch_dtype": "float32"}

    @classmethod
    def _shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        """Every tensor that the model needs; ``names`` are the file's, ``None`` for a new model."""
        if add_pooling_layer and cls.architecture != "base":
            raise ConfigError(
                f"add_pooling_layer must be None or False for {cls.__name__}, whose head says "
                "whether it has a pooler, not True"
            )
        head = cls._head_shapes(config, names, add_pooling_layer)
        cross = cls._has_cross_attention(config)
        return embeddings_shapes(config) | blocks_shapes(config, cross=cross) | head

    @classmethod
    def _has_cross_attention(cls, config: RobertaConfig) -> bool:
        """Whether the blocks have cross attention: only the causal model's may."""
        return False

    @classmethod
    def _head_shapes(
        cls, config: RobertaConfig, names: set[str] | None, add_pooling_layer: bool | None
    ) -> Shapes:
        raise NotImplementedError

    def _load_head(self, source: Source, kernels: Kernels, embeddings: Embeddings) -> Any:
        raise NotImplementedError

    def _packed_head(self) -> dict[str, Array]:
        """The packed weights of the head, for a packed file; most heads have none."""
        return {}

    def _load(self, kernels: Kernels) -> Parts:
        embeddings = Embeddings.load(self.config, self._source, kernels.dtype)
        return Parts(
            kernels=kernels,
            embeddings=embeddings,
            blocks=Blocks(
                self.config,
                self._source,
                kernels,
                cross=self._has_cross_attention(self.config),
            ),
            head=self._load_head(self._source, kernels, embeddings),
        )

    def _for_training(self) -> Parts:
        """The same weights for the reference kernels, read again where they were packed."""
        if self.compute_type not in ("float32", "float64"):
            raise InputError(f"training must be in float32 or float64, not {self.compute_type}")
        if self._parts.kernels.has_dropout:
            return self._parts
        if self._training_parts is None:
            self._training_parts = self._load(choose_kernels("reference", "float32"))
        return self._training_parts

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        training: bool = False,
        rng: np.random.Generator | None = None,
    ) -> Output:
        """Compute the model's output for a batch.

        Args:
            input_ids: integers ``[batch, tokens]`` in ``[0, vocab_size)``; ``[batch, choices,
                tokens]`` for the multiple-choice model, and so the next three.
            attention_mask: ``[batch, tokens]``: above 0 where a token is attended to. Masked
                tokens are not computed, and their outputs are 0. ``None``: all are attended.
            token_type_ids: integers ``[batch, tokens]``; ``None``: 0.
            position_ids: integers ``[batch, tokens]``; ``None``: tokens that are not the pad
                count up from ``pad_token_id + 1``.
            attention_head_mask: numbers ``[num_blocks, num_attention_heads]`` that multiply the
                attention weights of each head; ``None``: 1.
            output_hidden_states, output_attentions: what else to give; ``None``: as the
                configuration says. Asking changes no bit of the other outputs.
            training: apply dropout, drawn from ``rng``, on the reference kernels.
            rng: for ``training=True``.

        Raises:
            InputError: an argument of another shape, kind or range; a row whose first token is
                masked, where the head reads that one.
        """
        return self._output(
            self._run(
                self._read_call(
                    (input_ids, attention_mask, token_type_ids, position_ids),
                    attention_head_mask,
                    output_hidden_states,
                    output_attentions,
                    training,
                    rng,
                )
            )
        )

    def encode_rows(
        self,
        rows: Sequence[Any],
        token_type_ids: Sequence[Any] | None = None,
        attention_head_mask: ArrayLike | None = None,
        *,
        output_hidden_states: bool | None = None,
    ) -> Output:
        """Compute the model's output for rows of any lengths: nothing is padded on either side.

        The bits are those of a call with the same rows, padded, and their mask. Arrays that a call
        gives as ``[batch, tokens, ...]`` come as ``[total, ...]``, the rows' places one after the
        other; ``output.offsets`` says where each row begins, ``output.of_rows(array)`` cuts there.

        Args:
            rows: for each row its ids, a list or array of integers in ``[0, vocab_size)``, all
                attended; for the multiple-choice model for each row a list of its choices' rows.
            token_type_ids: for each row as many integers; ``None``: 0.
            attention_head_mask, output_hidden_states: as in a call.

        Raises:
            InputError: an argument of another shape, kind or range; it names the row.

        Example:
            >>> model = RobertaModel.from_config(RobertaConfig(num_blocks=2), seed=0)
            >>> output = model.encode_rows([[0, 31, 51, 2], [0, 77, 2]])
            >>> output.last_hidden_state.shape, output.offsets.tolist()
            ((7, 768), [0, 4, 7])
        """
        call = self._read_rows(rows, token_type_ids, attention_head_mask, output_hidden_states)
        return self._output(self._run(call))

    def _output(self, encoded: Encoded) -> Output:
        """What the head makes of the encoded batch."""
        raise NotImplementedError

    def _reads_first_token(self) -> bool:
        """Whether the head reads the first token of each row, which then may not be masked."""
        return False

    def _read_call(
        self,
        batch: tuple[ArrayLike, ArrayLike | None, ArrayLike | None, ArrayLike | None],
        attention_head_mask: ArrayLike | None,
        output_hidden_states: bool | None,
        output_attentions: bool | None,
        training: bool,
        rng: np.random.Generator | None,
        before: IntArray | None = None,
    ) -> Call:
        """Check the arguments of a call; ``before``: see ``read_batch``."""
        ragged = read_batch(self.config, *batch, choices=self._has_choices, before=before)
        looks = output_hidden_states, output_attentions
        return self._checked(ragged, attention_head_mask, *looks, training, rng)

    def _read_rows(
        self,
        rows: Sequence[Any],
        token_type_ids: Sequence[Any] | None,
        attention_head_mask: ArrayLike | None,
        output_hidden_states: bool | None,
    ) -> Call:
        """Check the arguments of ``encode_rows``."""
        ragged = read_rows(self.config, rows, token_type_ids, choices=self._has_choices)
        return self._checked(ragged, attention_head_mask, output_hidden_states, False, False, None)

    def _checked(
        self,
        ragged: Ragged,
        attention_head_mask: ArrayLike | None,
        output_hidden_states: bool | None,
        output_attentions: bool | None,
        training: bool,
        rng: np.random.Generator | None,
    ) -> Call:
        config = self.config
        hidden_states = pick_flag(
            "output_hidden_states", output_hidden_states, config.output_hidden_states
        )
        attentions = pick_flag("output_attentions", output_attentions, config.output_attentions)
        return Call(
            ragged=ragged,
            head_mask=read_head_mask("attention_head_mask", attention_head_mask, config),
            want_hidden_states=hidden_states,
            want_attentions=attentions,
            first=ragged.first_tokens() if self._reads_first_token() else None,
            dropout=read_dropout(config, training, rng),
        )

    def _run(
        self,
        call: Call,
        *,
        cache: KeyValueCache | None = None,
        cross: CrossAttention | None = None,
    ) -> Encoded:
        """Embeddings and blocks: the way from a checked call to what a head reads."""
        dropout = call.dropout
        parts = self._parts if dropout is None else self._for_training()
        x = parts.embeddings(parts.kernels, call.ragged)
        if dropout is not None:
            x = dropout(x, dropout.rate)
        options = RunOptions(
            head_mask=call.head_mask,
            causal=self._is_causal,
            want_attentions=call.want_attentions,
            dropout=dropout,
            cache=cache,
            cross=cross,
        )
        result = parts.blocks(
            x, call.ragged.offsets, options, want_hidden_states=call.want_hidden_states
        )
        return Encoded(self.config, parts, call.ragged, result, dropout, call.first)
