"""The configurations and inputs that the parity suite draws: a random sample, by fixed seeds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pyroberta.activations import ACTIVATIONS, ALIASES

from .peer import FAMILIES, SUFFIXES, transformers

ACTIVATION_NAMES = sorted({*ACTIVATIONS, *ALIASES} & set(transformers.activations.ACT2FN))
MASKS = ("none", "right", "left", "scattered")
PADS = (0, 1, 3)
COUNT = 264  # each of the six heads with two rounds of the 22 activations

# Heads and head sizes about the vectors' widths of 8 and 16 floats, and one alone.
_HEAD_SIZES = (1, 2, 3, 5, 7, 8, 9, 12, 16, 17, 24, 33)
_TOKENS = (1, 2, 3, 7, 16, 17, 33)


@dataclasses.dataclass(frozen=True)
class Case:
    """One model and one batch for it."""

    seed: int
    family: str
    architecture: str
    config: dict[str, Any]
    pooler: bool
    batch: dict[str, np.ndarray]
    attended: np.ndarray  # bool [batch (times choices), tokens]
    head_mask: np.ndarray | None

    def __str__(self) -> str:
        words = (self.seed, self.family, self.architecture, self.config["hidden_act"])
        return "-".join(map(str, words))


def make_case(seed: int) -> Case:
    """Case number ``seed``.

    Head, family, activation, mask and pad go round with periods 6, 3 (of every sixth), 22, 4 and
    3, so that each value of each has its share; sizes are drawn.
    """
    rng = np.random.default_rng([20260901, seed])
    architecture = list(SUFFIXES)[seed % 6]
    family = FAMILIES[seed // 6 % 3]
    mask = MASKS[(seed // 6 + seed) % 4]
    pad = PADS[(seed // 18 + seed) % 3]
    activation = ACTIVATION_NAMES[(seed * 7) % len(ACTIVATION_NAMES)]
    heads = int(rng.choice([1, 1, 2, 3, 5]))
    tokens = int(rng.choice(_TOKENS))
    words = int(rng.integers(5, 80))
    config = {
        "vocab_size": words,
        "max_position_embeddings": tokens + pad + 1 + int(rng.integers(0, 3)),
        "type_vocab_size": int(rng.integers(1, 4)),
        "hidden_size": heads * int(rng.choice(_HEAD_SIZES)),
        "num_hidden_layers": int(rng.integers(1, 4)),
        "num_attention_heads": heads,
        "intermediate_size": int(rng.choice([1, 5, 8, 13, 32, 67])),
        "hidden_act": activation,
        "layer_norm_eps": float(rng.choice([1e-12, 1e-5])),
        "num_labels": 2 if architecture == "for_question_answering" else int(rng.integers(1, 5)),
        "pad_token_id": pad,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    pooler = architecture != "base" or seed % 12 == 0
    reads_first = architecture in ("for_sequence_classification", "for_multiple_choice") or (
        architecture == "base" and pooler
    )
    lead = (int(rng.integers(1, 5)),)
    if architecture == "for_multiple_choice":
        lead = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    attended = _draw_mask(rng, mask, int(np.prod(lead)), tokens, reads_first)
    shape = (*lead, tokens)

    # Some pads among the attended tokens, and some other words among the masked: both count for
    # the positions by what they are, not by the mask.
    ids = rng.integers(0, words, shape)
    pads = ~attended.reshape(shape) & (rng.random(shape) < 0.7)
    ids[pads] = pad
    batch = {"input_ids": ids}
    if mask != "none":
        batch["attention_mask"] = attended.reshape(shape).astype(np.int64)
    if rng.random() < 0.5:
        batch["token_type_ids"] = rng.integers(0, config["type_vocab_size"], shape)
    if rng.random() < 0.2:
        batch["position_ids"] = rng.integers(0, config["max_position_embeddings"], shape)
    head_mask = None
    if rng.random() < 0.3:
        # Powers of two: they scale the peer's float32 weights without rounding.
        shape = (config["num_hidden_layers"], heads)
        head_mask = rng.choice([0.0, 0.25, 0.5, 1.0, 2.0], shape)
    return Case(seed, family, architecture, config, pooler, batch, attended, head_mask)


def _draw_mask(
    rng: np.random.Generator, kind: str, rows: int, tokens: int, reads_first: bool
) -> np.ndarray:
    attended = np.ones((rows, tokens), bool)
    lengths = rng.integers(1, tokens + 1, rows)
    places = np.arange(tokens)
    if kind == "right":
        attended = places < lengths[:, None]
    elif kind == "left":
        attended = places >= tokens - lengths[:, None]
    elif kind == "scattered":
        attended = rng.random((rows, tokens)) < 0.6
        # A row with nothing attended means something else there: tests/model/test_inputs.py.
        attended[np.arange(rows), rng.integers(0, tokens, rows)] = True
    if reads_first:  # such a row is refused by these heads
        attended[:, 0] = True
    return attended
