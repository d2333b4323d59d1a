"""LoRA adapters of peft's, merged into the weights as they are read.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) adds ``scale * B A`` to a weight, ``A [r,
in]`` and ``B [out, r]``, where ``scale`` is ``alpha / r``, or ``alpha / sqrt(r)`` for rsLoRA
(Kalajdzievski 2023, https://arxiv.org/abs/2312.03732). The sum is made in float64 and rounded once.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import excerpt
from ..errors import CheckpointError
from ..opening.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from ..small_json import read_json_object
from .names import PREFIXES
from .reader import Tensor, read_header

# The keys of adapter_config.json: what is computed with, and what says how the adapter was trained.
_COMPUTED = ("peft_type", "r", "lora_alpha", "alpha_pattern", "rank_pattern", "use_rslora")
_WITHOUT_EFFECT = (
    *("auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode"),
    *("peft_version", "lora_dropout", "runtime_config", "megatron_core", "ensure_weight_tying"),
    # The tensors themselves say which layers have an adapter, and which were trained whole.
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("modules_to_save", "bias", "lora_bias"),
    # Of layers that are no torch.nn.Linear; those of these models are, and peft leaves it aside.
    "fan_in_fan_out",
    # Of other initialisations, and of kinds that are refused by another key.
    *("loftq_config", "eva_config", "qalora_group_size"),
)
# Initialisations that leave the base as it is.
_PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")

# The class of each of peft's tasks.
_TASKS = {
    "SEQ_CLS": "for_sequence_classification",
    "TOKEN_CLS": "for_token_classification",
    "QUESTION_ANS": "for_question_answering",
    "CAUSAL_LM": "for_causal_language_modeling",
    "FEATURE_EXTRACTION": "base",
}

_OUTER = "base_model.model."
# What the parts of an adapted layer are called, after the layer's name.
_A, _B, _B_BIAS = "lora_A.weight", "lora_B.weight", "lora_B.bias"
_EMBEDDING_A, _EMBEDDING_B = "lora_embedding_A", "lora_embedding_B"
_PART = re.compile(rf"(.+)\.({'|'.join(map(re.escape, (_A, _B, _B_BIAS)))})")
_EMBEDDING_PART = re.compile(rf"(.+)\.({_EMBEDDING_A}|{_EMBEDDING_B})")
_OTHER_KINDS = re.compile(
    r".*(lora_|token_adapter|trainable_tokens|_vector|ia3|hada_|oft_|vera_).*"
)

_WORDS, _DECODER = "embeddings.word_embeddings", "lm_head.decoder"
_LABELS = ("classifier.out_proj.weight", "classifier.weight")

# Rows of a weight that are summed at a time: a word table's would take gigabytes in float64.
_ROWS = 4096
# A pattern of layers' names that could take for ever to match is none that a person wrote.
_MOST_PATTERN, _MOST_REPEATS = 256, 4


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A LoRA adapter.

    Attributes:
        folder: where it is.
        parts: of each layer, by its name without the encoder's prefix: ``A``, ``B`` and so on.
        whole: the tensors that it has in place of the base's.
        scales: of each layer.
    """

    folder: Path
    parts: Mapping[str, Mapping[str, Tensor]]
    whole: Mapping[str, Tensor]
    scales: Mapping[str, float]

    @property
    def num_labels(self) -> int | None:
        """The labels of its own classifier, if it has one."""
        found = (self.whole[name].shape for name in _LABELS if name in self.whole)
        return next((shape[0] for shape in found if shape), None)

    def merge(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The base's tensors, under this package's names, with the adapter's on them.

        Raises:
            CheckpointError: a layer that the base has not, or of another shape.
        """
        merged = dict(tensors)
        for name, tensor in self.whole.items():
            if name in merged and merged[name].shape != tensor.shape and name not in _LABELS:
                raise self._misfit(name, tensor, merged[name].shape)
            merged[name] = tensor
        for layer, parts in self.parts.items():
            self._check_tie(layer, merged)
            weight = merged.get(f"{layer}.weight")
            if weight is None:
                raise CheckpointError(
                    f"{next(iter(parts.values())).name} in {self.folder} must be of a layer of the "
                    f"model, which has no {layer}.weight"
                )
            merged[f"{layer}.weight"] = self._sum(layer, weight, parts)
            if _B_BIAS in parts:
                bias = merged.get(f"{layer}.bias")
                if bias is None or bias.shape != parts[_B_BIAS].shape:
                    raise self._misfit(layer, parts[_B_BIAS], bias and bias.shape)
                merged[f"{layer}.bias"] = _Sum.of(
                    bias, ((parts[_B_BIAS], None),), self.scales[layer]
                )
        return merged

    def _sum(self, layer: str, weight: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        is_embedding = _EMBEDDING_A in parts
        names = (_EMBEDDING_A, _EMBEDDING_B) if is_embedding else (_A, _B)
        if any(name not in parts for name in names):
            raise CheckpointError(
                f"{self.folder} must hold both {' and '.join(names)} of {layer}, not one"
            )
        a, b = (parts[name] for name in names)
        # Of an embedding the table is (B A) turned: A^T B^T.
        left, right = (a, b) if is_embedding else (b, a)
        axes = (0, 1) if is_embedding else (1, 0)
        if len(left.shape) != 2 or len(right.shape) != 2:
            raise self._misfit(layer, left, weight.shape)
        shape = (left.shape[1 - axes[0]], right.shape[1 - axes[1]])
        if shape != weight.shape or left.shape[axes[0]] != right.shape[axes[1]]:
            raise self._misfit(layer, left, weight.shape)
        return _Sum.of(weight, ((left, is_embedding), (right, is_embedding)), self.scales[layer])

    def _check_tie(self, layer: str, tensors: Mapping[str, Tensor]) -> None:
        """Refuse one of two layers with one weight: peft's own merge would change both."""
        has_head = any(name.startswith("lm_head.") for name in tensors)
        tied = has_head and f"{_DECODER}.weight" not in tensors
        if tied and layer in (_WORDS, _DECODER):
            raise CheckpointError(
                f"{self.folder} must not adapt {layer}, whose weight the word table and the head "
                "share: merge it with peft's merge_and_unload()"
            )

    def _misfit(self, name: str, tensor: Tensor, shape: Any) -> CheckpointError:
        wanted = "no such tensor" if shape is None else list(shape)
        return CheckpointError(
            f"{tensor.name} {list(tensor.shape)} in {self.folder} must fit {name} of the model, "
            f"which has {wanted}"
        )


@dataclasses.dataclass(frozen=True)
class _Sum(Tensor):
    """A tensor and what an adapter adds to it."""

    base: Tensor
    # One tensor that is added, or two whose product is; each with whether it is turned.
    factors: tuple[tuple[Tensor, bool | None], ...]
    scale: float

    @classmethod
    def of(
        cls, base: Tensor, factors: tuple[tuple[Tensor, bool | None], ...], scale: float
    ) -> _Sum:
        size = 4 * math.prod(base.shape)
        return cls(base.name, "F32", base.shape, base.file, base.offset, size, base, factors, scale)

    @property
    def contiguous(self) -> bool:
        return False

    def read(self, dtype: np.dtype[Any] | type = np.float32) -> Array:
        out = np.empty(self.shape, dtype)
        added = [
            tensor.read(np.float64).T if turned else tensor.read(np.float64)
            for tensor, turned in self.factors
        ]
        base = self.base.read_stored() if len(self.shape) == 2 else None
        if base is None:
            out[...] = self.base.read(np.float64) + self.scale * added[0]
            return out
        for begin in range(0, len(base), _ROWS):
            rows = slice(begin, begin + _ROWS)
            product = added[0][rows] @ added[1]
            out[rows] = self.base.widened(base[rows]) + self.scale * product
        return out

    def read_stored(self) -> Array:
        return self.read()

    def read_into(self, out: Array) -> None:
        out[...] = self.read().reshape(-1).view(np.uint8)

    def map(self) -> Array:
        return self.read()


def read_task(folder: Path) -> str | None:
    """The architecture that an adapter was trained for, or ``None`` where it does not say."""
    return _TASKS.get(str(read_json_object(folder / ADAPTER_CONFIG).get("task_type")))


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder.

    Raises:
        FileNotFoundError: it lacks a file.
        CheckpointError: a file that is malformed, or an adapter that is not a plain LoRA: it names
            the key and its value.
    """
    file = folder / ADAPTER_CONFIG
    config = read_json_object(file)
    _check_kind(file, config)
    weights = next((folder / name for name in ADAPTER_WEIGHTS if (folder / name).exists()), None)
    if weights is None:
        raise FileNotFoundError(f"{folder} must hold {' or '.join(ADAPTER_WEIGHTS)}")
    if weights.suffix == ".safetensors":
        tensors = read_header(weights)
    else:
        from .torch_file import read_torch_file

        tensors = read_torch_file(weights)
    parts: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    full_names: dict[str, str] = {}
    for name, tensor in tensors.items():
        own = name.removeprefix(_OUTER)
        own = re.sub(r"\bmodules_to_save\.(default\.)?|\bbase_layer\.", "", own)
        found = _PART.fullmatch(own) or _EMBEDDING_PART.fullmatch(own)
        if found is not None:
            layer = _without_prefix(found[1])
            parts.setdefault(layer, {})[found[2]] = tensor
            full_names[layer] = found[1]
        elif _OTHER_KINDS.fullmatch(own):
            raise CheckpointError(
                f"{weights} must hold a plain LoRA, not {name}, which is not merged here: use "
                "peft's merge_and_unload()"
            )
        else:
            whole[_without_prefix(own)] = tensor
    scales = {
        layer: _scale(file, config, full_names[layer], _rank(file, config, tensors_of))
        for layer, tensors_of in parts.items()
    }
    return Adapter(folder, parts, whole, scales)


def _without_prefix(name: str) -> str:
    prefix = max((one for one in PREFIXES if name.startswith(one)), key=len)
    return name[len(prefix) :]


def _check_kind(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse every adapter but a plain LoRA, by key and value."""
    advice = "which is not merged here: use peft's merge_and_unload()"
    if config.get("peft_type") != "LORA":
        raise CheckpointError(
            f"peft_type in {file} must be 'LORA', not {excerpt(config.get('peft_type'))}, {advice}"
        )
    start = config.get("init_lora_weights")
    if not any(start is one or (isinstance(one, str) and start == one) for one in _PLAIN_STARTS):
        raise CheckpointError(
            f"init_lora_weights in {file} must be true, false or one of 'gaussian', 'eva' and "
            f"'orthogonal', not {excerpt(start)}, which changes the base too: use peft"
        )
    for key, value in config.items():
        known = (*_COMPUTED, *_WITHOUT_EFFECT, "init_lora_weights")
        if key not in known and value not in (None, False, [], {}):
            raise CheckpointError(
                f"{key} in {file} must be absent, null or false, not {excerpt(value)}, {advice}"
            )


def _rank(file: Path, config: Mapping[str, Any], parts: Mapping[str, Tensor]) -> int:
    """The rank of a layer, which its tensors have whatever ``r`` and ``rank_pattern`` say."""
    for key in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.get(key) or {}, Mapping):
            raise CheckpointError(f"{key} in {file} must be an object, not {excerpt(config[key])}")
    first = parts.get(_A) or parts.get(_EMBEDDING_A)
    if first is None or not first.shape or first.shape[0] < 1:
        named = next(iter(parts.values())).name
        raise CheckpointError(f"{named} beside {file} must have an A of rank 1 or more beside it")
    said = [config.get("r", 8), *(config.get("rank_pattern") or {}).values()]
    if first.shape[0] not in said:
        raise CheckpointError(
            f"r in {file} must be {first.shape[0]}, the rank of {first.name}, "
            f"not {excerpt(config.get('r'))}"
        )
    return int(first.shape[0])


def _scale(file: Path, config: Mapping[str, Any], layer: str, rank: int) -> float:
    alpha = config.get("lora_alpha", 8)
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if _matches(file, pattern, layer):
            alpha = value
            break
    number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
    if not number or not -1e30 < alpha < 1e30:
        raise CheckpointError(f"lora_alpha in {file} must be a number, not {excerpt(alpha)}")
    rslora = config.get("use_rslora", False)
    if not isinstance(rslora, bool):
        raise CheckpointError(f"use_rslora in {file} must be true or false, not {excerpt(rslora)}")
    return float(alpha) / (math.sqrt(rank) if rslora else rank)


def _matches(file: Path, pattern: str, layer: str) -> bool:
    """Whether a pattern of peft's is of a layer: it is the name or the end of it."""
    repeats = len(re.findall(r"[*+{]", pattern))
    if len(pattern) > _MOST_PATTERN or repeats > _MOST_REPEATS or re.search(r"\)[*+{]", pattern):
        raise CheckpointError(
            f"alpha_pattern in {file} must have simple patterns, not {excerpt(pattern)}"
        )
    try:
        return re.match(rf"(.*\.)?({pattern})$", layer) is not None
    except (re.error, RecursionError, OverflowError) as error:
        raise CheckpointError(
            f"alpha_pattern in {file} must have regular expressions, not {excerpt(pattern)}: "
            f"{error}"
        ) from None
