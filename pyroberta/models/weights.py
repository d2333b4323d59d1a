"""What all architectures share of their weights: opened, drawn, saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from ..arrays import Array, Shapes, finish_imports
from ..checkpoint import (
    ArraySource,
    PackedSource,
    RandomSource,
    Source,
    blocks_shapes,
    check_embedding_type,
    save_checkpoint,
    save_packed,
)
from ..checks import check_count, check_patterns, excerpt
from ..config import RobertaConfig, read_config_json
from ..errors import CheckpointError, ConfigError, InputError
from ..kernels import Kernels, choose_kernels
from ..kernels.arithmetic import in_usual_arithmetic, usual_arithmetic
from ..opening import find_model
from .blocks import Blocks
from .call import Parts
from .embeddings import Embeddings, embeddings_shapes
from .folder import config_stamp, open_folder

Self = TypeVar("Self", bound="Weights")


class Weights:
    """A model's weights, and where they come from. ``Model`` adds what a call computes."""

    architecture: ClassVar[str]
    # A token attends to itself and those before it alone: so in the causal class, and in a model
    # of another one whose config.json says is_decoder, as transformers computes it.
    _is_causal: bool = False
    # What a file may call the tensors of the head, and those of all heads: any of them may stand
    # in the file of a model that is opened as another class, and is left aside there.
    head_tensors: ClassVar[Collection[str]] = ()
    aside: ClassVar[set[str]] = set()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Weights.aside.update(cls.head_tensors)

    def __init__(
        self,
        config: RobertaConfig,
        source: Source,
        kernels: Kernels,
        embedding_type: str | None = None,
    ) -> None:
        finish_imports()
        self.config = config
        self.compute_type = kernels.compute_type
        self.backend = kernels.backend
        self.embedding_type = embedding_type
        self._source = source
        with usual_arithmetic():
            self._parts = self._load(kernels)
        self._training_parts: Parts | None = None
        # From where a copy in another process is opened; where there is none, it gets the weights.
        self._opened: tuple[str, dict[str, Any]] | None = None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """A model of a folder is pickled as its path and options, another as its weights."""
        state = {"_is_causal": self._is_causal, "_opened": self._opened}
        if self._opened is not None:
            return _reopen, (type(self), *self._opened), state
        arrays = {name: self._source.read(name) for name in sorted(self._source.names())}
        kinds = self.compute_type, self.backend, self.embedding_type
        made = (type(self), self.config, arrays, *kinds)
        return _from_arrays, made, state

    def __copy__(self: Self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        """The weights are shared: nothing ever writes to them."""
        return self.__copy__()

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
        revision: str | None = None,
        compute_type: str | None = None,
        backend: str = "native",
        add_pooling_layer: bool | None = None,
        embedding_type: str | None = None,
        memory_map: bool = True,
        ignore: Sequence[str] = (),
        adapter: str | os.PathLike[str] | Literal[False] | None = None,
        **config_overrides: Any,
    ) -> Self:
        """Load a checkpoint's folder as Hugging Face writes it, or a packed one.

        Args:
            path: a folder that holds ``config.json`` and ``model.safetensors`` or
                ``pytorch_model.bin`` (or shards of one and their index), or what ``save_packed``
                wrote; one of sentence-transformers; or a Hub name (``"FacebookAI/roberta-base"``),
                taken from the Hub's cache, or downloaded where the ``huggingface_hub`` library is
                installed and offline mode is off.
            revision: of a Hub name: a branch, a tag or a commit; ``None``: the main branch.
            compute_type: what the products round to: ``"float32"``, ``"bfloat16x3"``,
                ``"bfloat16"`` or ``"int8"`` (see ``compute_types.py``), or ``"float64"`` on the
                reference backend. ``None``: ``"float32"``, or what a packed file was packed for.
            backend: ``"native"`` or ``"reference"`` (the same graph over NumPy).
            add_pooling_layer: for ``RobertaModel``: ``None`` as the file has it, ``True``
                demands a pooler, ``False`` leaves it out.
            embedding_type: what the word table is kept in: ``"float16"``, or ``"int8"`` with a
                scale for each 64 columns of a word; its rows are widened as they are read.
                ``None``: as the file has it. A language model's head multiplies by a matrix of its
                own, as ``compute_type`` has it.
            memory_map: keep word and position tables, and packed weights, in the mapped file;
                ``False`` reads them, which survives a file that is cut while it is in use.
            ignore: patterns of tensors' names (``"mlp.*"``) that are left aside: those that a model
                was trained with and does not need. ``RobertaModel`` leaves all heads aside.
            adapter: the folder or Hub name of a LoRA adapter of peft's, which is merged into the
                weights in float64; ``None``: one that stands in the folder itself, ``False``: none.
                A folder that holds an adapter alone is opened as the base that it names.
            **config_overrides: fields of ``RobertaConfig`` to set.

        Raises:
            FileNotFoundError: a file that is not there.
            InputError: ``ignore`` is no list of patterns, ``adapter`` no adapter's folder.
            ConfigError: ``config.json`` is not of a model that this package computes.
            CheckpointError: a tensor is missing, extra or misshapen, or a file is broken; an
                adapter of another kind.
        """
        options = {
            "compute_type": compute_type,
            "backend": backend,
            "add_pooling_layer": add_pooling_layer,
            "embedding_type": check_embedding_type(embedding_type),
            "memory_map": memory_map,
            "ignore": ignore,
            "adapter": adapter,
            **config_overrides,
        }
        opened = _anywhere(path), {"revision": revision, **options, "adapter": _anywhere(adapter)}
        found = find_model(path, revision=revision, adapter=adapter)
        path = found.folder
        lora = None
        if found.adapter is not None:
            from ..checkpoint.adapter import read_adapter  # which most folders do not need

            lora = read_adapter(found.adapter)
            if lora.num_labels is not None:
                config_overrides.setdefault("num_labels", lora.num_labels)
        stamp = config_stamp(path)
        config = RobertaConfig.from_pretrained(path, **config_overrides)
        is_decoder = _is_decoder(path)
        source, kernels = open_folder(path, compute_type, backend, memory_map)
        if config_stamp(path) != stamp:
            raise CheckpointError(f"{path} must not be written while it is opened: open it again")
        if isinstance(source, PackedSource):
            embedding_type = source.pick_embedding_type(embedding_type)
        source.ignore(check_patterns("ignore", ignore))
        if lora is not None:
            source.merge(lora)
        shapes = cls._shapes(config, source.names(), add_pooling_layer)
        source.check(
            shapes,
            Weights.aside,
            cross_attention=config.use_cross_attention,
            any_head=cls.architecture == "base",
        )
        source.keep(shapes)
        model = cls(config, source, kernels, embedding_type)
        model._is_causal = cls._is_causal or is_decoder
        model._opened = opened
        return model

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

    @in_usual_arithmetic
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

    @in_usual_arithmetic
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
        save_packed(
            path,
            self._config_json(),
            self._source,
            self._parts.blocks.packed() | self._packed_head(),
            kernels.compute_type,
            kernels.family,
            self._parts.embeddings.narrowed(),
        )

    def _config_json(self) -> dict[str, Any]:
        config = self.config.to_hf() | {"architectures": [type(self).__name__]}
        if self._is_causal:
            config["is_decoder"] = True
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
        embeddings = Embeddings.load(self.config, self._source, kernels.dtype, self.embedding_type)
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


def _anywhere(path: Any) -> Any:
    """A path as other working directories have it; what is no path that exists as it is."""
    is_path = isinstance(path, (str, os.PathLike)) and os.path.lexists(path)
    return os.path.abspath(path) if is_path else path


def _reopen(cls: type[Weights], path: str, options: Mapping[str, Any]) -> Weights:
    """A model that was pickled as its path and options."""
    return cls.from_pretrained(path, **options)


def _from_arrays(
    cls: type[Weights],
    config: RobertaConfig,
    arrays: Mapping[str, Array],
    compute_type: str,
    backend: str,
    embedding_type: str | None,
) -> Weights:
    """A model that was pickled as its weights."""
    return cls(config, ArraySource(arrays), choose_kernels(backend, compute_type), embedding_type)


def _is_decoder(path: str | os.PathLike[str]) -> bool:
    """What ``config.json`` says of ``is_decoder``. Raises ConfigError."""
    said = read_config_json(path).get("is_decoder")
    if said is not None and not isinstance(said, bool):
        file = os.path.join(path, "config.json")
        raise ConfigError(f"is_decoder in {file} must be true or false, not {excerpt(said)}")
    return said is True
