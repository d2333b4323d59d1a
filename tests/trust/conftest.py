"""Small models with every number of theirs drawn, and inputs with pads on either side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from trust.port import Port, Sizes

import pyroberta

SIZES: dict[str, Any] = {
    "num_blocks": 2,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 90,
    "max_positions": 40,
    "max_token_types": 2,
    "initializer_range": 0.2,
    "layer_norm_epsilon": 1e-5,
}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "words": (pyroberta.RobertaForMaskedLM, {}),
    "full": (pyroberta.RobertaForMaskedLM, {}),
    "new gelu": (pyroberta.RobertaForMaskedLM, {"activation": "gelu_tanh"}),
    "next words": (pyroberta.RobertaForCausalLM, {}),
    "labels": (pyroberta.RobertaForSequenceClassification, {"num_labels": 3}),
}


class Example:
    """A model in float64, its tensors, and inputs.

    Attributes:
        kind: one of ``KINDS``.
        folder: its checkpoint.
        model: on the reference in float64.
        tensors: of the checkpoint, without a prefix.
        ids, mask, types: int64 ``[4, 12]``.
        sizes: for a port.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        cls, options = KINDS[kind]
        config = pyroberta.RobertaConfig(**SIZES, **options)
        cls.from_config(config, seed=3).save_pretrained(folder)
        draw_all(folder)
        self.kind, self.folder = kind, folder
        self.model = cls.from_pretrained(folder, backend="reference", compute_type="float64")
        tensors = load_file(folder / "model.safetensors")
        self.tensors = {name.removeprefix("roberta."): one for name, one in tensors.items()}
        rng = np.random.default_rng(5)
        self.ids = rng.integers(4, 88, (4, 12))
        self.mask = np.ones((4, 12), np.int64)
        if kind != "full":
            self.mask[1, 8:] = self.mask[2, 10:] = 0
            if kind != "labels":
                self.mask[3, :3] = 0
        self.ids[self.mask == 0] = config.pad_token_id
        self.types = np.where(np.arange(12) > 5, 1, 0) * self.mask
        self.sizes = Sizes(
            heads=4,
            pad=config.pad_token_id,
            eps=config.layer_norm_epsilon,
            activation=config.activation,
            head=cls.architecture,
            causal=kind == "next words",
        )

    def trace(self, model: Any = None, **options: Any) -> pyroberta.trust.Trace:
        return pyroberta.trace(model or self.model, self.ids, self.mask, self.types, **options)


def draw_all(folder: Path) -> None:
    """Biases that are not 0 and norms that are not 1, so that leaving one out shows."""
    file = folder / "model.safetensors"
    rng = np.random.default_rng(7)
    tensors = load_file(file)
    for values in tensors.values():
        if values.ndim == 1:
            values += rng.normal(0, 0.2, values.shape).astype(np.float32)
    save_file(tensors, file, {"format": "pt"})


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    """An example of each kind."""
    return {
        kind: Example(kind, tmp_path_factory.mktemp("trust") / kind.replace(" ", "_"))
        for kind in KINDS
    }


@pytest.fixture
def example(examples: dict[str, Example]) -> Example:
    """The masked language model."""
    return examples["words"]


@pytest.fixture
def port(example: Example) -> dict[str, Any]:
    """What a port of it gives that has no mistake."""
    return Port(example.sizes, example.tensors)(example.ids, example.mask, example.types)
