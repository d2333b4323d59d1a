"""An encoder and a decoder from one folder, or from two."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from generation.tiny import CONFIG, FLOAT64, VOCAB, make_prompt, up_to_end
from safetensors.numpy import load_file, save_file
from support import needs_core

import pyroberta
from pyroberta import (
    CheckpointError,
    ConfigError,
    InputError,
    RobertaConfig,
    RobertaEncoderDecoder,
    RobertaForCausalLM,
    RobertaModel,
)

EOS = [2, 4, 9, 17]
STRATEGIES = ["greedy", "sampling", "beam", "contrastive"]


def save_sides(folder, *, wide=18, seed=0, cross=True):
    """The folders of an encoder and of a decoder of width ``wide``."""
    encoder = RobertaModel.from_config(RobertaConfig(**CONFIG), seed=seed)
    changes = {"use_cross_attention": cross, "hidden_size": wide, "vocab_size": VOCAB + 4}
    decoder = RobertaForCausalLM.from_config(RobertaConfig(**CONFIG | changes), seed=seed + 100)
    encoder.save_pretrained(folder / "encoder")
    decoder.save_pretrained(folder / "decoder")
    return folder / "encoder", folder / "decoder"


def read_sides(folder, **options):
    """The parts of one folder: its config.json and its tensors, by prefix."""
    paths = save_sides(folder, **options)
    sides = [json.loads((path / "config.json").read_text()) for path in paths]
    tensors = {
        f"{path.name}.{name}": array
        for path in paths
        for name, array in load_file(path / "model.safetensors").items()
    }
    config = {
        "model_type": "encoder-decoder",
        "architectures": ["EncoderDecoderModel"],
        "encoder": sides[0],
        "decoder": sides[1],
        "decoder_start_token_id": 5,
        "eos_token_id": EOS,
        "pad_token_id": 1,
    }
    return config, tensors


def write(folder, config, tensors):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def model(tmp_path):
    folder = write(tmp_path / "both", *read_sides(tmp_path))
    return RobertaEncoderDecoder.from_pretrained(folder, **FLOAT64)


def test_a_folder_of_both_is_its_two_parts(tmp_path, model):
    paths = tmp_path / "encoder", tmp_path / "decoder"
    encoder = RobertaModel.from_pretrained(paths[0], **FLOAT64)
    decoder = RobertaForCausalLM.from_pretrained(paths[1], **FLOAT64)
    ids, mask = make_prompt([4, 6, 1], side="right")
    start, start_mask = make_prompt([2, 3, 3], 1)
    output = model(ids, mask, start, start_mask, output_attentions=True, output_hidden_states=True)
    states = encoder(ids, mask).last_hidden_state
    wanted = decoder(
        start,
        start_mask,
        encoder_hidden_state=states,
        encoder_attention_mask=mask,
        output_attentions=True,
        output_hidden_states=True,
    )
    np.testing.assert_array_equal(output.logits, wanted.logits)
    np.testing.assert_array_equal(output.encoder_last_hidden_state, states)
    for name in ("hidden_states", "attentions"):
        for ours, theirs in zip(
            getattr(output, f"decoder_{name}"), getattr(wanted, name), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert output.cross_attentions[0].shape == (3, 3, 3, 6)
    assert output.cache is None
    for one, other in ((paths[0], paths[1]), (encoder, decoder)):
        joined = RobertaEncoderDecoder.from_encoder_decoder(one, other, **FLOAT64)
        np.testing.assert_array_equal(joined(ids, mask, start, start_mask).logits, wanted.logits)
        assert joined.decoder_start_token_id == 0


def test_steps_over_a_cache_equal_one_pass(model):
    ids, mask = make_prompt([4, 6], side="right")
    start, _ = make_prompt([5, 5], 1)
    wanted = model(ids, mask, start).logits
    cache = model.init_cache(batch=2, max_length=5)
    first = model(ids, mask, start[:, :2], cache=cache)
    second = model(None, None, start[:, 2:], cache=first.cache, logit_positions=[[0, 2], [1, 0]])
    np.testing.assert_allclose(first.logits, wanted[:, :2], rtol=1e-12)
    np.testing.assert_allclose(second.logits, [wanted[0, 4], wanted[1, 2]], rtol=1e-12)
    assert second.encoder_last_hidden_state is None
    assert second.cache.lengths.tolist() == [5, 5]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_generate_starts_with_the_start_token_and_runs_the_encoder_once(
    model, strategy, monkeypatch
):
    ids, mask = make_prompt([4, 6, 1], side="right")
    runs = []
    call = RobertaModel.__call__

    def counted(self, *args, **kwargs):
        runs.append(1)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(RobertaModel, "__call__", counted)
    options = {"strategy": strategy, "max_new_tokens": 8}
    if strategy == "sampling":
        options["seed"] = [1, 2, 3]
    result = model.generate(ids, mask, **options)
    assert len(runs) == 1
    assert (result[:, 0] == 5).all()
    wanted = model.decoder.generate(
        [[5]] * 3,
        encoder_hidden_state=model.encode(ids, mask),
        encoder_attention_mask=mask,
        eos_token_id=EOS,
        **options,
    )
    np.testing.assert_array_equal(result, wanted)
    if strategy != "beam":
        columns = list(model.stream(ids, mask, **options))
        np.testing.assert_array_equal(np.stack(columns, axis=1), result[:, 1:])


def test_a_row_gets_the_same_text_alone(model):
    ids, mask = make_prompt([4, 6, 1], side="right")
    result = model.generate(ids, mask, max_new_tokens=8)
    for row, n in enumerate([4, 6, 1]):
        alone = model.generate(ids[row : row + 1, :n], max_new_tokens=8)
        assert up_to_end(alone[0, 1:], EOS) == up_to_end(result[row, 1:], EOS)


def test_a_text_may_begin_otherwise(model):
    ids, mask = make_prompt([4, 6], side="right")
    other = model.generate(ids, mask, decoder_start_token_id=7, max_new_tokens=3)
    assert (other[:, 0] == 7).all()
    given = model.generate(ids, mask, decoder_input_ids=[[7], [7]], max_new_tokens=3)
    np.testing.assert_array_equal(given, other)
    longer = model.generate(
        ids,
        mask,
        decoder_input_ids=[[7, 8], [1, 7]],
        decoder_attention_mask=[[1, 1], [0, 1]],
        max_new_tokens=3,
    )
    assert up_to_end(longer[1, 2:], EOS) == up_to_end(other[1, 1:], EOS)


def test_sides_of_two_widths_have_a_layer_between_them(tmp_path):
    config, tensors = read_sides(tmp_path, wide=24)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((24, 18)).astype(np.float32)
    bias = rng.standard_normal(24).astype(np.float32)
    tensors |= {"enc_to_dec_proj.weight": weight, "enc_to_dec_proj.bias": bias}
    model = RobertaEncoderDecoder.from_pretrained(
        write(tmp_path / "both", config, tensors), **FLOAT64
    )
    ids, mask = make_prompt([4, 6], side="right")
    states = model.encoder(ids, mask).last_hidden_state
    wanted = states @ weight.T.astype(np.float64) + bias
    np.testing.assert_allclose(model.encode(ids, mask), wanted, rtol=1e-12)
    assert model.generate(ids, mask, max_new_tokens=3).shape[0] == 2


def test_tied_sides_share_what_one_of_them_lacks(tmp_path):
    config, tensors = read_sides(tmp_path)
    config["decoder"]["vocab_size"] = VOCAB
    config["decoder"]["tie_word_embeddings"] = True
    kept = {
        name: array
        for name, array in tensors.items()
        if name.startswith("encoder.") or "crossattention" in name or "lm_head" in name
        if "lm_head.decoder" not in name
    }
    kept["decoder.lm_head.bias"] = kept["decoder.lm_head.bias"][:VOCAB]
    twice = kept | {
        name.replace("encoder.", "decoder.roberta.", 1): array
        for name, array in kept.items()
        if name.startswith("encoder.") and "pooler" not in name
    }
    wanted = RobertaEncoderDecoder.from_pretrained(write(tmp_path / "a", config, twice), **FLOAT64)
    with pytest.raises(
        CheckpointError, match=r"decoder: checkpoint must hold embeddings\.word_emb"
    ):
        RobertaEncoderDecoder.from_pretrained(write(tmp_path / "b", config, kept))
    config["tie_encoder_decoder"] = True
    tied = RobertaEncoderDecoder.from_pretrained(write(tmp_path / "c", config, kept), **FLOAT64)
    other = {n: a for n, a in twice.items() if n not in kept or not n.startswith("encoder.")}
    back = RobertaEncoderDecoder.from_pretrained(write(tmp_path / "d", config, other), **FLOAT64)
    ids, mask = make_prompt([4, 6], side="right")
    for model in (tied, back):
        np.testing.assert_array_equal(
            model(ids, mask, [[5, 6]] * 2).logits, wanted(ids, mask, [[5, 6]] * 2).logits
        )


@needs_core
def test_float32_kernels_agree_with_the_float64_reference(tmp_path, model):
    native = RobertaEncoderDecoder.from_pretrained(tmp_path / "both")
    ids, mask = make_prompt([4, 6, 1], side="right")
    start, _ = make_prompt([3, 3, 3], 1)
    logits = native(ids, mask, start).logits
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, model(ids, mask, start).logits, atol=2e-4)
    np.testing.assert_array_equal(
        native.generate(ids, mask, max_new_tokens=6), model.generate(ids, mask, max_new_tokens=6)
    )


def without(name):
    return lambda config, tensors: tensors.pop(name)


def renamed(config, tensors):
    tensors["head.weight"] = tensors.pop("encoder.pooler.dense.weight")


def added(config, tensors):
    tensors["decoder.roberta.more"] = np.zeros(3, np.float32)


def misshapen(config, tensors):
    tensors["encoder.embeddings.LayerNorm.bias"] = np.zeros(5, np.float32)
    del tensors["decoder.lm_head.dense.bias"]


def other_family(config, tensors):
    config["encoder"]["model_type"] = "bert"


def no_side(config, tensors):
    del config["decoder"]


def single(config, tensors):
    config["model_type"] = "roberta"


def other_width(config, tensors):
    config["decoder"]["cross_attention_hidden_size"] = 20


def a_bridge(config, tensors):
    tensors["enc_to_dec_proj.weight"] = np.zeros((18, 18), np.float32)


BROKEN = [
    (renamed, CheckpointError, "of encoder., decoder. and enc_to_dec_proj. alone, not head.weight"),
    (added, CheckpointError, "decoder: checkpoint must hold exactly the tensors of the model; ext"),
    (
        without("encoder.encoder.layer.1.output.dense.bias"),
        CheckpointError,
        "encoder: checkpoint must hold exactly the tensors of the model; missing: encoder.layer.1.",
    ),
    (misshapen, CheckpointError, "embeddings.LayerNorm.bias must be [18], not [5]; decoder: check"),
    (other_family, ConfigError, "encoder in config.json: model_type must be one of"),
    (no_side, ConfigError, "decoder in config.json must be an object, not NoneType"),
    (single, ConfigError, "model_type must be 'encoder-decoder', not 'roberta'"),
    (other_width, ConfigError, "cross_attention_hidden_size must be the hidden_size (18), not 20"),
    (a_bridge, CheckpointError, "enc_to_dec_proj must have the shapes of no tensor"),
]


@pytest.mark.parametrize(("change", "error", "message"), BROKEN)
def test_a_folder_that_is_none_is_refused(tmp_path, change, error, message):
    config, tensors = read_sides(tmp_path)
    change(config, tensors)
    folder = write(tmp_path / "both", config, tensors)
    with pytest.raises(error, match=re.escape(message)):
        RobertaEncoderDecoder.from_pretrained(folder)


def test_sides_of_two_widths_without_their_layer_are_refused(tmp_path):
    config, tensors = read_sides(tmp_path, wide=24)
    with pytest.raises(CheckpointError, match=r"enc_to_dec_proj must have the shapes .*not none"):
        RobertaEncoderDecoder.from_pretrained(write(tmp_path / "both", config, tensors))
    with pytest.raises(ConfigError, match=r"hidden_size of the encoder \(18\), not 24"):
        RobertaEncoderDecoder.from_encoder_decoder(tmp_path / "encoder", tmp_path / "decoder")


def test_a_decoder_without_cross_attention_is_refused(tmp_path):
    paths = save_sides(tmp_path, cross=False)
    with pytest.raises(ConfigError, match="decoder must have cross attention"):
        RobertaEncoderDecoder.from_encoder_decoder(*paths)
    with pytest.raises(ConfigError, match="decoder must be a RobertaForCausalLM, not a RobertaMod"):
        RobertaEncoderDecoder.from_encoder_decoder(paths[0], RobertaModel.from_pretrained(paths[0]))


CALLS = [
    ({}, "decoder_input_ids must be given, not None"),
    ({"input_ids": None, "decoder_input_ids": [[5]]}, "input_ids must be given where no cache has"),
    ({"decoder_input_ids": [[5], [6]]}, "encoder_hidden_state must be [batch, encoder tokens, hid"),
    ({"attention_mask": [[0, 0]], "decoder_input_ids": [[5]]}, "attention_mask must attend to a t"),
    ({"decoder_input_ids": [[50]]}, "input_ids must be in [0, vocab_size) = [0, 41), not 50"),
]


@pytest.mark.parametrize(("arguments", "message"), CALLS)
def test_calls_that_do_not_fit_are_refused(model, arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        model(**{"input_ids": [[3, 4]]} | arguments)


def test_a_start_is_needed_and_given_once(model):
    message = "decoder_start_token_id must be left out where decoder_input_ids are given, not 3"
    with pytest.raises(InputError, match=message):
        model.generate([[3]], decoder_input_ids=[[5]], decoder_start_token_id=3)
    none = RobertaEncoderDecoder(model.encoder, model.decoder)
    with pytest.raises(InputError, match="decoder_start_token_id must be given"):
        none.generate([[3]])


def test_it_is_a_public_name():
    assert pyroberta.RobertaEncoderDecoder is RobertaEncoderDecoder
