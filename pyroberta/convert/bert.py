"""A BERT checkpoint as one of RoBERTa's: the same numbers from another graph.

BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805) differs from RoBERTa in four places:

- Its positions count from 0, RoBERTa's from the row behind the pad's: the table moves down by
  ``pad_token_id + 1`` rows. The pad is made the first word, by a swap of two rows of the word table
  (and of the tokenizer), so that one row is enough.
- Its sequence classifier reads the pooler, ``classifier(tanh(pooler.dense(h)))``: RoBERTa's has
  both layers, as ``classifier.dense`` and ``classifier.out_proj``.
- Its masked-LM head has other names, and the configuration's activation in place of GELU: one with
  another activation is refused.
- Its tensors have another prefix.

A token with the pad's id that stands inside a text is counted by BERT and not by RoBERTa.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..activations import canonical_activation
from ..arrays import Array
from ..checkpoint import Part, Tensor
from ..checkpoint.names import rename
from ..checks import excerpt, is_name_of
from ..errors import CheckpointError, ConfigError

# What is read of BERT's classes, and what they become.
CLASSES = {
    "BertModel": "RobertaModel",
    "BertForMaskedLM": "RobertaForMaskedLM",
    "BertForPreTraining": "RobertaForMaskedLM",
    "BertLMHeadModel": "RobertaForCausalLM",
    "BertForSequenceClassification": "RobertaForSequenceClassification",
    "BertForTokenClassification": "RobertaForTokenClassification",
    "BertForQuestionAnswering": "RobertaForQuestionAnswering",
    "BertForMultipleChoice": "RobertaForMultipleChoice",
}
_LANGUAGE_MODELS = ("RobertaForMaskedLM", "RobertaForCausalLM")

_WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"

# BERT's defaults, which are not those of a RoBERTa configuration that leaves a key out.
_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "bos_token_id": None,
    "eos_token_id": None,
}

# Of the language models' heads, BERT's names and RoBERTa's.
_LM_HEAD = {
    "cls.predictions.transform.dense.weight": "lm_head.dense.weight",
    "cls.predictions.transform.dense.bias": "lm_head.dense.bias",
    "cls.predictions.transform.LayerNorm.weight": "lm_head.layer_norm.weight",
    "cls.predictions.transform.LayerNorm.bias": "lm_head.layer_norm.bias",
    "cls.predictions.bias": "lm_head.bias",
}
# Of our names, those with a row for each word.
_OF_WORDS = (_WORDS, "lm_head.decoder.weight", "lm_head.decoder.bias", "lm_head.bias")
_DECODER, _DECODER_BIAS = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"


def class_of(config: Mapping[str, Any], names: set[str]) -> str:
    """RoBERTa's class for a BERT checkpoint.

    Args:
        config: its ``config.json``.
        names: of its tensors.

    Raises:
        ConfigError: a class that has no like, or none is named and the tensors do not tell.
    """
    named = config.get("architectures")
    if isinstance(named, list) and len(named) == 1 and is_name_of(named[0], CLASSES):
        return CLASSES[named[0]]
    if named is None and "classifier.weight" not in names:
        if "qa_outputs.weight" in names:
            return "RobertaForQuestionAnswering"
        return "RobertaForMaskedLM" if "cls.predictions.bias" in names else "RobertaModel"
    raise ConfigError(
        f"architectures in config.json must be one of {', '.join(CLASSES)}, not {excerpt(named)}: "
        "write into it which one it is"
    )


def convert_config(config: Mapping[str, Any], cls: str, pad: int) -> dict[str, Any]:
    """RoBERTa's ``config.json``; ``pad`` is the tokenizer's pad, which becomes the first word.

    Raises:
        ConfigError: a language model with another activation than GELU.
    """
    said = {key: value for key, value in config.items() if value is not None or key in _OPTIONAL}
    config = _DEFAULTS | said
    if cls in _LANGUAGE_MODELS and canonical_activation(config["hidden_act"]) != "gelu":
        raise ConfigError(
            f"hidden_act in config.json must be 'gelu' for a language model to be converted, not "
            f"{excerpt(config['hidden_act'])}: BERT's head has it too, and RoBERTa's is GELU always"
        )
    positions = config["max_position_embeddings"]
    swapped: dict[str, Any] = {
        key: _moved(config[key], pad)
        for key in ("bos_token_id", "eos_token_id", "decoder_start_token_id")
        if key in config
    }
    return {
        **config,
        **swapped,
        "architectures": [cls],
        "model_type": "roberta",
        "max_position_embeddings": positions + 1 if isinstance(positions, int) else positions,
        "pad_token_id": 0,
    }


def _moved(token_id: Any, pad: int) -> Any:
    """A word's id, or each of several, after the swap."""
    if isinstance(token_id, list):
        return [_moved(one, pad) for one in token_id]
    return {0: pad, pad: 0}.get(token_id, token_id) if isinstance(token_id, int) else token_id


_OPTIONAL = ("bos_token_id", "eos_token_id", "classifier_dropout", "problem_type")


def convert_tensors(
    checkpoint: Mapping[str, Tensor], config: Mapping[str, Any], cls: str, pad: int
) -> tuple[dict[str, Part], list[str]]:
    """The tensors under this package's names, and the names of those that no class reads.

    Args:
        checkpoint: the file's.
        config: what ``convert_config`` gave.
        cls: RoBERTa's class.
        pad: the id that becomes 0.

    Raises:
        CheckpointError: no word table, one that is not of a BERT, or without that id.
    """
    tensors = rename(checkpoint, ("", "bert."))
    words = tensors[_WORDS]
    if len(words.shape) != 2 or pad >= words.shape[0]:
        raise CheckpointError(
            f"{words.name} must have a row for the pad's id {pad}, not the shape "
            f"{list(words.shape)}"
        )
    tied = config.get("tie_word_embeddings", True) is not False
    parts: dict[str, Part] = {}
    left: list[str] = []
    for name, tensor in tensors.items():
        ours = _our_name(name, cls, tied)
        if ours is None:
            left.append(tensor.name)
        elif name == _POSITIONS:
            shape = (tensor.shape[0] + 1, *tensor.shape[1:])
            parts[ours] = Part(tensor.dtype, shape, functools.partial(_behind_the_pad, tensor))
        elif pad and ours in _OF_WORDS:
            read = functools.partial(_swapped, tensor, pad)
            parts[ours] = Part(tensor.dtype, tensor.shape, read)
        else:
            parts[ours] = Part(tensor.dtype, tensor.shape, tensor.read_stored)
    # The decoder's bias and the head's are one where the two are tied, and the decoder's counts
    # where they are not.
    if "lm_head.decoder.bias" in parts and (not tied or "lm_head.bias" not in parts):
        parts["lm_head.bias"] = parts["lm_head.decoder.bias"]
    if tied:
        parts.pop("lm_head.decoder.bias", None)
    return parts, left


def _our_name(name: str, cls: str, tied: bool) -> str | None:
    """What RoBERTa's class calls a tensor of BERT's, or ``None`` for one that it does not read."""
    if name.startswith(("embeddings.", "encoder.")):
        return name
    if cls == "RobertaForSequenceClassification":
        layer, _, part = name.rpartition(".")
        of_head = {"pooler.dense": "classifier.dense", "classifier": "classifier.out_proj"}
        return f"{of_head[layer]}.{part}" if layer in of_head else None
    if name.startswith("pooler."):
        return name
    if cls in _LANGUAGE_MODELS:
        if not tied and name == _DECODER:
            return "lm_head.decoder.weight"
        return "lm_head.decoder.bias" if name == _DECODER_BIAS else _LM_HEAD.get(name)
    heads = {
        "RobertaForTokenClassification": "classifier.",
        "RobertaForMultipleChoice": "classifier.",
        "RobertaForQuestionAnswering": "qa_outputs.",
    }
    return name if cls in heads and name.startswith(heads[cls]) else None


def _behind_the_pad(tensor: Tensor) -> Array:
    """The position table with the pad's row before it."""
    raw = tensor.read_stored()
    return np.concatenate([np.zeros_like(raw[:1]), raw])


def _swapped(tensor: Tensor, pad: int) -> Array:
    """The rows of words, the pad's before all others."""
    raw = tensor.read_stored()
    raw[[0, pad]] = raw[[pad, 0]]
    return raw
