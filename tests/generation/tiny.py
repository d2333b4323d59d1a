"""Tiny causal models whose tokens are not foregone: what the tests of generation share."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyroberta import RobertaConfig, RobertaForCausalLM

FLOAT64: dict[str, Any] = {"backend": "reference", "compute_type": "float64"}
VOCAB = 37
MAX_TOKENS = 32

# Large weights and an output matrix of its own: with a tied one a model repeats its last token.
CONFIG: dict[str, Any] = {
    "vocab_size": VOCAB,
    "max_positions": MAX_TOKENS + 2,
    "hidden_size": 18,
    "num_blocks": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "initializer_range": 0.35,
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": False,
}


def make_model(seed: int = 0, *, native: bool = False, **changes: Any) -> RobertaForCausalLM:
    """A random model: the float64 reference, or float32 kernels."""
    options = {} if native else FLOAT64
    return RobertaForCausalLM.from_config(RobertaConfig(**CONFIG | changes), seed=seed, **options)


def make_prompt(lengths: list[int], seed: int = 0, *, side: str = "left") -> Any:
    """Random ids and the mask of rows of these lengths, padded on one side."""
    rng = np.random.default_rng(seed)
    width = max(lengths)
    ids = np.ones((len(lengths), width), np.int64)
    mask = np.zeros((len(lengths), width), np.int64)
    for row, n in enumerate(lengths):
        place = slice(width - n, width) if side == "left" else slice(0, n)
        ids[row, place] = rng.integers(3, VOCAB, n)
        mask[row, place] = 1
    return ids, mask


def last_logits(model: RobertaForCausalLM, ids: Any, **encoder: Any) -> Any:
    """The logits after one unpadded row, by a pass over all of it."""
    row = np.asarray(ids)[None]
    return model(row, np.ones(row.shape), **encoder).logits[0, -1]


def greedy_loop(model: RobertaForCausalLM, prompt: Any, new: int, eos: Any = (2,)) -> list[int]:
    """Greedy search as one writes it down: no cache, one row, all of it read at each step."""
    ids = list(prompt)
    for _ in range(new):
        ids.append(int(np.argmax(last_logits(model, ids))))
        if ids[-1] in eos:
            break
    return ids[len(prompt) :]


def up_to_end(row: Any, eos: Any = (2,)) -> list[int]:
    """A row of new tokens up to its first end, the pads after it left out."""
    tokens = [int(t) for t in row]
    ends = [i for i, t in enumerate(tokens) if t in eos]
    return tokens[: ends[0] + 1] if ends else tokens
