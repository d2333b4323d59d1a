"""Fixtures of the accuracy report: a compute type that is far off, and models with a head."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from accuracy.cases import LABELS

import pyroberta
from pyroberta import RobertaConfig, cli
from pyroberta.accuracy import texts
from pyroberta.models import Model
from pyroberta.shipped import SHIPPED


@pytest.fixture
def run_accuracy(capsys):
    """Runs the command here: its status, stdout and stderr."""

    def run(*argv):
        status = cli.main(["accuracy", *map(str, argv)])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def rough(monkeypatch, tmp_path_factory):
    """One more compute type, ``"rough"``: float32 with weights that are powers of two."""
    from safetensors.numpy import load_file, save_file

    original = Model.from_pretrained.__func__

    def from_pretrained(cls, path, *, compute_type="float32", **options):
        if compute_type == "rough":
            tensors = load_file(path / "model.safetensors")
            for name, array in tensors.items():
                exact = array.astype(np.float64)
                step = 2.0 ** (np.floor(np.log2(np.abs(exact) + 1e-30)))
                tensors[name] = (np.round(exact / step) * step).astype(np.float32)
            config = path / "config.json"
            path = tmp_path_factory.mktemp("rough")
            shutil.copy(config, path)
            save_file(tensors, path / "model.safetensors")
            compute_type = "float32"
        return original(cls, path, compute_type=compute_type, **options)

    monkeypatch.setattr(texts, "COMPUTE_TYPES", ("float32", "rough"))
    monkeypatch.setattr(Model, "from_pretrained", classmethod(from_pretrained))


@pytest.fixture(scope="module")
def make_model(tmp_path_factory):
    """Writes a small random model with the shipped tokenizer; gives its folder."""

    def make(name, **changes):
        folder = tmp_path_factory.mktemp(name)
        options = {"num_labels": 3, "id_to_label": dict(enumerate(LABELS))} | changes
        config = RobertaConfig(
            vocab_size=4800,
            max_positions=130,
            max_token_types=1,
            hidden_size=16,
            num_blocks=2,
            num_attention_heads=2,
            intermediate_size=32,
            initializer_range=0.5,
            **options,
        )
        getattr(pyroberta, name).from_config(config, seed=3).save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(SHIPPED / file, folder)
        return folder

    return make
