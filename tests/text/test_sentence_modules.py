"""Folders of sentence-transformers: poolings, the modules after them, prompts, settings.

The oracle is each module's formula in NumPy; tests/parity compares with the library itself.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from pyroberta import CheckpointError, ConfigError, InputError, pipeline
from pyroberta.shipped import SHIPPED
from pyroberta.text.prompts import check_token_left

pytest.importorskip("tokenizers")

MEAN = {"pooling_mode_mean_tokens": True}
TEXTS = ["A boat sails.", "the King of the old country", "x"]
LIBRARY = "sentence_transformers.models."
RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((5, 128), np.float32)
BIAS = RNG.standard_normal(5, np.float32)
SCALE = RNG.standard_normal(128, np.float32)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of the modules after the transformer: (type, config, tensors) of each."""

    def make(*modules, pooling=MEAN, settings=None, transformer=None):
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            shutil.copy(SHIPPED / name, tmp_path)
        rows = [{"name": "0", "path": "", "type": LIBRARY + "Transformer"}]
        for n, (kind, config, tensors) in enumerate([("Pooling", pooling, {}), *modules], 1):
            path = tmp_path / f"{n}_{kind}"
            path.mkdir()
            (path / "config.json").write_text(json.dumps(config))
            if tensors:
                save_file(tensors, path / "model.safetensors")
            rows.append({"name": str(n), "path": path.name, "type": LIBRARY + kind})
        (tmp_path / "modules.json").write_text(json.dumps(rows))
        for name, value in (
            ("config_sentence_transformers.json", settings),
            ("sentence_bert_config.json", transformer),
        ):
            if value is not None:
                (tmp_path / name).write_text(json.dumps(value))
        return tmp_path

    return make


@pytest.fixture(scope="module")
def means():
    return pipeline("sentence-embedding", normalize=False)(TEXTS).astype(np.float64)


@pytest.fixture(scope="module")
def hidden():
    extract = pipeline("feature-extraction", return_tensors=True)
    return lambda text: extract(text)[0].astype(np.float64)


def dense(activation="Tanh", **more):
    name = f"torch.nn.modules.activation.{activation}"
    config = {"in_features": 128, "out_features": 5, "bias": True, "activation_function": name}
    tensors = {"linear.weight": WEIGHT, "linear.bias": BIAS}
    return "Dense", config | more, tensors


def check(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("Tanh", np.tanh),
        ("ReLU", lambda x: np.maximum(x, 0)),
        ("Sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("SiLU", lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_a_dense_module_is_its_formula(folder, means, activation, formula):
    embed = pipeline("sentence-embedding", folder(dense(activation)))
    assert embed.dimension == 5
    assert not embed.normalize
    check(embed(TEXTS), formula(means @ WEIGHT.T + BIAS))


def test_a_dense_module_without_activation_named_has_tanh(folder, means):
    kind, config, tensors = dense()
    del config["activation_function"]
    check(
        pipeline("sentence-embedding", folder((kind, config, tensors)))(TEXTS),
        np.tanh(means @ WEIGHT.T + BIAS),
    )


def test_a_dense_module_without_bias_and_identity(folder, means):
    config = {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    module = ("Dense", dense()[1] | config, {"linear.weight": WEIGHT})
    check(pipeline("sentence-embedding", folder(module))(TEXTS), means @ WEIGHT.T)


def test_a_residual_is_added_as_it_is_or_projected(folder, means, tmp_path):
    square = RNG.standard_normal((128, 128)).astype(np.float32) / 10
    bias = np.zeros(128, np.float32)
    same = dense(out_features=128, use_residual=True)[:2]
    path = folder((*same, {"linear.weight": square, "linear.bias": bias}))
    check(pipeline("sentence-embedding", path)(TEXTS), np.tanh(means @ square.T) + means)
    shutil.rmtree(path / "2_Dense")
    config, tensors = dense(use_residual=True)[1:]
    (path / "2_Dense").mkdir()
    (path / "2_Dense" / "config.json").write_text(json.dumps(config))
    save_file(tensors | {"residual.weight": WEIGHT * 2}, path / "2_Dense" / "model.safetensors")
    want = np.tanh(means @ WEIGHT.T + BIAS) + means @ (2 * WEIGHT).T
    check(pipeline("sentence-embedding", path)(TEXTS), want)


def test_layer_norm_dropout_and_normalize_come_in_any_order(folder, means):
    norm = ("LayerNorm", {"dimension": 128}, {"norm.weight": SCALE, "norm.bias": SCALE / 2})
    path = folder(("Dropout", {"dropout": 0.5}, {}), ("Normalize", {}, {}), norm, dense("ReLU"))
    x = means / np.linalg.norm(means, axis=1, keepdims=True)
    x = x - x.mean(axis=1, keepdims=True)
    x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5) * SCALE + SCALE / 2
    check(pipeline("sentence-embedding", path)(TEXTS), np.maximum(x @ WEIGHT.T + BIAS, 0))


@pytest.mark.parametrize(
    ("pooling", "names"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("cls", "mean")),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
        (
            {"pooling_mode": ["lasttoken", "max", "weightedmean"]},
            ("lasttoken", "max", "weightedmean"),
        ),
        (
            {"pooling_mode_lasttoken": True, "pooling_mode_weightedmean_tokens": True},
            ("weightedmean", "lasttoken"),
        ),
    ],
)
def test_several_poolings_stand_one_after_the_other(folder, hidden, pooling, names):
    formulas = {
        "cls": lambda h: h[0],
        "mean": lambda h: h.mean(0),
        "max": lambda h: h.max(0),
        "lasttoken": lambda h: h[-1],
        "weightedmean": lambda h: np.average(h, axis=0, weights=np.arange(1, len(h) + 1)),
    }
    embed = pipeline("sentence-embedding", folder(pooling=pooling))
    assert embed.pooling == names
    assert embed.dimension == 128 * len(names)
    for text, got in zip(TEXTS, embed(TEXTS), strict=True):
        check(got, np.concatenate([formulas[name](hidden(text)) for name in names]))


@pytest.mark.parametrize(
    "pooling", [{}, {"pooling_mode_cls_token": False}, {"pooling_mode": "mean"}]
)
def test_no_pooling_named_is_the_mean(folder, means, pooling):
    check(pipeline("sentence-embedding", folder(pooling=pooling))(TEXTS), means)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            dense("Softmax"),
            r"activation_function in .*config\.json must be .* not 'torch.*Softmax'",
        ),
        (
            dense(activation_function="mine.Tanh"),
            "must be a class of torch.nn among .* not 'mine.Ta",
        ),
        (dense(bias=1), r"bias in .* must be true or false, not 1"),
        (dense(in_features="128"), r"in_features in .* must be a whole number .* not '128'"),
        (dense(out_features=6), r"must hold linear.bias \[6\], linear.weight \[6, 128\]"),
        (dense(module_input_name="token_embeddings"), "must be 'sentence_embedding', not 'token"),
        (("Normalize", {"module_input_name": "x"}, {}), "module_input_name in .* not 'x'"),
        (("LayerNorm", {"dimension": 4}, {"norm.weight": BIAS}), r"must hold norm.bias \[4\]"),
        (("WordWeights", {}, {}), "not sentence_transformers.models.WordWeights, which"),
    ],
)
def test_a_module_that_is_not_computed_is_refused(folder, module, message):
    with pytest.raises((ConfigError, CheckpointError), match=message):
        pipeline("sentence-embedding", folder(module))


def test_widths_that_do_not_fit_are_refused(folder):
    path = folder(dense(), pooling={"pooling_mode": ["cls", "mean"]})
    with pytest.raises(
        ConfigError, match="2_Dense must follow a vector of 128 numbers, not of 256"
    ):
        pipeline("sentence-embedding", path)


@pytest.mark.parametrize("kind", ["mine.Pooling", "Instructor_Pooling", "a.b.Transformer"])
def test_a_class_of_another_library_is_refused(folder, kind):
    path = folder()
    rows = json.loads((path / "modules.json").read_text())
    rows[1]["type"] = kind
    (path / "modules.json").write_text(json.dumps(rows))
    with pytest.raises(ConfigError, match=f"not {kind}, which this package does not compute"):
        pipeline("sentence-embedding", path)


def test_two_modules_of_one_name_are_refused(folder):
    path = folder(("Normalize", {}, {}))
    rows = json.loads((path / "modules.json").read_text())
    rows[2]["name"] = rows[1]["name"]
    (path / "modules.json").write_text(json.dumps(rows))
    with pytest.raises(ConfigError, match="each module a name of its own, not '1' twice"):
        pipeline("sentence-embedding", path)


PROMPTS = {"prompts": {"query": "find: ", "passage": "text: "}, "default_prompt_name": "passage"}


def test_prompts_go_by_name_and_queries_never_have_the_default(folder):
    embed = pipeline("sentence-embedding", folder(settings=PROMPTS))
    plain = pipeline("sentence-embedding", SHIPPED, normalize=False)
    assert embed.prompts == PROMPTS["prompts"]
    check(embed("a"), plain("text: a"))
    check(embed("a", prompt_name="query"), plain("find: a"))
    check(embed("a", prompt_name="document"), plain("a"))
    check(embed("a", prompt="x: ", prompt_name="query"), plain("x: a"))
    check(embed.encode_query("a"), plain("find: a"))
    check(embed.encode_document("a"), plain("a"))
    check(embed.encode_document("a", prompt_name="passage"), plain("text: a"))
    check(next(embed.stream(["a"], prompt_name="query")), plain("find: a"))
    for name in ("other", "", 3):
        with pytest.raises(
            InputError, match="prompt_name must be one of 'query', 'document', 'pas"
        ):
            embed("a", prompt_name=name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": ["query"]}, "prompts in .* must be an object, not"),
        (
            {"prompts": {"query": 3}},
            "prompts in .* must be texts by their names, not 3 for 'query'",
        ),
        ({"default_prompt_name": "x"}, "default_prompt_name in .* must name one of its prompts"),
        ({"default_prompt_name": 7}, "default_prompt_name in .* must name one .* not 7"),
        ({"truncate_dim": 0}, "truncate_dim in .* must be a whole number of at least 1, not 0"),
        ({"truncate_dim": "8"}, "truncate_dim in .* not '8'"),
    ],
)
def test_wrong_settings_are_refused(folder, settings, message):
    with pytest.raises(ConfigError, match=message):
        pipeline("sentence-embedding", folder(settings=settings))


@pytest.mark.parametrize("name", ["mean", "cls", "weightedmean", "max", "lasttoken"])
def test_a_prompt_that_is_not_pooled_is_left_out(folder, hidden, name):
    embed = pipeline(
        "sentence-embedding", folder(pooling={"pooling_mode": name, "include_prompt": False})
    )
    prompt = "a query: "
    skipped = len(embed.tokenizer.encode_one(prompt)) - 1
    rest = hidden(prompt + "the boat")[skipped:]
    places = np.arange(skipped + 1, skipped + len(rest) + 1)
    want = {
        "mean": rest.mean(0),
        "cls": rest[0],
        "weightedmean": np.average(rest, axis=0, weights=places),
        "max": rest.max(0),
        "lasttoken": rest[-1],
    }[name]
    check(embed("the boat", prompt=prompt), want)
    check(embed("the boat"), embed("the boat", prompt=""))
    # Where the prompt fills the limit, what ends the text is all that is left.
    full = "word " * 200
    check(embed("a", prompt=full), hidden(full)[-1])


@pytest.mark.parametrize(("tokens", "skipped"), [(1, 1), (3, 3), (3, 5)])
def test_a_prompt_that_leaves_no_token_is_refused(tokens, skipped):
    with pytest.raises(InputError, match=rf"texts\[7\] must have a token after the {skipped} of"):
        check_token_left([5] * tokens, skipped, 7)


@pytest.mark.parametrize("dim", [1, 5, 128, 500])
def test_truncate_dim_keeps_the_first_numbers(folder, means, dim):
    path = folder(("Normalize", {}, {}), settings={"truncate_dim": dim})
    embed = pipeline("sentence-embedding", path)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    check(embed(TEXTS), unit[:, :dim])
    assert embed.dimension == min(dim, 128)
    check(embed(TEXTS, truncate_dim=3), unit[:, :3])
    other = pipeline("sentence-embedding", path, normalize=True)(TEXTS)
    cut = means[:, :dim]
    check(other, cut / np.linalg.norm(cut, axis=1, keepdims=True))
    for wrong in (0, -1, "4", 2.5):
        with pytest.raises(InputError, match="truncate_dim must be a whole number of at least 1"):
            embed("a", truncate_dim=wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transformer_task": "fill-mask"}, "transformer_task in .* not 'fill-mask'"),
        ({"modality_config": {"message": {}}}, "modality_config in .* must be"),
        ({"module_output_name": "scores"}, "module_output_name in .* not 'scores'"),
        ({"query_length": 8}, "query_length in .* must be None, not 8"),
        ({"config_args": {"num_hidden_layers": 1}}, "config_args in .* must have no keys but"),
        ({"tokenizer_args": {"do_lower_case": True}}, "tokenizer_args in .* must have no keys but"),
        ({"model_kwargs": {"quantization_config": {}}}, "model_kwargs in .* must have no keys"),
        (
            {"processing_kwargs": {"text": {"max_length": 4}}},
            "processing_kwargs in .* must be empty",
        ),
        ({"do_lower_case": 1}, "do_lower_case in .* must be true or false, not 1"),
        ({"do_lower_case": []}, r"do_lower_case in .* must be true or false, not \[\]"),
        ({"do_lower_case": 0.0}, "do_lower_case in .* must be true or false, not 0.0"),
        ({"lowercase": True}, "must have no keys but max_seq_length, .* not 'lowercase'"),
    ],
)
def test_a_setting_of_the_transformer_that_is_not_computed_is_refused(folder, settings, message):
    with pytest.raises(ConfigError, match=message):
        pipeline("sentence-embedding", folder(transformer=settings))


def test_settings_of_newer_releases_are_read(folder, means):
    settings = {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
        "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
        },
        "processor_kwargs": {"model_max_length": 7, "use_fast": True},
        "model_kwargs": {"torch_dtype": "float32", "add_pooling_layer": False},
        "unpad_inputs": False,
    }
    embed = pipeline("sentence-embedding", folder(transformer=settings))
    check(embed(TEXTS[2]), means[2])
    assert len(embed.tokenizer.encode_one("a word " * 20)) == 7


@pytest.mark.parametrize("text", ["THE KING", "The <mask> Boat", "ÀÉ Straße ΟΔΟΣ"])
def test_lower_case_is_the_librarys_and_spares_special_tokens(folder, text):
    import tokenizers

    embed = pipeline("sentence-embedding", folder(transformer={"do_lower_case": True}))
    lower = tokenizers.normalizers.Lowercase()
    parts = [lower.normalize_str(part) for part in text.split("<mask>")]
    plain = pipeline("sentence-embedding").tokenizer
    assert embed.tokenizer.encode_one(text) == plain.encode_one("<mask>".join(parts))
    assert embed.tokenizer.lowercased().encode_one(text) == embed.tokenizer.encode_one(text)
