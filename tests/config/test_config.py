"""What a configuration may say: every field with every kind of wrong value, by name."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from support import TINY

import pyroberta
from pyroberta import ConfigError, RobertaConfig
from pyroberta.checks import excerpt

SIZES = {
    "vocab_size": 2**24,
    "max_positions": 2**24,
    "max_token_types": 2**16,
    "hidden_size": 2**16,
    "num_blocks": 2**12,
    "num_attention_heads": 2**16,
    "intermediate_size": 2**20,
    "num_labels": 2**20,
}
RATES = ["dropout_rate", "attention_dropout_rate", "classifier_dropout_rate"]
NUMBERS = [*RATES, "layer_norm_epsilon", "initializer_range"]
FLAGS = ["output_hidden_states", "output_attentions", "use_cross_attention", "tie_word_embeddings"]
OPTIONAL_TOKENS = ["bos_token_id", "eos_token_id", "forced_bos_token_id", "forced_eos_token_id"]
NOT_NUMBERS: list[Any] = [True, False, "1", [1], {}, float("nan"), float("inf"), -float("inf")]


def short(value: Any) -> str:
    """A test's name for a value: no number of 400 digits in it."""
    return repr(value)[:12]


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def test_the_fields_here_are_all_fields_there():
    """A new field must be put in one of the lists above, or into a test of its own."""
    others = ["activation", "id_to_label", "pad_token_id", "problem_type"]
    known = {*SIZES, *NUMBERS, *FLAGS, *OPTIONAL_TOKENS, *others}
    assert known == {field.name for field in dataclasses.fields(RobertaConfig)}


@pytest.mark.parametrize("value", [0, -1, 2**62, 10**400, 1.0, 1.5, None, *NOT_NUMBERS], ids=short)
@pytest.mark.parametrize("name", SIZES)
def test_a_size_is_a_whole_number_in_its_range(name, value):
    message = f"{name} must be a whole number in [1, {SIZES[name]}], not {excerpt(value)}"
    with pytest.raises(ConfigError, match=exactly(message)):
        RobertaConfig(**{name: value})


@pytest.mark.parametrize("value", [-1e-9, 1.0, 2, 10**400, *NOT_NUMBERS], ids=short)
@pytest.mark.parametrize("name", RATES)
def test_a_rate_is_in_0_to_1(name, value):
    with pytest.raises(
        ConfigError, match=exactly(f"{name} must be a number in [0, 1), not {excerpt(value)}")
    ):
        RobertaConfig(**{name: value})


@pytest.mark.parametrize("value", [0, 0.0, -1e-5, None, 10**400, *NOT_NUMBERS], ids=short)
def test_epsilon_is_above_0(value):
    message = f"layer_norm_epsilon must be a number above 0, not {excerpt(value)}"
    with pytest.raises(ConfigError, match=exactly(message)):
        RobertaConfig(layer_norm_epsilon=value)


@pytest.mark.parametrize("value", [-0.1, None, 10**400, *NOT_NUMBERS], ids=short)
def test_initializer_range_is_not_negative(value):
    message = f"initializer_range must be a number 0 or more, not {excerpt(value)}"
    with pytest.raises(ConfigError, match=exactly(message)):
        RobertaConfig(initializer_range=value)


def test_only_the_classifiers_rate_may_be_none():
    assert RobertaConfig(classifier_dropout_rate=None).classifier_dropout_rate is None
    for name in RATES[:2]:
        with pytest.raises(ConfigError, match=f"{name} must be a number"):
            RobertaConfig(**{name: None})


@pytest.mark.parametrize("value", [0, 1, None, "true", 1.0], ids=short)
@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_true_or_false(name, value):
    with pytest.raises(
        ConfigError, match=exactly(f"{name} must be true or false, not {excerpt(value)}")
    ):
        RobertaConfig(**{name: value})


@pytest.mark.parametrize("value", [-1, 99, 1.0, "1", True], ids=short)
@pytest.mark.parametrize("name", ["pad_token_id", *OPTIONAL_TOKENS])
def test_a_word_with_a_role_is_in_the_vocabulary(name, value):
    message = f"{name} must be a whole number in [0, 98], not {excerpt(value)}"
    with pytest.raises(ConfigError, match=exactly(message)):
        RobertaConfig(vocab_size=99, **{name: value})
    if name != "pad_token_id":
        assert getattr(RobertaConfig(**{name: None}), name) is None


def test_heads_must_divide_the_hidden_size():
    message = "hidden_size must be a multiple of num_attention_heads (7), not 768"
    with pytest.raises(ConfigError, match=exactly(message)):
        RobertaConfig(num_attention_heads=7)


@pytest.mark.parametrize(("positions", "pad"), [(1, 0), (2, 1), (3, 5)])
def test_positions_must_leave_room_for_a_token(positions, pad):
    message = f"max_positions must be above pad_token_id + 1 ({pad + 1}), not {positions}"
    with pytest.raises(ConfigError, match=exactly(message)):
        RobertaConfig(max_positions=positions, pad_token_id=pad)
    assert RobertaConfig(max_positions=pad + 2, pad_token_id=pad).max_tokens == 1


def test_an_unknown_activation_is_refused_with_the_list_of_the_known():
    with pytest.raises(ConfigError, match=r"activation must be one of celu, .*tanh, not 'gleu'"):
        RobertaConfig(activation="gleu")
    for value in (None, 1, ["gelu"]):
        with pytest.raises(ConfigError, match="activation must be a name, not "):
            RobertaConfig(activation=value)
    for name in ("prelu", "xielu", "log_sumexp"):
        with pytest.raises(ConfigError, match=f"activation must not be '{name}': it "):
            RobertaConfig(activation=name)


def test_an_unknown_problem_type_is_refused():
    with pytest.raises(ConfigError, match=r"problem_type must be None or one of .*, not 'ranking'"):
        RobertaConfig(problem_type="ranking")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"0": "a"}, "id_to_label must have num_labels (2) entries, not 1"),
        ({"0": "a", "2": "b"}, "id_to_label must number its labels from 0 on, not [0, 2]"),
        ({"a": "x", "b": "y"}, "id_to_label must have whole numbers as keys, not 'a'"),
        (["a", "b"], "id_to_label must map numbers to names, not ['a', 'b']"),
    ],
)
def test_labels_are_numbered_from_0_and_as_many_as_num_labels(labels, message):
    with pytest.raises(ConfigError, match=exactly(message)):
        RobertaConfig(id_to_label=labels)
    if "from 0 on" not in message:  # of a file the names are then left aside
        of_file = message.replace(
            "id_to_label must have num", "id2label in config.json must have num"
        )
        with pytest.raises(ConfigError, match=exactly(of_file)):
            RobertaConfig.from_hf({"id2label": labels, "num_labels": 2})


def test_labels_alone_give_their_number_and_a_new_number_drops_them():
    hf = {"id2label": {"0": "no", "1": "yes", "2": "perhaps"}}
    assert RobertaConfig.from_hf(hf).num_labels == 3
    assert RobertaConfig.from_hf(hf).labels == ("no", "yes", "perhaps")
    assert RobertaConfig.from_hf(hf, num_labels=5).labels[4] == "LABEL_4"
    assert RobertaConfig.from_hf(hf, num_labels=3).labels == ("no", "yes", "perhaps")
    assert RobertaConfig.from_hf({"id2label": None}).num_labels == 2


def test_null_means_the_default_where_a_field_may_not_be_none():
    nulls = dict.fromkeys(
        ["vocab_size", "hidden_size", "layer_norm_eps", "hidden_act", "pad_token_id", "id2label"]
    )
    assert RobertaConfig.from_hf(nulls) == RobertaConfig()
    kept = RobertaConfig.from_hf(dict.fromkeys(["bos_token_id", "classifier_dropout"]))
    assert kept.bos_token_id is None
    assert kept.classifier_dropout_rate is None


def test_missing_keys_have_the_ancestors_defaults():
    config = RobertaConfig.from_hf({})
    assert (config.vocab_size, config.max_positions, config.max_token_types) == (30522, 512, 2)
    assert config.layer_norm_epsilon == 1e-12


@pytest.mark.parametrize("key", ["use_cross_attention", "add_cross_attention"])
def test_both_spellings_of_cross_attention_are_read(key):
    assert RobertaConfig.from_hf({key: True}).use_cross_attention


def test_a_configuration_goes_to_its_file_and_back():
    config = RobertaConfig.from_hf(TINY | {"id2label": {"0": "a", "1": "b", "2": "c", "3": "d"}})
    assert RobertaConfig.from_hf(config.to_hf()) == config
    assert RobertaConfig.from_hf(json.loads(json.dumps(config.to_hf()))) == config


@pytest.mark.parametrize("seed", [-1, 1.0, True, None, "1"])
def test_a_seed_is_a_whole_number_of_at_least_0(seed):
    message = f"seed must be a whole number of at least 0, not {seed!r}"
    with pytest.raises(pyroberta.InputError, match=exactly(message)):
        pyroberta.RobertaModel.from_config(RobertaConfig(), seed=seed)


def test_a_seed_gives_the_same_weights_again_and_another_one_others():
    config = RobertaConfig.from_hf(TINY)
    first, again, other = (
        pyroberta.RobertaModel.from_config(config, seed=seed)([[0, 5, 2]]).pooler_output
        for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("epsilon", [1e-39, 1e-45, 1e-300, 5e-324])
def test_an_epsilon_below_float32_is_refused(epsilon):
    with pytest.raises(
        ConfigError, match=r"layer_norm_epsilon must be a number of at least 2\*\*-126"
    ):
        RobertaConfig(layer_norm_epsilon=epsilon)
    RobertaConfig(layer_norm_epsilon=2.0**-126)
