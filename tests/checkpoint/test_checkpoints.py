"""Checkpoints that mean the same model: dtypes, shards, prefixes, spellings, ties, and back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import (
    CLASSES,
    FLOAT64,
    HEADS,
    TINY,
    batch_for,
    bfloat16,
    draw_tensors,
    main_output,
    make_folder,
    to_safetensors,
    write_folder,
)

import pyroberta
from pyroberta import CheckpointError

IDS = [[0, 5, 6, 2, 9], [0, 7, 2, 3, 4]]
LM = "for_masked_language_modeling"
WORDS = "roberta.embeddings.word_embeddings.weight"


def run(path: Path, architecture: str, **options: Any) -> np.ndarray:
    model = CLASSES[architecture].from_pretrained(path, **options)
    return main_output(model(batch_for(architecture, IDS)))


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("architecture", HEADS)
@pytest.mark.parametrize(
    ("store", "widen"),
    [
        (lambda a: a.astype(np.float16), lambda a: a.astype(np.float16).astype(np.float32)),
        (bfloat16, lambda a: (bfloat16(a).astype(np.uint32) << 16).view(np.float32)),
        (lambda a: a.astype(np.float64), lambda a: a),
    ],
    ids=["float16", "bfloat16", "float64"],
)
def test_tensors_of_another_dtype_are_the_float32_ones_that_they_stand_for(
    architecture, backend, store, widen, tmp_path
):
    tensors = draw_tensors(TINY, architecture)
    widened = {name: widen(array) for name, array in tensors.items()}
    stored = {name: store(array) for name, array in tensors.items()}
    plain = run(write_folder(tmp_path / "a", TINY, widened), architecture, backend=backend)
    other = write_folder(tmp_path / "b", TINY, stored)
    assert same_bits(run(other, architecture, backend=backend), plain)
    assert same_bits(run(other, architecture, backend=backend, memory_map=False), plain)


def test_the_float64_reference_keeps_the_digits_of_every_float64_tensor(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {name: a.astype(np.float64) for name, a in draw_tensors(TINY, LM).items()}
    rounded = run(write_folder(tmp_path, TINY, tensors), LM, **FLOAT64)
    for name, array in tensors.items():
        if name.endswith("key.bias"):
            continue  # a softmax takes no notice of it
        finer = array * (1 + 1e-9 * rng.standard_normal(array.shape))
        path = write_folder(tmp_path, TINY, tensors | {name: finer})
        assert not same_bits(run(path, LM, **FLOAT64), rounded), name


@pytest.mark.parametrize("architecture", HEADS)
def test_mapped_and_read_tables_give_the_same_bits(architecture, tmp_path):
    path = make_folder(tmp_path, architecture)
    mapped = run(path, architecture)
    assert same_bits(run(path, architecture, memory_map=False), mapped)


def test_a_table_at_an_odd_offset_gives_the_same_bits(tmp_path):
    """A header that no padding rounds up: nothing says that a writer must."""
    path = make_folder(tmp_path, LM)
    plain = run(path, LM)
    data = (path / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    moved = (length + 3).to_bytes(8, "little") + data[8 : 8 + length] + b"   " + data[8 + length :]
    (path / "model.safetensors").write_bytes(moved)
    assert same_bits(run(path, LM), plain)


@pytest.mark.parametrize("architecture", HEADS)
def test_a_sharded_checkpoint_is_the_same_model(architecture, tmp_path):
    tensors = draw_tensors(TINY, architecture)
    plain = run(write_folder(tmp_path / "single", TINY, tensors), architecture)
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY))
    names = list(tensors)
    weight_map = {}
    for i in range(3):
        shard = f"model-0000{i + 1}-of-00003.safetensors"
        part = {name: tensors[name] for name in names[i::3]}
        (folder / shard).write_bytes(to_safetensors(part))
        weight_map |= dict.fromkeys(part, shard)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same_bits(run(folder, architecture), plain)


@pytest.mark.parametrize("architecture", HEADS)
@pytest.mark.parametrize(
    "prefix", ["", "roberta.", "xlm_roberta.", "xlm-roberta.", "camembert.", "data2vec_text."]
)
def test_every_familys_prefix_is_known(architecture, prefix, tmp_path):
    tensors = draw_tensors(TINY, architecture)
    plain = run(write_folder(tmp_path / "a", TINY, tensors), architecture)
    renamed = {
        prefix + name.removeprefix("roberta.") if name.startswith("roberta.") else name: array
        for name, array in tensors.items()
    }
    assert same_bits(run(write_folder(tmp_path / "b", TINY, renamed), architecture), plain)


@pytest.mark.parametrize("prefix", ["bert.", "model.", "encoder.roberta."])
def test_an_unknown_prefix_is_refused_with_the_known(prefix, tmp_path):
    tensors = {
        name.replace("roberta.", prefix): array
        for name, array in draw_tensors(TINY, "base").items()
    }
    message = f"after one of the prefixes '', 'roberta.', .*, not after \\['{prefix}'\\]"
    with pytest.raises(CheckpointError, match=message):
        run(write_folder(tmp_path, TINY, tensors), "base")


def test_two_encoders_in_one_file_are_refused(tmp_path):
    tensors = draw_tensors(TINY, "base")
    both = tensors | {name.replace("roberta.", "camembert."): a for name, a in tensors.items()}
    with pytest.raises(CheckpointError, match=r"not after \['camembert.', 'roberta.'\]"):
        run(write_folder(tmp_path, TINY, both), "base")


def test_old_names_of_layer_norms_and_saved_buffers_are_known(tmp_path):
    tensors = draw_tensors(TINY, LM)
    plain = run(write_folder(tmp_path / "a", TINY, tensors), LM)

    def old(name: str) -> str:
        if "LayerNorm" in name or "layer_norm" in name:
            return name.replace(".weight", ".gamma").replace(".bias", ".beta")
        return name

    renamed = {old(name): array for name, array in tensors.items()}
    renamed["roberta.embeddings.position_ids"] = np.arange(22)[None]
    renamed["roberta.embeddings.token_type_ids"] = np.zeros((1, 22), np.int64)
    assert sum(name.endswith(("gamma", "beta")) for name in renamed) == 12
    assert same_bits(run(write_folder(tmp_path / "b", TINY, renamed), LM), plain)


def test_one_tensor_under_two_names_is_refused(tmp_path):
    tensors = draw_tensors(TINY, "base")
    name = "roberta.embeddings.LayerNorm.weight"
    tensors[name.replace("weight", "gamma")] = tensors[name]
    message = "must hold embeddings.LayerNorm.weight once, not as .*weight and as .*gamma"
    with pytest.raises(CheckpointError, match=message):
        run(write_folder(tmp_path, TINY, tensors), "base")


# What stands in the file beside lm_head.dense and lm_head.layer_norm; which of it is the model's.
TIES = {
    "tied": (["bias"], True, "word", "bias"),
    "decoder saved too": (["bias", "decoder.weight"], True, "decoder.weight", "bias"),
    "old name of the decoder": (["bias", "weight"], True, "weight", "bias"),
    "untied": (["bias", "decoder.weight"], False, "decoder.weight", "bias"),
    "only the decoder's bias": (["decoder.bias"], True, "word", "decoder.bias"),
    "untied, only the decoder's bias": (
        ["decoder.weight", "decoder.bias"],
        False,
        "decoder.weight",
        "decoder.bias",
    ),
    # transformers adds the decoder's bias, and keeps the other for its name: once, not twice.
    "both biases": (["bias", "decoder.bias"], True, "word", "decoder.bias"),
    "untied, both biases": (
        ["bias", "decoder.weight", "decoder.bias"],
        False,
        "decoder.weight",
        "decoder.bias",
    ),
}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("case", TIES)
def test_every_spelling_of_a_language_models_head_means_what_its_authors_library_makes_of_it(
    case, backend, tmp_path
):
    names, tied, weight, bias = TIES[case]
    rng = np.random.default_rng(3)
    tensors = draw_tensors(TINY, LM)
    del tensors["lm_head.bias"]
    own: dict[str, Any] = {"word": tensors[WORDS]}
    for name in names:
        shape = (37, 18) if name.endswith("weight") else (37,)
        own[name] = rng.standard_normal(shape).astype(np.float32)
        tensors[f"lm_head.{name}"] = own[name]
    path = write_folder(tmp_path / "a", TINY | {"tie_word_embeddings": tied}, tensors)

    # The head by hand, from the encoder's hidden states.
    model = CLASSES[LM].from_pretrained(path, backend=backend)
    hidden = model(IDS, output_hidden_states=True).hidden_states[-1].astype(np.float64)
    y = hidden @ tensors["lm_head.dense.weight"].T + tensors["lm_head.dense.bias"]
    y = y * 0.5 * (1 + np.vectorize(math.erf)(y / 2**0.5))
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    y = y * tensors["lm_head.layer_norm.weight"] + tensors["lm_head.layer_norm.bias"]
    expected = y @ own[weight].T + own[bias]
    assert np.abs(model(IDS).logits - expected).max() < 5e-5

    model.save_pretrained(tmp_path / "b")
    assert same_bits(run(tmp_path / "b", LM, backend=backend), model(IDS).logits)


def test_an_untied_language_model_without_a_decoder_is_refused(tmp_path):
    path = make_folder(tmp_path, LM, tie_word_embeddings=False)
    message = r"checkpoint must hold lm_head.decoder.weight \[37, 18\] where tie_word_embeddings"
    with pytest.raises(CheckpointError, match=message):
        run(path, LM)


def test_the_pooler_is_as_the_file_has_it_demanded_or_left_out(tmp_path):
    with_pooler = make_folder(tmp_path / "a", "base")
    tensors = draw_tensors(TINY, "base")
    without = {name: array for name, array in tensors.items() if "pooler" not in name}
    without_pooler = write_folder(tmp_path / "b", TINY, without)

    def pooled(path: Path, wanted: bool | None) -> Any:
        model = pyroberta.RobertaModel.from_pretrained(path, add_pooling_layer=wanted)
        return model(IDS).pooler_output

    assert pooled(with_pooler, None).shape == (2, 18)
    assert same_bits(pooled(with_pooler, True), pooled(with_pooler, None))
    assert pooled(with_pooler, False) is None
    assert pooled(without_pooler, None) is None
    assert pooled(without_pooler, False) is None
    message = r"missing: pooler.dense.weight \[18, 18\]; pooler.dense.bias \[18\]"
    with pytest.raises(CheckpointError, match=message):
        pooled(without_pooler, True)


@pytest.mark.parametrize("architecture", HEADS[1:])
def test_any_heads_checkpoint_opens_as_the_encoder_alone(architecture, tmp_path):
    path = make_folder(tmp_path / "a", architecture)
    tensors = draw_tensors(TINY, architecture)
    encoder = {name: a for name, a in tensors.items() if name.startswith("roberta.")}
    plain = run(write_folder(tmp_path / "b", TINY, encoder), "base")
    assert same_bits(run(path, "base"), plain)


@pytest.mark.parametrize("architecture", HEADS[1:])
def test_a_head_that_the_file_lacks_is_refused_not_made_up(architecture, tmp_path):
    with pytest.raises(CheckpointError, match=r"missing: .*(lm_head|classifier|qa_outputs)"):
        run(make_folder(tmp_path, "base"), architecture)


@pytest.mark.parametrize("architecture", HEADS)
def test_a_saved_model_loads_again_with_the_same_bits(architecture, tmp_path):
    model = CLASSES[architecture].from_pretrained(make_folder(tmp_path / "a", architecture))
    model.save_pretrained(tmp_path / "b" / "new")
    assert sorted(p.name for p in (tmp_path / "b" / "new").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    again = pyroberta.from_pretrained(tmp_path / "b" / "new")
    assert type(again) is type(model)
    assert again.config == model.config
    ids = batch_for(architecture, IDS)
    assert same_bits(main_output(again(ids)), main_output(model(ids)))


def test_a_model_saved_over_its_own_folder_keeps_its_bits(tmp_path):
    """The mapped tables are still those of the old file when the new one is written."""
    path = make_folder(tmp_path, LM)
    model = CLASSES[LM].from_pretrained(path)
    before = model(IDS).logits
    model.save_pretrained(path)
    assert same_bits(model(IDS).logits, before)
    assert same_bits(run(path, LM), before)
