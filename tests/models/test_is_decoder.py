"""``is_decoder`` in the config.json of another class than the causal one: it is causal too."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support import CLASSES, FLOAT64, batch_for, main_output, make_folder, needs_core

import pyroberta
from pyroberta import ConfigError

BY_TOKEN = ("base", "for_masked_language_modeling", "for_token_classification")


@pytest.mark.parametrize("architecture", CLASSES)
def test_it_changes_the_answer_and_a_file_without_it_is_as_before(architecture, tmp_path):
    ids = batch_for(architecture, [[0, 5, 6, 2], [0, 7, 8, 2]])
    outputs = {
        name: main_output(
            CLASSES[architecture].from_pretrained(
                make_folder(tmp_path / name, architecture, **changes)
            )(ids)
        )
        for name, changes in (
            ("none", {}),
            ("false", {"is_decoder": False}),
            ("true", {"is_decoder": True}),
        )
    }
    np.testing.assert_array_equal(outputs["false"], outputs["none"])
    same = np.array_equal(outputs["true"], outputs["none"])
    assert same == (architecture == "for_causal_language_modeling")


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("architecture", BY_TOKEN)
def test_a_later_word_changes_no_earlier_place(architecture, backend, tmp_path):
    path = make_folder(tmp_path, architecture, is_decoder=True)
    model = CLASSES[architecture].from_pretrained(path, backend=backend)
    one, other = [[0, 5, 6, 7, 2]], [[0, 5, 6, 9, 8]]
    first, second = (main_output(model(ids)) for ids in (one, other))
    np.testing.assert_array_equal(first[:, :3], second[:, :3])
    assert not np.array_equal(first[:, 3:], second[:, 3:])
    rows = [main_output(model.encode_rows(ids)) for ids in (one, other)]
    np.testing.assert_array_equal(rows[0][:3], first[0, :3])
    np.testing.assert_array_equal(rows[1][:3], first[0, :3])


@needs_core
@pytest.mark.parametrize("architecture", BY_TOKEN)
def test_it_is_saved_and_packed_with_the_model(architecture, tmp_path):
    path = make_folder(tmp_path / "first", architecture, is_decoder=True)
    model = CLASSES[architecture].from_pretrained(path)
    model.save_pretrained(tmp_path / "saved")
    model.save_packed(tmp_path / "packed")
    ids = [[0, 5, 6, 7, 2]]
    for name in ("saved", "packed"):
        again = pyroberta.from_pretrained(tmp_path / name)
        np.testing.assert_array_equal(main_output(again(ids)), main_output(model(ids)))


@pytest.mark.parametrize("said", [1, "true", [True]])
def test_another_value_is_refused_by_file_and_key(said, tmp_path):
    path = make_folder(tmp_path, "base")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"is_decoder": said}))
    with pytest.raises(ConfigError, match=r"is_decoder in .*config\.json must be true or false"):
        pyroberta.RobertaModel.from_pretrained(path)


def test_the_reference_agrees(tmp_path):
    path = make_folder(tmp_path, "base", is_decoder=True)
    exact: Any = pyroberta.RobertaModel.from_pretrained(path, **FLOAT64)
    ids, mask = [[0, 5, 6, 7, 2], [0, 9, 2, 1, 1]], [[1] * 5, [1, 1, 1, 0, 0]]
    got = pyroberta.RobertaModel.from_pretrained(path)(ids, mask).last_hidden_state
    np.testing.assert_allclose(got, exact(ids, mask).last_hidden_state, atol=1e-5)
