"""Tokenizers and pipelines pickle and deep-copy as folders and options."""

from __future__ import annotations

import copy
import json
import pickle
import shutil

import numpy as np
import pytest
from text.models import TAGS, save

import pyroberta
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer

pytest.importorskip("tokenizers")

CALLS = {
    "text-classification": ("RobertaForSequenceClassification", ["a text"], {"top_k": 2}),
    "zero-shot-classification": (
        "RobertaForSequenceClassification",
        ["a text"],
        {"candidate_labels": "a, b"},
    ),
    "text-ranking": ("RobertaForSequenceClassification", [("a", "b")], {}),
    "token-classification": (
        "RobertaForTokenClassification",
        ["Ann lives"],
        {"aggregation_strategy": "first", "ignore_labels": []},
    ),
    "question-answering": ("RobertaForQuestionAnswering", [("a", "b c d")], {"top_k": 3}),
    "multiple-choice": ("RobertaForMultipleChoice", [("a", ["b", "c"])], {}),
    "fill-mask": ("RobertaForMaskedLM", ["a <mask>"], {"top_k": 3}),
    "sentence-embedding": ("RobertaModel", ["a text"], {"pooling": "max"}),
    "feature-extraction": ("RobertaModel", ["a text"], {}),
    "text-generation": ("RobertaForCausalLM", ["a text"], {"max_new_tokens": 3}),
}


def same(one, two):
    if isinstance(one, np.ndarray):
        return np.array_equal(one, two)
    return one == two


@pytest.mark.parametrize("task", CALLS)
def test_a_pipeline_goes_through_a_pickle(task, tmp_path):
    name, texts, options = CALLS[task]
    more = {"num_labels": 5, "id_to_label": dict(enumerate(TAGS))} if "Token" in name else {}
    folder = save(getattr(pyroberta, name), tmp_path, **more)
    if task == "text-ranking":
        config = json.loads((folder / "config.json").read_text())
        config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
        (folder / "config.json").write_text(json.dumps(config))
    made = pyroberta.pipeline(task, folder, **options)
    want = made(texts)
    data = pickle.dumps(made)
    assert len(data) < 5000  # neither weights nor words are in it
    for other in (pickle.loads(data), copy.deepcopy(made), copy.copy(made)):
        got = other(texts)
        assert len(got) == len(want)
        assert all(same(a, b) for a, b in zip(got, want, strict=True))
        assert repr(other) == repr(made)


@pytest.mark.parametrize("max_tokens", [None, 7])
@pytest.mark.parametrize("lowercased", [False, True])
def test_a_tokenizer_goes_through_a_pickle(lowercased, max_tokens):
    config = pyroberta.RobertaConfig.from_pretrained(SHIPPED)
    made = Tokenizer.from_pretrained(SHIPPED, config=config, max_tokens=max_tokens)
    made = made.lowercased() if lowercased else made
    texts = ["The King lived in a LARGE house.", "a <mask>"]
    for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert other.encode(texts) == made.encode(texts)
        assert repr(other) == repr(made)


def test_a_folder_that_has_gone_is_told(tmp_path):
    folder = save(pyroberta.RobertaForMaskedLM, tmp_path / "model")
    data = pickle.dumps(pyroberta.pipeline("fill-mask", folder))
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="model"):
        pickle.loads(data)
