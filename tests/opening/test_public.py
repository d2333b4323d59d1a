"""Folders with the small files of public repositories open as they are."""

from __future__ import annotations

import numpy as np
import pytest
from opening.public import PUBLIC, write_public

import pyroberta
from pyroberta.architectures import class_named
from pyroberta.config_keys import describe_keys
from pyroberta.text import Tokenizer

pytest.importorskip("tokenizers")


@pytest.mark.parametrize("name", PUBLIC)
def test_the_configuration_is_read(name):
    public = PUBLIC[name]
    config = pyroberta.RobertaConfig.from_hf(public["config"])
    assert config.max_tokens == public["limit"]
    told = describe_keys(public["config"])
    assert told["refused"] == []
    assert told["other"] == public.get("other", [])
    if "id2label" in public["config"]:
        assert config.labels == tuple(public["config"]["id2label"].values())
    (architecture,) = public["config"]["architectures"]
    ending = architecture.removeprefix("XLM").removeprefix("Roberta").removeprefix("Camembert")
    assert class_named(public["config"]).__name__ == f"Roberta{ending}"


@pytest.mark.parametrize("name", PUBLIC)
def test_the_folder_opens(name, tmp_path):
    public = PUBLIC[name]
    folder = write_public(tmp_path / "folder", name)
    model = pyroberta.from_pretrained(folder)
    tokenizer = Tokenizer.from_pretrained(folder, config=model.config)
    assert tokenizer.max_tokens == public["limit"]
    assert tokenizer.mask_token == "<mask>"
    the, pair, long = tokenizer.encode(["the dog", ("the", "dog"), "the " * 9000])
    camembert = public["config"]["model_type"] == "camembert"
    begin, end = (5, 6) if camembert else (0, 2)
    assert (the[0], the[-1], tokenizer.pad_token_id) == (begin, end, 1)
    middle = pair.index(end)
    assert pair[middle : middle + 2] == [end, end]
    assert len(long) == public["limit"]
    assert tokenizer.decode(the, skip_special_tokens=True) == "the dog"
    output = model.encode_rows([the, pair])
    assert all(np.isfinite(array).all() for array in vars(output).values() if array is not None)
    if "modules.json" in public.get("files", {}):
        vectors = pyroberta.pipeline("sentence-embedding", folder)(["the dog", "the"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
