"""The list of config.json's keys, and what serves generation alone: no encoder is stopped by it."""

from __future__ import annotations

import pytest
from support import TINY, make_folder

import pyroberta
from pyroberta import ConfigError, RobertaConfig
from pyroberta.config_keys import COMPUTED, REFUSED, WITHOUT_EFFECT, describe_keys

WITHOUT = [key for keys in WITHOUT_EFFECT.values() for key in keys]


def test_no_key_stands_in_two_lists():
    every = [*COMPUTED, *REFUSED, *WITHOUT]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_refused_is_so_unless_it_is_empty(key):
    for empty in (None, False, [], {}, ""):
        RobertaConfig.from_hf(TINY | {key: empty})
    with pytest.raises(ConfigError, match=f"{key} must be empty or absent in config.json, not 1: "):
        RobertaConfig.from_hf(TINY | {key: 1})


@pytest.mark.parametrize("key", WITHOUT)
def test_what_is_without_effect_changes_no_field(key):
    assert RobertaConfig.from_hf(TINY | {key: 1}) == RobertaConfig.from_hf(TINY)


def test_keys_are_told_by_what_becomes_of_them():
    told = describe_keys(TINY | {"auto_map": {"a": "b"}, "top_k": 5, "mine": 1, "pruned_heads": {}})
    assert told["refused"] == ["auto_map"]
    assert told["without effect"] == ["pruned_heads", "top_k"]
    assert told["other"] == ["mine"]
    assert set(TINY) == set(told["computed"])


@pytest.mark.parametrize(
    ("said", "read"),
    [([2, 3], (2, 3)), ([2], 2), ([], None), ([2, 99], 2), ([99], None), (99, None), (-1, None)],
)
def test_several_ids_that_end_a_text(said, read):
    config = RobertaConfig.from_hf(TINY | {"eos_token_id": said})
    assert config.eos_token_id == read
    assert RobertaConfig.from_hf(config.to_hf()).eos_token_id == read


@pytest.mark.parametrize("said", [["2"], [2.5], [True], "2", {"a": 1}])
def test_ids_that_are_none(said):
    with pytest.raises(ConfigError, match=r"eos_token_id in config\.json must be a whole number"):
        RobertaConfig.from_hf(TINY | {"eos_token_id": said})


def test_a_text_ends_at_any_of_them(tmp_path):
    config = RobertaConfig.from_hf(TINY)
    pyroberta.RobertaForCausalLM.from_config(config, seed=0).save_pretrained(tmp_path / "a")
    model = pyroberta.RobertaForCausalLM.from_pretrained(tmp_path / "a", eos_token_id=None)
    free = model.generate([[0, 5]], max_new_tokens=12)[0]
    ends = (int(free[4]), int(free[6]))
    several = pyroberta.RobertaForCausalLM.from_pretrained(tmp_path / "a", eos_token_id=ends)
    assert several.config.eos_token_id == ends
    told = model.generate([[0, 5]], max_new_tokens=12, eos_token_id=ends)
    assert several.generate([[0, 5]], max_new_tokens=12).tolist() == told.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"id2label": {"1": "a", "2": "b", "3": "c", "4": "d"}},
        {"id2label": {"0": "a", "2": "b", "3": "c", "7": "d"}},
        {"problem_type": "binary"},
        {"bos_token_id": 5000},
        {"forced_eos_token_id": 5000},
        {"eos_token_id": [2, 5000]},
    ],
)
def test_what_serves_generation_or_a_loss_stops_no_encoder(change, tmp_path):
    model = pyroberta.from_pretrained(
        make_folder(tmp_path, "for_sequence_classification", **change)
    )
    assert model.config.num_labels == 4
    if "id2label" in change:
        assert model.config.labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_norm_eps", "x"),
        ("num_hidden_layers", 0),
        ("hidden_act", 3),
        ("max_position_embeddings", 1),
        ("type_vocab_size", None),
        ("pad_token_id", 99),
        ("tie_word_embeddings", "yes"),
    ],
)
def test_an_error_names_the_key_of_the_file(key, value):
    if value is None:  # as the default says
        RobertaConfig.from_hf(TINY | {key: value})
        return
    with pytest.raises(ConfigError, match=rf"^{key} in config\.json must be"):
        RobertaConfig.from_hf(TINY | {key: value})
