"""feature-extraction and sentence-embedding: vectors, poolings, folders with modules.json."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from support import needs_core

from pyroberta import (
    CheckpointError,
    ConfigError,
    InputError,
    RobertaForSequenceClassification,
    RobertaModel,
    pipeline,
)
from pyroberta.shipped import SHIPPED
from pyroberta.text.pooling import pool

pytest.importorskip("tokenizers")

TEXTS = ["The king lived in a large house.", "", "A boat.", "It rained all day and all night." * 9]


@pytest.fixture(scope="module")
def embed():
    return pipeline("sentence-embedding")


@pytest.fixture(scope="module")
def model():
    return RobertaModel.from_pretrained(SHIPPED, add_pooling_layer=False)


@pytest.fixture
def st_folder(tmp_path):
    """A sentence-transformers folder, made by ``write(...)``."""

    def write(path="", pooling=None, steps=("Transformer", "Pooling", "Normalize"), **settings):
        (tmp_path / path).mkdir(exist_ok=True)
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            shutil.copy(SHIPPED / name, tmp_path / path)
        modules = [
            {
                "idx": i,
                "name": str(i),
                "path": path if step == "Transformer" else f"{i}_{step}",
                "type": f"sentence_transformers.models.{step}",
            }
            for i, step in enumerate(steps)
        ]
        (tmp_path / "modules.json").write_text(json.dumps(modules))
        (tmp_path / "1_Pooling").mkdir(exist_ok=True)
        pooling = {"pooling_mode_mean_tokens": True} if pooling is None else pooling
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        (tmp_path / path / "sentence_bert_config.json").write_text(json.dumps(settings))
        return tmp_path

    return write


def rows(model, tokenizer, texts):
    """The hidden states of each text's own tokens, one call each."""
    return [model([ids]).last_hidden_state[0] for ids in tokenizer.encode(texts)]


@needs_core
def test_features_are_the_hidden_states_of_each_text(model):
    extract = pipeline("feature-extraction", return_tensors=True)
    got = extract(TEXTS)
    for features, hidden in zip(got, rows(model, extract.tokenizer, TEXTS), strict=True):
        assert features.dtype == np.float32
        assert features.tobytes() == hidden[None].tobytes()


def test_features_are_nested_lists_unless_arrays_are_asked_for():
    extract = pipeline("feature-extraction")
    array = extract(TEXTS[0], return_tensors=True)
    assert extract(TEXTS[0]) == array.tolist()
    assert extract([TEXTS[0]]) == [array.tolist()]
    assert extract([]) == []


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_features_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.pipeline(
        "feature-extraction", str(SHIPPED), dtype=torch.float32, device="cpu"
    )
    for ours, other in zip(
        pipeline("feature-extraction")(TEXTS), theirs(TEXTS, truncation=True), strict=True
    ):
        np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-4)


def test_any_heads_checkpoint_gives_features(tmp_path):
    config = RobertaModel.from_pretrained(SHIPPED, add_pooling_layer=False).config
    RobertaForSequenceClassification.from_config(config, seed=1).save_pretrained(tmp_path)
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path)
    extract = pipeline("feature-extraction", tmp_path, return_tensors=True)
    assert extract("A boat.").shape == (1, 5, config.hidden_size)


@needs_core
def test_embeddings_are_normalised_means_of_all_tokens(embed, model):
    got = embed(TEXTS)
    assert got.dtype == np.float32
    for vector, hidden in zip(got, rows(model, embed.tokenizer, TEXTS), strict=True):
        mean = hidden.astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=1e-6, atol=1e-8)


@needs_core
@pytest.mark.parametrize(
    "pooling", ["mean", "cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken"]
)
def test_each_pooling_is_its_formula(model, pooling):
    embed = pipeline("sentence-embedding", pooling=pooling, normalize=False)
    formula = {
        "mean": lambda x: x.mean(axis=0),
        "cls": lambda x: x[0],
        "max": lambda x: x.max(axis=0),
        "mean_sqrt_len": lambda x: x.sum(axis=0) / len(x) ** 0.5,
        "weightedmean": lambda x: np.average(x, axis=0, weights=np.arange(1, len(x) + 1)),
        "lasttoken": lambda x: x[-1],
    }[pooling]
    for vector, hidden in zip(embed(TEXTS), rows(model, embed.tokenizer, TEXTS), strict=True):
        np.testing.assert_allclose(vector, formula(hidden.astype(np.float64)), rtol=1e-6, atol=1e-8)


def test_one_text_gives_one_vector(embed):
    hidden = embed.model.config.hidden_size
    assert embed(TEXTS[0]).shape == (hidden,)
    assert embed([TEXTS[0]]).shape == (1, hidden)
    assert embed([]).shape == (0, hidden)


@needs_core
@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_a_vectors_bits_do_not_depend_on_its_batch(embed, batch_tokens):
    alone = [embed(text).tobytes() for text in TEXTS]
    other = pipeline("sentence-embedding", batch_tokens=batch_tokens)
    assert [vector.tobytes() for vector in other(TEXTS)] == alone
    assert [vector.tobytes() for vector in other(TEXTS[::-1])] == alone[::-1]
    assert [vector.tobytes() for vector in other.stream(iter(TEXTS))] == alone


def test_stream_reads_no_more_texts_than_it_needs():
    embed = pipeline("sentence-embedding", batch_tokens=8)
    taken = []
    next(embed.stream(taken.append(i) or "a text" for i in range(1000)))
    assert len(taken) < 20


def test_stream_numbers_a_wrong_text_from_the_first(embed):
    with pytest.raises(InputError, match=r"texts\[1\] must be a str, not int"):
        list(embed.stream(["a", 3]))


def test_a_prompt_stands_before_each_text(embed):
    wanted = embed(["query: a", "query: b"]).tobytes()
    assert embed(["a", "b"], prompt="query: ").tobytes() == wanted
    other = pipeline("sentence-embedding", prompt="query: ")
    assert other(["a", "b"]).tobytes() == wanted
    assert other(["a"], prompt="").tobytes() == embed(["a"]).tobytes()
    assert np.stack(list(other.stream(["a", "b"]))).tobytes() == wanted


@pytest.mark.parametrize("text", [" a text", "a text\n", "\t a text "])
def test_white_space_around_a_text_is_a_part_of_it(embed, text):
    assert embed.tokenizer.encode_one(text) != embed.tokenizer.encode_one("a text")
    assert embed(text).tobytes() != embed("a text").tobytes()


@pytest.mark.parametrize("path", ["", "0_Transformer"])
def test_a_sentence_transformers_folder_is_read(st_folder, embed, path):
    folder = st_folder(path, {"pooling_mode_cls_token": True}, ("Transformer", "Pooling"))
    got = pipeline("sentence-embedding", folder)
    assert got.pooling == "cls"
    assert not got.normalize
    wanted = pipeline("sentence-embedding", pooling="cls", normalize=False)
    assert got(TEXTS).tobytes() == wanted(TEXTS).tobytes()
    features = pipeline("feature-extraction", folder, return_tensors=True)("a text")
    assert features.shape[0] == 1


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_the_pooling_of_the_folder_holds_unless_another_is_asked_for(st_folder, config, pooling):
    folder = st_folder(pooling=config)
    assert pipeline("sentence-embedding", folder).pooling == pooling
    assert pipeline("sentence-embedding", folder).normalize
    other = pipeline("sentence-embedding", folder, pooling="cls", normalize=False)
    assert other.pooling == "cls"
    assert not other.normalize


def test_max_seq_length_and_lower_case_of_the_folder_hold(st_folder, embed):
    got = pipeline("sentence-embedding", st_folder(max_seq_length=6, do_lower_case=True))
    assert len(got.tokenizer.encode(["a word " * 50])[0]) == 6
    assert got("A BOAT").tobytes() == embed("a boat").tobytes()


def test_max_seq_length_beyond_the_model_is_the_models(st_folder):
    got = pipeline("sentence-embedding", st_folder(max_seq_length=514))
    assert got.tokenizer.max_tokens == 128


def test_the_default_prompt_of_the_folder_holds(st_folder, embed):
    folder = st_folder()
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    got = pipeline("sentence-embedding", folder)
    assert got("a").tobytes() == embed("query: a").tobytes()
    prompts["default_prompt_name"] = "none"
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    with pytest.raises(ConfigError, match=r"default_prompt_name in .* not 'none'"):
        pipeline("sentence-embedding", folder)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("Transformer", "Pooling", "CNN"), "not .*CNN, which this package does not compute"),
        (("CLIPModel",), "not .*CLIPModel, which this package"),
        (("Pooling", "Transformer"), "must name Transformer, then Pooling, .* not Pooling, Tran"),
        (("Transformer",), "must name Transformer, then Pooling, .* not Transformer"),
        ((), "must name Transformer, then Pooling, .* not nothing"),
    ],
)
def test_a_step_that_is_not_computed_is_refused_by_name(st_folder, steps, message):
    with pytest.raises(ConfigError, match=message):
        pipeline("sentence-embedding", st_folder(steps=steps))


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"pooling_mode_median": True}, r"must ask for some of .* not for pooling_mode_median$"),
        (
            {"pooling_mode": "median"},
            r"pooling_mode in .* must be one or several of .* not 'median'",
        ),
        ({"pooling_mode": []}, r"pooling_mode in .* must be one or several of .* not \[\]"),
        ({"pooling_mode_cls_token": 1}, r"pooling_mode_cls_token in .* must be true or false"),
        ({"include_prompt": 0}, r"include_prompt in .* must be true or false, not 0"),
    ],
)
def test_a_pooling_that_is_not_computed_is_refused_by_name(st_folder, config, found):
    with pytest.raises(ConfigError, match=found):
        pipeline("sentence-embedding", st_folder(pooling=config))


@pytest.mark.parametrize("path", ["../other", "/etc"])
def test_a_step_outside_the_folder_is_refused(st_folder, path):
    folder = st_folder()
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match=r"path of Transformer in .* must be inside"):
        pipeline("sentence-embedding", folder)


@pytest.mark.parametrize("limit", [0, "many", True, 2.5])
def test_a_wrong_max_seq_length_is_refused(st_folder, limit):
    with pytest.raises(
        ConfigError, match=r"max_seq_length in .* must be a whole number of at leas"
    ):
        pipeline("sentence-embedding", st_folder(max_seq_length=limit))


def test_a_malformed_or_missing_file_of_the_folder_is_refused(st_folder):
    folder = st_folder()
    (folder / "1_Pooling" / "config.json").write_text("[")
    with pytest.raises(CheckpointError, match="must be JSON"):
        pipeline("sentence-embedding", folder)
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"1_Pooling.config\.json must be a file"):
        pipeline("sentence-embedding", folder)
    assert pipeline("sentence-embedding", folder, pooling="mean").pooling == "mean"
    (folder / "modules.json").write_text('{"a": 1}')
    with pytest.raises(ConfigError, match="must hold a list of modules"):
        pipeline("sentence-embedding", folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "median"}, "pooling must be one or several of mean, cls, .* not 'median'"),
        ({"normalize": "yes"}, "normalize must be True or False, not 'yes'"),
        ({"prompt": 3}, "prompt must be a str, not 3"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        pipeline("sentence-embedding", **options)


def test_pooling_does_not_depend_on_how_the_row_lies_in_memory():
    x = np.random.default_rng(0).standard_normal((7, 33), np.float32)
    wide = np.zeros((2, 9, 33), np.float32)
    wide[1, :7] = x
    assert pool(wide[1, :7], ["mean"]).tobytes() == pool(x, ["mean"]).tobytes()


def test_a_vector_of_zeros_stays_one(embed, monkeypatch):
    def zeros(model, rows, batch_tokens):
        return ((i, np.zeros((len(ids), 128), np.float32)) for i, ids in enumerate(rows))

    monkeypatch.setattr("pyroberta.text.embedding.hidden_states", zeros)
    assert embed.normalize
    assert embed("a text").tolist() == [0.0] * 128


@pytest.mark.parametrize(
    "texts",
    [
        np.array(["A dog runs.", "A cat sleeps."]),
        np.array(["A dog runs.", "A cat sleeps."], object),
        np.array([], str),
        ("A dog runs.", np.str_("A cat sleeps.")),
    ],
    ids=["str", "object", "empty", "numpy's str"],
)
def test_an_array_of_texts_is_a_list_of_them(texts):
    embed = pipeline("sentence-embedding")
    np.testing.assert_array_equal(embed(texts), embed([str(text) for text in texts]))


@pytest.mark.parametrize(
    "texts", [np.array([["a", "b"]]), np.array([1, 2]), np.array("a"), np.array([b"a"])]
)
def test_an_array_of_something_else_is_refused(texts):
    with pytest.raises(InputError, match=r"^texts"):
        pipeline("sentence-embedding")(texts)


@pytest.mark.parametrize("kind", ["CrossEncoder", "SparseEncoder", "StaticEmbedding"])
def test_a_folder_that_gives_no_vectors_is_named_for_what_it_is(kind, tmp_path):
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ConfigError, match=rf"must be SentenceTransformer .*, not '{kind}'"):
        pipeline("sentence-embedding", tmp_path)
