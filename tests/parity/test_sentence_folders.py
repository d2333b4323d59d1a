"""Folders as sentence-transformers saves them: its vectors, or a refusal by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pyroberta
from pyroberta.shipped import SHIPPED

pytestmark = pytest.mark.parity
st = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")

TEXTS = ["A boat sails on the sea.", "  The KING of France ", "x", "a <mask> b\n", "word " * 300]
WIDTH = 128


def modules():
    from sentence_transformers.sentence_transformer import modules as models

    return models


def load(folder):
    """Computed in float32, whatever the file's dtype: that is what ours is compared in."""
    return st.SentenceTransformer(str(folder), device="cpu").float()


@pytest.fixture
def save(tmp_path):
    """Saves a model of the shipped encoder and the modules given; gives it and its folder."""

    def make(*after, transformer=None, **options):
        torch.manual_seed(0)
        encoder = modules().Transformer(str(SHIPPED), **(transformer or {}))
        model = st.SentenceTransformer(modules=[encoder, *after], device="cpu", **options)
        model.save(str(tmp_path / "st"))
        return load(tmp_path / "st"), tmp_path / "st"

    return make


def check(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


@pytest.mark.parametrize(
    "pooling", [*POOLINGS, ["cls", "mean"], ["lasttoken", "max", "weightedmean"], list(POOLINGS)]
)
@pytest.mark.parametrize("include_prompt", [True, False])
def test_poolings_with_a_prompt_in_them_or_not(save, pooling, include_prompt):
    pool = modules().Pooling(WIDTH, pooling_mode=pooling, include_prompt=include_prompt)
    theirs, folder = save(pool, prompts={"query": "find this: ", "document": ""})
    ours = pyroberta.pipeline("sentence-embedding", folder)
    check(ours(TEXTS), theirs.encode(TEXTS))
    check(ours(TEXTS, prompt_name="query"), theirs.encode(TEXTS, prompt_name="query"))
    check(ours.encode_query(TEXTS), theirs.encode_query(TEXTS))
    check(ours.encode_document(TEXTS), theirs.encode_document(TEXTS))
    for text in TEXTS[:3]:
        check(ours(text, prompt="so: "), theirs.encode(text, prompt="so: "))


ACTIVATIONS = (
    "Tanh",
    "Identity",
    "ReLU",
    "GELU",
    "SiLU",
    "Sigmoid",
    "Mish",
    "LeakyReLU",
    "Hardswish",
)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_dense_module(save, activation):
    act = getattr(torch.nn, activation)()
    theirs, folder = save(
        modules().Pooling(WIDTH), modules().Dense(WIDTH, 9, activation_function=act)
    )
    check(pyroberta.pipeline("sentence-embedding", folder)(TEXTS), theirs.encode(TEXTS))


@pytest.mark.parametrize("width", [WIDTH, 12])
@pytest.mark.parametrize("bias", [True, False])
def test_a_residual_dense_module(save, width, bias):
    dense = modules().Dense(WIDTH, width, bias=bias, use_residual=True)
    theirs, folder = save(modules().Pooling(WIDTH), dense)
    check(pyroberta.pipeline("sentence-embedding", folder)(TEXTS), theirs.encode(TEXTS))


def test_modules_in_any_order(save):
    models = modules()
    norm = models.LayerNorm(2 * WIDTH)
    torch.nn.init.normal_(norm.norm.weight)
    after = (
        models.Pooling(WIDTH, pooling_mode=("mean", "max")),
        models.Normalize(),
        norm,
        models.Dropout(0.4),
        models.Dense(2 * WIDTH, 7),
        models.Normalize(),
    )
    theirs, folder = save(*after)
    ours = pyroberta.pipeline("sentence-embedding", folder)
    check(ours(TEXTS), theirs.encode(TEXTS))
    check(ours(TEXTS, truncate_dim=3), theirs.encode(TEXTS, truncate_dim=3))
    unit = pyroberta.pipeline("sentence-embedding", folder, normalize=True)
    both = {"truncate_dim": 3, "normalize_embeddings": True}
    check(unit(TEXTS, truncate_dim=3), theirs.encode(TEXTS, **both))


@pytest.mark.parametrize("transformer", [{"do_lower_case": True}, {"max_seq_length": 9}, {}])
@pytest.mark.parametrize("name", [None, "query", "other"])
def test_settings_and_default_prompts(save, transformer, name):
    prompts = {"query": "find: ", "other": "A "}
    options = {"prompts": prompts, "default_prompt_name": name, "truncate_dim": 50}
    _, folder = save(modules().Pooling(WIDTH), **options)
    # As earlier releases wrote them. (The newer write lower case into tokenizer.json, from where
    # transformers 5 does not read it for this class; 4.57 does, and so do we.)
    file = folder / "sentence_bert_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | transformer))
    theirs = load(folder)
    ours = pyroberta.pipeline("sentence-embedding", folder)
    check(ours(TEXTS), theirs.encode(TEXTS))
    check(ours.encode_query(TEXTS), theirs.encode_query(TEXTS))
    check(ours.encode_document(TEXTS), theirs.encode_document(TEXTS))
    check(ours(TEXTS, prompt_name="other"), theirs.encode(TEXTS, prompt_name="other"))


@pytest.mark.parametrize("old", [True, False])
def test_flags_of_older_releases(save, old):
    theirs, folder = save(modules().Pooling(WIDTH))
    flags = {"word_embedding_dimension": WIDTH} | dict.fromkeys(
        ("pooling_mode_cls_token", "pooling_mode_lasttoken", "pooling_mode_mean_tokens"), old
    )
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    theirs = load(folder)
    check(pyroberta.pipeline("sentence-embedding", folder)(TEXTS), theirs.encode(TEXTS))


@pytest.mark.parametrize("kind", ["CNN", "LSTM", "WordWeights"])
def test_other_modules_are_refused_by_name(save, kind):
    models = modules()
    other = {
        "CNN": lambda: models.CNN(WIDTH, WIDTH),
        "LSTM": lambda: models.LSTM(WIDTH, WIDTH),
        "WordWeights": lambda: models.WordWeights(["a"], {"a": 2.0}),
    }[kind]()
    _, folder = save(other, modules().Pooling(WIDTH))
    with pytest.raises(pyroberta.ConfigError, match=f"{kind}, which this package does not compute"):
        pyroberta.pipeline("sentence-embedding", folder)
