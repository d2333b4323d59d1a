"""``SentenceEncoder`` in the place of ``SentenceTransformer``: the snippets of its own README run.

The class's name is all that is changed; numbers are within 1e-5.
"""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

import pyroberta
from pyroberta.shipped import SHIPPED

pytestmark = pytest.mark.parity
library = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")

SENTENCES = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
]
PROMPTS = {"query": "query: ", "document": "passage: ", "other": "about the sea: "}


@pytest.fixture(scope="module", params=["plain", "normalized", "prompts", "cut"])
def both(request, tmp_path_factory):
    """The same folder read by both libraries."""
    folder = str(tmp_path_factory.mktemp("model"))
    modules = library.sentence_transformer.modules
    parts = [modules.Transformer(str(SHIPPED), max_seq_length=64), modules.Pooling(128, "mean")]
    if request.param == "normalized":
        parts.append(modules.Normalize())
    options = {}
    if request.param == "prompts":
        options = {"prompts": PROMPTS, "default_prompt_name": "other"}
    if request.param == "cut":
        options = {"truncate_dim": 40, "similarity_fn_name": "euclidean"}
    library.SentenceTransformer(modules=parts, device="cpu", **options).save_pretrained(folder)
    theirs = library.SentenceTransformer(folder, device="cpu", local_files_only=True).float()
    return pyroberta.SentenceEncoder(folder), theirs


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_snippet_of_embeddings(both):
    got = []
    for model in both:
        embeddings = model.encode(SENTENCES)
        similarities = model.similarity(embeddings, embeddings)
        got.append((embeddings, similarities))
    close(got[0][0], got[1][0])
    close(got[0][1], got[1][1].numpy())


def test_the_snippet_of_search(both):
    """Of its documentation: queries and documents have their own prompts."""
    got = []
    for model in both:
        query = model.encode_query("What is the weather like?")
        documents = model.encode_document(SENTENCES)
        got.append((query, documents, model.similarity(query, documents)))
    for ours, theirs in zip(*got, strict=True):
        close(ours, theirs.numpy() if hasattr(theirs, "numpy") else theirs)


OPTIONS = [
    {"normalize_embeddings": True},
    {"truncate_dim": 17},
    {"truncate_dim": 17, "normalize_embeddings": True},
    {"precision": "binary"},
    {"precision": "ubinary"},
    {"prompt": "on: "},
    {"batch_size": 2, "show_progress_bar": False},
    {"convert_to_tensor": True},
    {"convert_to_numpy": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("sentences", [SENTENCES, SENTENCES[0], ["", " a ", "b" * 900]])
def test_options(options, sentences, both):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (model.encode(sentences, **options) for model in both)
    assert type(ours) is type(theirs) or isinstance(ours, np.ndarray)
    if options.get("precision"):
        assert (ours == theirs).mean() > 0.999  # a number near 0 may fall to either side
        assert ours.dtype == theirs.dtype
    elif isinstance(ours, list):
        for one, two in zip(ours, theirs, strict=True):
            close(np.asarray(one), np.asarray(two))
    else:
        close(np.asarray(ours), np.asarray(theirs))


def test_token_embeddings(both):
    ours, theirs = (model.encode(SENTENCES, output_value="token_embeddings") for model in both)
    for one, two in zip(ours, theirs, strict=True):
        close(one, two.numpy() if hasattr(two, "numpy") else two)
    ours, theirs = (model.encode(SENTENCES, output_value=None) for model in both)
    for one, two in zip(ours, theirs, strict=True):
        close(one["sentence_embedding"], np.asarray(two["sentence_embedding"]))


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_steps(precision, both):
    texts = [f"{text} {i}" for i in range(40) for text in SENTENCES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (model.encode(texts, precision=precision) for model in both)
    assert ours.dtype == theirs.dtype
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
    assert (ours == theirs).mean() > 0.99


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(name, both, rng):
    ours, theirs = both
    a, b = (rng.standard_normal((n, 9)).astype(np.float32) for n in (70, 5))
    function = library.SimilarityFunction.to_similarity_fn(name)
    close(pyroberta.text.similarity.similarity(a, b, name), function(a, b).numpy())
    pairs = library.SimilarityFunction.to_similarity_pairwise_fn(name)
    ours.similarity_fn_name = name
    close(ours.similarity_pairwise(a[:5], b), pairs(a[:5], b).numpy())
    ours.similarity_fn_name = theirs.similarity_fn_name


def test_a_plain_checkpoint():
    """One that sentence-transformers did not save: its mean pooling, nothing normalised."""
    theirs = library.SentenceTransformer(str(SHIPPED), device="cpu").float()
    close(pyroberta.SentenceEncoder(SHIPPED).encode(SENTENCES), theirs.encode(SENTENCES))
    assert json.dumps(theirs.similarity_fn_name) == '"cosine"'
