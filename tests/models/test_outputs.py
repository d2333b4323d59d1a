"""Outputs by name: ``output["logits"]`` is ``output.logits``, and what there is not is no key."""

from __future__ import annotations

import pytest
from support import CLASSES, batch_for, make_folder

import pyroberta


@pytest.mark.parametrize("architecture", CLASSES)
def test_what_there_is_can_be_read_by_name(architecture, tmp_path):
    model = pyroberta.from_pretrained(make_folder(tmp_path, architecture))
    ids = batch_for(architecture, [[0, 5, 6, 2]])
    output = model(ids, output_hidden_states=True)
    assert "hidden_states" in output
    assert tuple(output) == output.keys()
    for name in output:
        assert output[name] is getattr(output, name)
    for name in ("attentions", "no", "of_rows", 0):
        with pytest.raises(KeyError, match=f"output must be one of .*, not {name!r}"):
            output[name]
