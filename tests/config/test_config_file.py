"""From ``config.json`` to a model: what is refused of the file, the names in it, the overrides."""

from __future__ import annotations

import json
import re

import pytest
from support import CLASSES, FLOAT64, TINY, draw_tensors, make_folder, write_folder

import pyroberta
from pyroberta import ConfigError, RobertaConfig


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        ("bert", "positions count from 0: `pyroberta convert OLD NEW`"),
        ("xlm-roberta-xl", "normalised before each sub-layer"),
        ("roberta-prelayernorm", "normalised before each sub-layer"),
        ("mpnet", "its attention has a relative bias"),
        ("deberta-v2", "its attention is disentangled"),
        ("longformer", "its attention is a sliding window"),
        ("gpt2", None),
        (None, None),
        (3, None),
        (["roberta"], None),
    ],
)
def test_a_checkpoint_of_another_graph_is_refused_with_the_reason(model_type, reason, tmp_path):
    message = "model_type must be one of roberta, xlm-roberta, camembert, data2vec-text, not "
    message = re.escape(message + repr(model_type)) + (rf" \(.*{reason}" if reason else "$")
    path = make_folder(tmp_path, "base", model_type=model_type)
    for load in (pyroberta.from_pretrained, pyroberta.RobertaModel.from_pretrained):
        with pytest.raises(ConfigError, match=message):
            load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("position_embedding_type", "relative_key_query"),
        ("pruned_heads", {"0": [1]}),
        ("quantization_config", {"bits": 8}),
        ("embedding_size", 128),
        ("attention_window", [512, 512]),
        ("attention_window", 512),
        ("auto_map", {"AutoModel": "modeling.Model"}),
        ("rope_theta", 10000.0),
        ("use_alibi", True),
        ("num_experts", 8),
        ("lora_adaptations", ["retrieval"]),
        ("adapters", {"adapters": {"x": "y"}}),
    ],
)
def test_what_would_change_the_numbers_and_is_not_computed_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key} must "):
        RobertaConfig.from_hf(TINY | {key: value})
    RobertaConfig.from_hf(TINY | {"position_embedding_type": "absolute", "pruned_heads": {}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be JSON"),
        ("{", "must be JSON"),
        ('{"vocab_size": 1' + "0" * 5000 + "}", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("\x00\x01", "must be JSON"),
        ("[]", "must hold an object, not list"),
        ('"roberta"', "must hold an object, not str"),
        (" " * (2**20 + 1), "must be at most 1048576 bytes, not 1048577"),
    ],
    ids=["empty", "cut", "long number", "deep", "binary", "list", "string", "large"],
)
def test_a_broken_config_json_is_refused_by_its_path(text, message, tmp_path):
    path = make_folder(tmp_path, "base")
    (path / "config.json").write_text(text)
    for load in (pyroberta.from_pretrained, RobertaConfig.from_pretrained):
        with pytest.raises(ConfigError, match=re.escape(f"{path / 'config.json'} {message}")):
            load(path)


def test_a_missing_folder_or_file_is_a_file_not_found_error(tmp_path):
    for load in (pyroberta.from_pretrained, RobertaConfig.from_pretrained):
        with pytest.raises(
            FileNotFoundError, match=r"path must be a checkpoint's folder, not '.*no"
        ):
            load(tmp_path / "no")
        with pytest.raises(FileNotFoundError, match=r"config.json must be a file"):
            load(tmp_path)


@pytest.mark.parametrize(
    "named",
    [
        None,
        [],
        ["RobertaModel", "RobertaForMaskedLM"],
        ["BertModel"],
        "RobertaModel",
        [3],
        [{"RobertaModel": 0}],
        [["RobertaModel"]],
        [None],
    ],
)
def test_architectures_must_name_one_known_class_unless_the_call_does(named, tmp_path):
    path = write_folder(tmp_path, TINY | {"architectures": named}, draw_tensors(TINY, "base"))
    message = "architectures in config.json must be one of RobertaModel, .*, not "
    with pytest.raises(ConfigError, match=message + re.escape(repr(named))):
        pyroberta.from_pretrained(path)
    assert isinstance(pyroberta.from_pretrained(path, architecture="base"), CLASSES["base"])


@pytest.mark.parametrize("family", ["Roberta", "XLMRoberta", "Camembert", "Data2VecText"])
@pytest.mark.parametrize("architecture", CLASSES)
def test_every_familys_class_names_are_known(family, architecture, tmp_path):
    path = make_folder(tmp_path, architecture)
    config = json.loads((path / "config.json").read_text())
    name = config["architectures"][0].replace("Roberta", family)
    (path / "config.json").write_text(json.dumps(config | {"architectures": [name]}))
    assert type(pyroberta.from_pretrained(path, **FLOAT64)) is CLASSES[architecture]


def test_an_unknown_architecture_override_or_option_is_refused_with_the_known(tmp_path):
    path = make_folder(tmp_path, "base")
    with pytest.raises(ConfigError, match=r"architecture must be one of base, .*, not 'bert'"):
        pyroberta.from_pretrained(path, architecture="bert")
    with pytest.raises(ConfigError, match=r"config override must be one of .*, not 'hidden_act'"):
        pyroberta.from_pretrained(path, hidden_act="relu")
    with pytest.raises(ConfigError, match="backend must be 'native' or 'reference', not 'torch'"):
        pyroberta.from_pretrained(path, backend="torch")
    with pytest.raises(
        ConfigError, match=r"compute_type must be 'float32'.* on the native backend, not 'float64'"
    ):
        pyroberta.from_pretrained(path, compute_type="float64")
    with pytest.raises(
        ConfigError,
        match=r"compute_type must be 'float64' or .* 'int8' on the reference backend, not 'int4'",
    ):
        pyroberta.from_pretrained(path, backend="reference", compute_type="int4")


def test_an_override_changes_the_model(tmp_path):
    path = make_folder(tmp_path, "base")
    plain = pyroberta.from_pretrained(path, **FLOAT64)
    other = pyroberta.from_pretrained(path, activation="relu", **FLOAT64)
    assert other.config.activation == "relu"
    assert (plain([[0, 2]]).last_hidden_state != other([[0, 2]]).last_hidden_state).any()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bos_token_id", 50_000),
        ("eos_token_id", 30522),
        ("eos_token_id", -1),
        ("problem_type", "binary"),
        ("problem_type", "text-classification"),
        ("embedding_size", None),
    ],
)
def test_keys_that_serve_generation_or_a_loss_stop_no_encoder(key, value):
    config = RobertaConfig.from_hf({"vocab_size": 30522, "hidden_size": 768, key: value})
    assert getattr(config, key, None) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("bos_token_id", "0"), ("eos_token_id", 1.5), ("problem_type", 3), ("embedding_size", 128)],
)
def test_the_same_keys_with_a_value_of_another_kind_are_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        RobertaConfig.from_hf({"vocab_size": 30522, "hidden_size": 768, key: value})


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"num_attention_heads": 12, "hidden_size": 768, "num_attention_heads": 6}'
    )
    with pytest.raises(ConfigError, match="'num_attention_heads' stands in it twice"):
        RobertaConfig.from_pretrained(tmp_path)


def test_a_pointer_of_git_lfs_is_named_for_what_it_is(tmp_path):
    (tmp_path / "config.json").write_text("version https://git-lfs.github.com/spec/v1\noid a\n")
    with pytest.raises(ConfigError, match=r"config\.json must be the file itself, not a git-lfs"):
        RobertaConfig.from_pretrained(tmp_path)
