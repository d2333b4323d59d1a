"""What is written here opens in transformers, and the rules shared with it are the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the parity suite compares with transformers on torch")
pytest.importorskip("transformers", reason="the parity suite compares with transformers")

from parity.cases import ACTIVATION_NAMES
from parity.peer import SUFFIXES, call_peer, make_peer, torch, transformers

import pyroberta
from pyroberta.activations import canonical_activation
from pyroberta.models.inputs import default_positions

pytestmark = pytest.mark.parity

CONFIG = pyroberta.RobertaConfig(
    vocab_size=50,
    max_positions=20,
    hidden_size=24,
    num_blocks=2,
    num_attention_heads=3,
    intermediate_size=40,
    initializer_range=0.3,
    num_labels=2,
)


def open_in_peer(path: Any, name: str) -> tuple[Any, dict[str, Any]]:
    """transformers' model of the folder, and what it missed or could not place."""
    model, info = getattr(transformers, name).from_pretrained(
        path, output_loading_info=True, attn_implementation="eager"
    )
    return model.eval().double(), info


def first_output(outputs: dict[str, np.ndarray]) -> np.ndarray:
    return next(iter(outputs.values()))


@pytest.mark.parametrize("architecture", SUFFIXES)
def test_a_saved_model_opens_in_transformers_and_gives_the_same(architecture, tmp_path):
    cls = getattr(pyroberta, "Roberta" + SUFFIXES[architecture])
    made = cls.from_config(CONFIG, seed=1, backend="reference", compute_type="float64")
    made.save_pretrained(tmp_path)
    peer, info = open_in_peer(tmp_path, cls.__name__)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = np.random.default_rng(2).integers(2, 50, (2, 3, 9))
    ids = ids if architecture == "for_multiple_choice" else ids[:, 0]
    theirs = call_peer(peer, {"input_ids": ids})
    for name, array in theirs.items():
        if "." not in name:
            assert np.abs(getattr(made(ids), name) - array).max() < 1e-9


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_models_decoder_and_both_biases_go_to_transformers_and_back(tied, tmp_path):
    hf = {
        "vocab_size": 30,
        "max_position_embeddings": 12,
        "hidden_size": 12,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "tie_word_embeddings": tied,
    }
    batch = {"input_ids": np.random.default_rng(3).integers(2, 30, (2, 8))}
    peer = make_peer("Roberta", "for_masked_language_modeling", hf, seed=4)
    peer.save_pretrained(tmp_path / "theirs")
    exact = first_output(call_peer(peer.double(), batch))
    options = {"backend": "reference", "compute_type": "float64"}
    ours = pyroberta.from_pretrained(tmp_path / "theirs", **options)
    assert np.abs(ours(**batch).logits - exact).max() < 1e-9

    ours.save_pretrained(tmp_path / "ours")
    again, info = open_in_peer(tmp_path / "ours", "RobertaForMaskedLM")
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert np.abs(first_output(call_peer(again, batch)) - exact).max() < 1e-9


def test_a_decoder_that_differs_from_the_word_table_means_what_transformers_makes_of_it(tmp_path):
    """tie_word_embeddings is true, as the default is, and the file holds a decoder of its own."""
    hf = {
        "vocab_size": 30,
        "max_position_embeddings": 12,
        "hidden_size": 12,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "tie_word_embeddings": False,
    }
    make_peer("Roberta", "for_masked_language_modeling", hf, seed=5).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    peer, _ = open_in_peer(tmp_path, "RobertaForMaskedLM")
    batch = {"input_ids": np.random.default_rng(3).integers(2, 30, (2, 8))}
    exact = first_output(call_peer(peer, batch))
    ours = pyroberta.from_pretrained(tmp_path, backend="reference", compute_type="float64")
    assert np.abs(ours(**batch).logits - exact).max() < 1e-9


@pytest.mark.parametrize("activation", sorted({*map(canonical_activation, ACTIVATION_NAMES)}))
def test_a_saved_activation_has_a_name_that_transformers_knows(activation, tmp_path):
    config = pyroberta.RobertaConfig(
        vocab_size=9,
        max_positions=9,
        hidden_size=4,
        num_blocks=1,
        num_attention_heads=1,
        intermediate_size=4,
        activation=activation,
    )
    pyroberta.RobertaForMaskedLM.from_config(config, seed=0).save_pretrained(tmp_path)
    open_in_peer(tmp_path, "RobertaForMaskedLM")


def test_weights_are_drawn_as_transformers_draws_them():
    """Matrices with a standard deviation of initializer_range, the rest constant."""
    config = pyroberta.RobertaConfig(
        vocab_size=400,
        max_positions=130,
        hidden_size=96,
        num_blocks=2,
        num_attention_heads=4,
        intermediate_size=200,
        initializer_range=0.05,
    )
    model = pyroberta.RobertaForMaskedLM.from_config(config, seed=7)
    hf = config.to_hf()
    torch.manual_seed(0)
    peer = transformers.RobertaForMaskedLM(transformers.RobertaConfig(**hf))
    expected = {name.removeprefix("roberta."): p for name, p in peer.named_parameters()}
    for name in model._source.names():
        ours, theirs = model._source.read(name), expected[name].detach().numpy()
        assert ours.shape == theirs.shape, name
        if ours.ndim == 1:
            assert np.array_equal(ours, theirs), name
        elif "token_type" in name:  # two rows: too few numbers for 5 %
            assert 0.04 < ours.std() < 0.06
        else:
            assert abs(ours.std() / 0.05 - 1) < 0.05, name
            assert abs(ours.mean()) < 0.05 * 5 / ours.size**0.5, name
    for table in ("word_embeddings", "position_embeddings"):
        weight = model._source.read(f"embeddings.{table}.weight")
        assert not weight[config.pad_token_id].any()


@pytest.mark.parametrize("pad", [0, 1, 3])
def test_positions_are_those_of_transformers(pad):
    module = transformers.models.roberta.modeling_roberta.RobertaEmbeddings
    rng = np.random.default_rng(pad)
    for _ in range(200):
        ids = rng.integers(0, rng.integers(2, 12), (rng.integers(1, 5), rng.integers(1, 12)))
        theirs = module.create_position_ids_from_input_ids(torch.from_numpy(ids), pad)
        assert np.array_equal(default_positions(ids, pad), theirs.numpy())
