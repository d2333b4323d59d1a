"""Tiny random models that read the shipped tokenizer's ids."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pyroberta import RobertaConfig
from pyroberta.shipped import SHIPPED

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def save(model_class: Any, folder: Path, seed: int = 5, **config: Any) -> Path:
    """A folder of ``model_class``; ``config`` are fields of its configuration."""
    sizes: dict[str, Any] = {
        "vocab_size": 4800,
        "max_positions": 98,
        "hidden_size": 24,
        "num_blocks": 2,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "max_token_types": 1,
        "initializer_range": 0.4,
        "layer_norm_epsilon": 1e-5,
    }
    model_class.from_config(RobertaConfig(**(sizes | config)), seed=seed).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SHIPPED / name, folder)
    return folder
