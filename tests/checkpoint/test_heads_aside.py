"""Tensors of a head that a model was trained with, beside what is opened."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pyroberta
from pyroberta import CheckpointError, InputError, RobertaForMaskedLM, RobertaModel
from pyroberta.shipped import SHIPPED

EXTRA = {
    "mlp.dense.weight": (4, 4),
    "pooler_head.bias": (3,),
    "sop.linear.weight": (2, 128),
}


@pytest.fixture
def folder(tmp_path):
    """The shipped checkpoint with some more tensors in its file."""

    def make(**more):
        shutil.copy(SHIPPED / "config.json", tmp_path)
        tensors = load_file(SHIPPED / "model.safetensors") | more
        save_file(tensors, tmp_path / "model.safetensors")
        return tmp_path

    return make


@pytest.mark.parametrize("name", EXTRA)
def test_the_encoder_leaves_any_head_aside(folder, name):
    path = folder(**{name: np.zeros(EXTRA[name], np.float32)})
    got = RobertaModel.from_pretrained(path, add_pooling_layer=False)([[0, 5, 2]])
    want = RobertaModel.from_pretrained(SHIPPED, add_pooling_layer=False)([[0, 5, 2]])
    assert got.last_hidden_state.tobytes() == want.last_hidden_state.tobytes()


@pytest.mark.parametrize("name", EXTRA)
def test_another_class_names_them_and_leaves_them_aside_when_told(folder, name):
    path = folder(**{name: np.zeros(EXTRA[name], np.float32)})
    pattern = name.split(".")[0] + ".*"
    message = re.escape(f"left aside by ignore=[{pattern!r}]")
    with pytest.raises(CheckpointError, match=message):
        pyroberta.from_pretrained(path)
    got = pyroberta.from_pretrained(path, ignore=[pattern])([[0, 5, 2]]).logits
    assert (
        got.tobytes() == RobertaForMaskedLM.from_pretrained(SHIPPED)([[0, 5, 2]]).logits.tobytes()
    )
    with pytest.raises(CheckpointError, match="extra"):
        pyroberta.from_pretrained(path, ignore=["other.*"])


@pytest.mark.parametrize("name", ["encoder.extra", "embeddings.x.weight", "encoder.layer.9.q.bias"])
def test_a_tensor_of_the_encoder_is_never_left_aside_unasked(folder, name):
    path = folder(**{f"roberta.{name}": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match=f"extra: {name}"):
        RobertaModel.from_pretrained(path, add_pooling_layer=False)


@pytest.mark.parametrize("ignore", ["mlp.*", [3], {"mlp.*"}, None])
def test_patterns_are_a_list(ignore):
    with pytest.raises(InputError, match="ignore must be a list of patterns, not"):
        RobertaModel.from_pretrained(SHIPPED, ignore=ignore)


def test_a_tensor_that_is_needed_and_ignored_is_missing():
    with pytest.raises(CheckpointError, match=r"missing: .*lm_head\.dense\.weight"):
        RobertaForMaskedLM.from_pretrained(SHIPPED, ignore=["lm_head.dense.*"])
