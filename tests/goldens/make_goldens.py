"""Makes the golden models: tiny ones of transformers, an input each, its float64 outputs.

    python tests/goldens/make_goldens.py

needs the extra ``parity``, writes a folder beside this file for each model, and gives the same
bytes again where torch and transformers are of the same versions.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

# E402: the line above is what makes this import possible when the file runs as a script.
from parity.peer import call_peer, make_peer, scale_heads  # noqa: E402

# The names say what each is there for. Sizes are odd where they may be.
MODELS: dict[str, dict[str, Any]] = {
    "base": {"architecture": "base"},
    "base_one_head_one_token": {
        "architecture": "base",
        "tokens": 1,
        "config": {"hidden_size": 7, "num_attention_heads": 1, "num_hidden_layers": 1},
    },
    "base_left_padded_pad_3": {
        "architecture": "base",
        "pooler": False,
        "padding": "left",
        "config": {"pad_token_id": 3, "hidden_act": "gelu_new"},
    },
    "masked_lm": {"architecture": "for_masked_language_modeling"},
    "masked_lm_relu_camembert": {
        "architecture": "for_masked_language_modeling",
        "family": "Camembert",
        "config": {"hidden_act": "relu", "type_vocab_size": 1, "layer_norm_eps": 1e-12},
    },
    "masked_lm_untied": {
        "architecture": "for_masked_language_modeling",
        "config": {"tie_word_embeddings": False, "num_hidden_layers": 1},
    },
    "sequence_classification_head_mask": {
        "architecture": "for_sequence_classification",
        "head_mask": True,
        "config": {"num_labels": 5},
    },
    "token_classification_xlm": {
        "architecture": "for_token_classification",
        "family": "XLMRoberta",
        "config": {"num_labels": 3, "hidden_size": 21, "num_attention_heads": 3},
    },
    "question_answering_wide": {
        "architecture": "for_question_answering",
        "tokens": 19,
        "config": {"hidden_size": 34, "num_attention_heads": 2, "num_hidden_layers": 1},
    },
    "multiple_choice": {"architecture": "for_multiple_choice", "config": {"hidden_act": "silu"}},
}

BASE = {
    "vocab_size": 41,
    "max_position_embeddings": 26,
    "type_vocab_size": 2,
    "hidden_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "num_labels": 2,
}


def make(name: str, seed: int, spec: dict[str, Any]) -> None:
    rng = np.random.default_rng(seed)
    config = BASE | spec.get("config", {})
    pooler = spec.get("pooler", True)
    peer = make_peer(
        spec.get("family", "Roberta"), spec["architecture"], config, seed, pooler=pooler
    )
    folder = HERE / name
    peer.save_pretrained(folder)
    # The version of the library that wrote it would make a new file of an equal model.
    written = json.loads((folder / "config.json").read_text())
    del written["transformers_version"]
    (folder / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")

    tokens = spec.get("tokens", 9)
    lengths = np.array([tokens, max(1, tokens // 2), max(1, tokens - 2)])
    places = np.arange(tokens)
    if spec.get("padding") == "left":
        attended = places >= tokens - lengths[:, None]
    else:
        attended = places < lengths[:, None]
    ids = rng.integers(4, config["vocab_size"], attended.shape)
    ids[~attended] = config["pad_token_id"]
    types = rng.integers(0, config["type_vocab_size"], attended.shape)
    batch = {
        "input_ids": ids,
        "attention_mask": attended.astype(np.int64),
        "token_type_ids": types,
    }
    if spec["architecture"] == "for_multiple_choice":
        batch = {key: array[:2].reshape(1, 2, tokens) for key, array in batch.items()}
    head_mask = None
    if spec.get("head_mask"):
        shape = (config["num_hidden_layers"], config["num_attention_heads"])
        head_mask = rng.choice([0, 0.25, 0.5, 1, 2], shape)  # exact in float32 weights
        scale_heads(peer, head_mask)
    outputs = call_peer(peer.double(), batch, head_mask)
    arrays = {f"in.{key}": array.astype(np.int32) for key, array in batch.items()}
    if head_mask is not None:
        arrays["in.attention_head_mask"] = head_mask
    arrays |= {f"out.{key}": array for key, array in outputs.items()}
    np.savez_compressed(folder / "golden.npz", **arrays)


if __name__ == "__main__":
    for number, (name, spec) in enumerate(MODELS.items()):
        make(name, 100 + number, spec)
    total = sum(file.stat().st_size for file in HERE.rglob("*") if file.is_file())
    print(f"{len(MODELS)} models, {total / 1000:.0f} kB in all")
