"""The shape of a RoBERTa model: what ``config.json`` says, checked once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .activations import HF_NAMES as ACTIVATION_NAMES
from .activations import canonical_activation
from .checks import excerpt
from .config_keys import HF_NAMES, refuse_other_graphs
from .errors import ConfigError
from .opening import find_checkpoint, what_it_is
from .small_json import read_json

# A size beyond these is a broken or hostile file, not a model: it is refused before anything is
# allocated. The largest checkpoints known have 250,002 words, 8,194 positions and 24 blocks.
_LIMITS = {
    "vocab_size": 2**24,
    "max_positions": 2**24,
    "max_token_types": 2**16,
    "hidden_size": 2**16,
    "num_blocks": 2**12,
    "num_attention_heads": 2**16,
    "intermediate_size": 2**20,
    "num_labels": 2**20,
}
_MAX_CONFIG_BYTES = 2**20
_MAX_FLOAT = 1e308

# The graph of all of these is the same; their tensors have other prefixes (checkpoint/names.py).
MODEL_TYPES = ("roberta", "xlm-roberta", "camembert", "data2vec-text")

_OTHER_GRAPHS = {
    "bert": "a BERT graph, whose positions count from 0: `pyroberta convert OLD NEW` makes a "
    "checkpoint of RoBERTa's graph of it, with the same outputs",
    "xlm-roberta-xl": "normalised before each sub-layer and after the last block",
    "roberta-prelayernorm": "normalised before each sub-layer and after the last block",
    "mpnet": "its attention has a relative bias",
    "deberta": "its attention is disentangled",
    "deberta-v2": "its attention is disentangled",
    "longformer": "its attention is a sliding window",
    "data2vec": "a container; the text model is data2vec-text",
    "encoder-decoder": "two models: RobertaEncoderDecoder.from_pretrained opens them",
}

# Words with a role.
_ROLES = ("bos_token_id", "eos_token_id", "forced_bos_token_id", "forced_eos_token_id")

_PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobertaConfig:
    """The sizes and constants of one model.

    ``from_hf`` reads Hugging Face's ``config.json``, whose names differ. The defaults are those
    of the ancestor (and are BERT's: a RoBERTa checkpoint always names its own).

    Args:
        vocab_size: rows of the word table.
        max_positions: rows of the position table; see ``max_tokens``.
        max_token_types: rows of the token-type table.
        hidden_size: the width of a token's vector in every block.
        num_blocks: transformer blocks.
        num_attention_heads: heads of each block; divides ``hidden_size``.
        intermediate_size: the width between the two layers of a feed-forward network.
        activation: the function between them, by any name of ``activations.py``.
        dropout_rate, attention_dropout_rate, classifier_dropout_rate: for ``training=True``
            alone; ``None`` for the last means ``dropout_rate``.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the weights that ``from_config`` draws.
        output_hidden_states, output_attentions: what a call gives when it does not say.
        num_labels: columns of a classifier.
        id_to_label: their names, empty or one for each.
        use_cross_attention: the causal model's blocks attend to an encoder's output too.
        pad_token_id, bos_token_id, eos_token_id, forced_bos_token_id, forced_eos_token_id: words
            with a role; several may end a text (``eos_token_id``). Positions count from
            ``pad_token_id + 1``.
        tie_word_embeddings: the language-model head multiplies by the word table.
        problem_type: what a sequence classifier's logits mean: ``"regression"``,
            ``"single_label_classification"``, ``"multi_label_classification"`` or ``None``.

    Raises:
        ConfigError: a value of the wrong type, out of range, or at odds with another.

    Example:
        >>> RobertaConfig(max_positions=514).max_tokens
        512
    """

    vocab_size: int = 30522
    max_positions: int = 512
    max_token_types: int = 2
    hidden_size: int = 768
    num_blocks: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    activation: str = "gelu"
    dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.1
    classifier_dropout_rate: float | None = None
    layer_norm_epsilon: float = 1e-12
    initializer_range: float = 0.02
    output_hidden_states: bool = False
    output_attentions: bool = False
    num_labels: int = 2
    id_to_label: Mapping[int, str] = dataclasses.field(default_factory=dict)
    use_cross_attention: bool = False
    pad_token_id: int = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    tie_word_embeddings: bool = True
    problem_type: str | None = None

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            _check_int(name, getattr(self, name), 1, limit)
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size must be a multiple of num_attention_heads "
                f"({self.num_attention_heads}), not {self.hidden_size}"
            )
        canonical_activation(_checked(self.activation, str, "activation", "a name"))
        for name in ("dropout_rate", "attention_dropout_rate", "classifier_dropout_rate"):
            rate = getattr(self, name)
            if rate is not None or name != "classifier_dropout_rate":
                _check_float(name, rate, "in [0, 1)", lambda rate: 0 <= rate < 1)
        _check_float("layer_norm_epsilon", self.layer_norm_epsilon, "above 0", lambda eps: eps > 0)
        # Float32 has fewer digits below it, and 0 at last: a row without variance would be NaN.
        wanted = "of at least 2**-126, the least normal number of float32"
        _check_float(
            "layer_norm_epsilon", self.layer_norm_epsilon, wanted, lambda eps: eps >= 2.0**-126
        )
        _check_float("initializer_range", self.initializer_range, "0 or more", lambda r: r >= 0)
        for name in (
            "output_hidden_states",
            "output_attentions",
            "use_cross_attention",
            "tie_word_embeddings",
        ):
            _checked(getattr(self, name), bool, name, "true or false")
        _check_int("pad_token_id", self.pad_token_id, 0, self.vocab_size - 1)
        if self.max_tokens < 1:
            raise ConfigError(
                f"max_positions must be above pad_token_id + 1 ({self.pad_token_id + 1}), "
                f"not {self.max_positions}"
            )
        for name in _ROLES:
            several = name == "eos_token_id" and isinstance(getattr(self, name), (list, tuple))
            for one in getattr(self, name) if several else [getattr(self, name)]:
                if one is not None or several:
                    _check_int(name, one, 0, self.vocab_size - 1)
            if several:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.problem_type is not None and self.problem_type not in _PROBLEM_TYPES:
            raise ConfigError(
                f"problem_type must be None or one of {', '.join(_PROBLEM_TYPES)}, "
                f"not {excerpt(self.problem_type)}"
            )
        object.__setattr__(self, "id_to_label", _checked_labels(self.id_to_label))
        if self.id_to_label and len(self.id_to_label) != self.num_labels:
            raise ConfigError(
                f"id_to_label must have num_labels ({self.num_labels}) entries, "
                f"not {len(self.id_to_label)}"
            )

    @property
    def head_size(self) -> int:
        """The width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def max_tokens(self) -> int:
        """The longest sequence that the model takes, special tokens included.

        RoBERTa counts positions from ``pad_token_id + 1`` (fairseq's padding offset), so the
        first rows of the position table are never a token's: 514 rows hold 512 tokens.
        """
        return self.max_positions - self.pad_token_id - 1

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each label, ``LABEL_0`` and so on where the file names none."""
        return tuple(self.id_to_label.get(i, f"LABEL_{i}") for i in range(self.num_labels))

    @classmethod
    def from_hf(cls, config: Mapping[str, Any], **overrides: Any) -> RobertaConfig:
        """Read a parsed ``config.json``; ``overrides`` are fields of this class.

        Keys that cannot change the result (dates, library versions) are ignored. A key that
        would change it in a way that this package does not compute raises ConfigError.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f"config.json must hold an object, not {type(config).__name__}")
        _refuse_other_graphs(config)
        values: dict[str, Any] = {}
        for name, key in HF_NAMES.items():
            if key in config:
                values[name] = config[key]
        if "use_cross_attention" in config:  # the ancestor's own spelling
            values.setdefault("use_cross_attention", config["use_cross_attention"])
        # What only serves generation, or a loss, stops no encoder.
        problem = values.get("problem_type")
        if isinstance(problem, str) and problem not in _PROBLEM_TYPES:
            values["problem_type"] = None
        words = config.get("vocab_size")
        for name in _ROLES:  # what is no word of the model is never generated, and starts nothing
            if _is_beyond(values.get(name), words):
                values[name] = None
        if isinstance(values.get("eos_token_id"), list):
            several = tuple(one for one in values["eos_token_id"] if not _is_beyond(one, words))
            values["eos_token_id"] = several[0] if len(several) == 1 else several or None
        # Files carry null for "as the default says"; the fields that may be None keep it.
        optional = {f.name for f in dataclasses.fields(cls) if "None" in str(f.type)}
        values = {k: v for k, v in values.items() if v is not None or k in optional}
        if "id_to_label" in values:
            values["id_to_label"] = labels = _read_labels(values["id_to_label"])
            # Hugging Face writes both; where they differ the labels' names are the later ones.
            if "num_labels" not in values and labels:
                values["num_labels"] = len(labels)
            if sorted(labels) != list(range(len(labels))):
                values["id_to_label"] = {}  # numbered from 1, or with gaps: no logit's names
        if "num_labels" in overrides and "id_to_label" not in overrides:
            labels = values.get("id_to_label", {})
            if len(labels) != overrides["num_labels"]:
                values.pop("id_to_label", None)
        values.update(overrides)
        known = {f.name for f in dataclasses.fields(cls)}
        for name in overrides:
            if name not in known:
                raise ConfigError(
                    f"config override must be one of {', '.join(sorted(known))}, "
                    f"not {excerpt(name)}"
                )
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(_in_terms_of_the_file(str(error), overrides)) from None

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], *, revision: str | None = None, **overrides: Any
    ) -> RobertaConfig:
        """Read ``config.json`` of a checkpoint.

        Args:
            path, revision: as for ``from_pretrained`` of a model.
            **overrides: fields of this class to set.

        Raises:
            FileNotFoundError: there is no such folder or file.
            ConfigError: the file is not JSON, or not of a model that this package computes.
        """
        return cls.from_hf(read_config_json(find_checkpoint(path, revision=revision)), **overrides)

    def to_hf(self) -> dict[str, Any]:
        """This configuration under Hugging Face's names, for ``config.json``."""
        hf: dict[str, Any] = {"model_type": "roberta"}
        for name, key in HF_NAMES.items():
            value = getattr(self, name)
            if name == "id_to_label":
                if not value:
                    continue
                value = {str(i): label for i, label in value.items()}
                hf["label2id"] = {label: int(i) for i, label in value.items()}
            hf[key] = value
        hf["hidden_act"] = ACTIVATION_NAMES.get(self.activation, self.activation)
        hf["position_embedding_type"] = "absolute"
        return hf


def read_config_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The parsed ``config.json`` of a folder. Raises FileNotFoundError or ConfigError."""
    file = Path(path) / "config.json"
    if not Path(path).is_dir():
        raise FileNotFoundError(f"path must be a checkpoint's folder, not {str(path)!r}")
    if not os.path.lexists(file):
        raise FileNotFoundError(
            f"{file} must be a file: a checkpoint's configuration{what_it_is(file.parent)}"
        )
    config = read_json(file, ConfigError, _MAX_CONFIG_BYTES)
    if not isinstance(config, dict):
        raise ConfigError(f"{file} must hold an object, not {type(config).__name__}")
    return config


def _refuse_other_graphs(config: Mapping[str, Any]) -> None:
    model_type = config.get("model_type", "roberta")
    if model_type not in MODEL_TYPES:
        reason = _OTHER_GRAPHS.get(str(model_type))
        raise ConfigError(
            f"model_type must be one of {', '.join(MODEL_TYPES)}, not {excerpt(model_type)}"
            + (f" ({reason})" if reason else "")
        )
    refuse_other_graphs(config)


def _in_terms_of_the_file(message: str, overrides: Mapping[str, Any]) -> str:
    """An error of a field under the key that the file has for it."""
    name, _, rest = message.partition(" ")
    if name in overrides or name not in HF_NAMES:
        return message
    return f"{HF_NAMES[name]} in config.json {rest}"


def _is_beyond(token_id: Any, vocab_size: Any) -> bool:
    """Whether a whole number names no word of the vocabulary."""
    numbers = type(token_id) is int and type(vocab_size) is int
    return numbers and not 0 <= token_id < vocab_size


def _checked(value: Any, kind: type, name: str, what: str) -> Any:
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be {what}, not {excerpt(value)}")
    return value


def _check_int(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number in [{low}, {high}], not {excerpt(value)}")


def _check_float(name: str, value: Any, what: str, holds: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # The comparison is false for NaN, and needs no conversion, which a huge integer would fail.
    if not number or not -_MAX_FLOAT < value < _MAX_FLOAT or not holds(value):
        raise ConfigError(f"{name} must be a number {what}, not {excerpt(value)}")


def _read_labels(labels: Any) -> dict[int, str]:
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise ConfigError(f"id_to_label must map numbers to names, not {excerpt(labels)}")
    read: dict[int, str] = {}
    for key, label in labels.items():
        try:
            index = int(key)
        except (TypeError, ValueError):
            raise ConfigError(
                f"id_to_label must have whole numbers as keys, not {excerpt(key)}"
            ) from None
        read[index] = str(label)
    return read


def _checked_labels(labels: Any) -> dict[int, str]:
    checked = _read_labels(labels)
    if sorted(checked) != list(range(len(checked))):
        raise ConfigError(f"id_to_label must number its labels from 0 on, not {sorted(checked)}")
    return checked
