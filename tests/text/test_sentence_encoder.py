"""SentenceEncoder: what a call takes and gives, similarities by hand, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pyroberta import ConfigError, InputError, SentenceEncoder, pipeline
from pyroberta.text.similarity import quantized, similarity

pytest.importorskip("tokenizers")

TEXTS = ["The king lived.", "It rained in the night.", "a"]


@pytest.fixture(scope="module")
def model():
    return SentenceEncoder()


def test_vectors_are_those_of_the_pipeline(model):
    want = pipeline("sentence-embedding", normalize=False)(TEXTS)
    np.testing.assert_array_equal(model.encode(TEXTS), want)
    np.testing.assert_array_equal(model.encode(np.array(TEXTS)), want)
    np.testing.assert_array_equal(model.encode(text for text in TEXTS), want)
    np.testing.assert_array_equal(model.encode(TEXTS[1]), want[1])
    assert model.encode([]).shape == (0, 128)
    lengths = np.linalg.norm(model.encode(TEXTS, normalize_embeddings=True), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    assert model.get_sentence_embedding_dimension() == 128
    assert model.device == "cpu"
    assert "SentenceEmbedding(RobertaModel" in repr(model)


def test_prompts(tmp_path):
    model = SentenceEncoder(prompts={"query": "ask: ", "sea": "sea: "}, default_prompt_name="sea")
    plain = SentenceEncoder()
    assert model.prompts == {"query": "ask: ", "sea": "sea: "}
    np.testing.assert_array_equal(model.encode("a"), plain.encode("sea: a"))
    np.testing.assert_array_equal(model.encode_query("a"), plain.encode("ask: a"))
    np.testing.assert_array_equal(model.encode_document("a"), plain.encode("a"))
    np.testing.assert_array_equal(model.encode("a", prompt="b "), plain.encode("b a"))
    with pytest.raises(ConfigError, match="default_prompt_name must be one of query, not 'no'"):
        SentenceEncoder(prompts={"query": "a"}, default_prompt_name="no")


vectors = arrays(np.float32, (7, 5), elements=st.floats(-9, 9, width=32))


@given(vectors, vectors)
def test_similarities(a, b):
    x, y = a.astype(np.float64), b.astype(np.float64)
    by_hand = {
        "dot": x @ y.T,
        "euclidean": -np.array([[np.linalg.norm(p - q) for q in y] for p in x]),
        "manhattan": -np.array([[np.abs(p - q).sum() for q in y] for p in x]),
    }
    for name, want in by_hand.items():
        np.testing.assert_allclose(similarity(a, b, name), want, rtol=1e-6, atol=1e-6)
    cosine = similarity(a, a)
    assert np.abs(cosine).max() <= 1 + 1e-6
    lengths = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(np.diag(cosine)[lengths > 1e-30], 1, rtol=1e-6)


@given(arrays(np.float32, (9, 11), elements=st.floats(-9, 9, width=32)))
def test_fewer_bytes(rows):
    bits = quantized(rows, "ubinary")
    assert bits.shape == (9, 2)
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1)[:, :11], rows > 0)
    signed = quantized(rows, "binary")
    assert signed.dtype == np.int8
    np.testing.assert_array_equal(signed.astype(int) + 128, bits)
    levels = quantized(rows, "uint8")
    np.testing.assert_array_equal(quantized(rows, "int8").astype(int) + 128, levels)
    low, step = rows.min(axis=0), np.ptp(rows, axis=0) / 255
    assert (np.abs(rows - (low + levels * step)) <= step * 1.01 + 1e-6).all()


REFUSED = [
    (lambda m: m.encode(3), "sentences must be a str or several, not 3"),
    (lambda m: m.encode(["a", 3]), r"sentences\[1\] must be a str, not 3"),
    (lambda m: m.encode("a", output_value="no"), "output_value must be None or one of"),
    (lambda m: m.encode(["a", "b"], precision="int4"), "precision must be one of float32"),
    (lambda m: m.encode("a", precision="int8"), "precision must be float32, binary or ubinary"),
    (lambda m: m.encode("a", prompt_name="no"), "prompt_name must be one of"),
    (lambda m: m.encode("a", truncate_dim=0), "truncate_dim must be"),
    (lambda m: m.similarity([[1.0]], [[1.0, 2.0]]), "b must have vectors of 1 numbers"),
    (lambda m: m.similarity([[[1.0]]], [[1.0]]), r"a must be vectors \[n, dimension\]"),
    (lambda m: m.similarity_pairwise([[1.0]], [[1.0], [2.0]]), "embeddings2 must have the shape"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refusals(call, message, model):
    with pytest.raises(InputError, match=message):
        call(model)


def test_settings_that_are_refused():
    with pytest.raises(ConfigError, match="device must be 'cpu', not 'cuda'"):
        SentenceEncoder(device="cuda")
    with pytest.raises(ConfigError, match="similarity_fn_name must be one of cosine"):
        SentenceEncoder(similarity_fn_name="no")
