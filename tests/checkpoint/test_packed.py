"""A packed model gives the bits of the one that was packed, or says why it cannot be had."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from checkpoint.packing import (
    ALL,
    IDS,
    LM,
    bits,
    causal_folder,
    edit_config,
    edit_shapes,
    folder_of,
    needs_core,
    pack,
    refused,
)
from support import (
    CLASSES,
    TINY,
    bfloat16,
    draw_tensors,
    make_folder,
    run_python,
    to_safetensors,
    write_folder,
)

import pyroberta
from pyroberta import ConfigError, InputError
from pyroberta.checkpoint import PACKED_FILE, PackedSource
from pyroberta.compute_types import COMPUTE_TYPES

pytestmark = needs_core

# No width is a multiple of another, of a panel or of a rotation; and widths that are.
ODD: dict[str, Any] = {}
EVEN = {"hidden_size": 192, "intermediate_size": 256}


@pytest.mark.parametrize("sizes", [ODD, EVEN], ids=["odd", "even"])
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("architecture", ALL)
def test_a_packed_model_gives_the_bits_of_the_one_it_was_packed_from(
    architecture, compute_type, sizes, isa, tmp_path
):
    folder = folder_of(tmp_path / "a", architecture, **sizes)
    cls = ALL[architecture]
    plain = cls.from_pretrained(folder, compute_type=compute_type)
    plain.save_packed(tmp_path / "b" / "new")
    assert sorted(p.name for p in (tmp_path / "b" / "new").iterdir()) == [
        "config.json",
        PACKED_FILE,
    ]
    for options in ({}, {"memory_map": False}, {"compute_type": compute_type}):
        packed = cls.from_pretrained(tmp_path / "b" / "new", **options)
        assert (packed.compute_type, packed.backend) == (compute_type, "native")
        assert packed.config == plain.config
        assert bits(packed) == bits(plain)
    again = pyroberta.from_pretrained(tmp_path / "b" / "new")
    assert type(again) is cls
    PackedSource(tmp_path / "b" / "new").verify()


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_a_head_of_ones_own_keeps_its_bits_packed_or_mapped(compute_type, tmp_path):
    """A masked LM that is not tied, one that is, and the bare encoder in either file."""
    for tied in (True, False):
        tensors = draw_tensors(TINY, LM)
        if not tied:
            values = np.random.default_rng(5).standard_normal((37, 18))
            tensors["lm_head.decoder.weight"] = values.astype(np.float32)
        hf = TINY | {"tie_word_embeddings": tied, "architectures": ["RobertaForMaskedLM"]}
        folder = write_folder(tmp_path / f"{tied}", hf, tensors)
        out = pack(folder, tmp_path / f"{tied} packed", compute_type=compute_type)
        for cls in (CLASSES[LM], pyroberta.RobertaModel):
            plain = cls.from_pretrained(folder, compute_type=compute_type)
            assert bits(cls.from_pretrained(out)) == bits(plain)
        head = [name for name in PackedSource(out)._packed if name.startswith("lm_head")]
        assert len(head) == (0 if compute_type in ("float32", "bfloat16x3") else 2)


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
@pytest.mark.parametrize("stored", ["<f8", "<f2", "bfloat16", "shards", "camembert.", ""])
def test_any_spelling_of_a_checkpoint_can_be_packed(stored, compute_type, tmp_path):
    tensors = draw_tensors(TINY, LM)
    hf = TINY | {"architectures": ["RobertaForMaskedLM"]}
    folder = write_folder(tmp_path / "a", hf, tensors)
    if stored == "shards":
        (folder / "model.safetensors").unlink()
        weight_map = {}
        for i in range(3):
            part = {name: tensors[name] for name in list(tensors)[i::3]}
            (folder / f"{i}.safetensors").write_bytes(to_safetensors(part))
            weight_map |= dict.fromkeys(part, f"{i}.safetensors")
        index = json.dumps({"weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(index)
    elif stored in ("camembert.", ""):
        changed = {name.replace("roberta.", stored): array for name, array in tensors.items()}
        write_folder(folder, hf, changed)
    else:
        convert = bfloat16 if stored == "bfloat16" else lambda array: array.astype(stored)
        write_folder(folder, hf, {name: convert(array) for name, array in tensors.items()})
    out = pack(folder, tmp_path / "b", compute_type=compute_type)
    plain = pyroberta.from_pretrained(folder, compute_type=compute_type)
    for mapped in (True, False):
        assert bits(pyroberta.from_pretrained(out, memory_map=mapped)) == bits(plain)


def test_a_model_of_random_weights_can_be_packed(tmp_path):
    config = pyroberta.RobertaConfig.from_hf(TINY)
    model = pyroberta.RobertaForTokenClassification.from_config(config, seed=1, compute_type="int8")
    model.save_packed(tmp_path)
    assert bits(pyroberta.from_pretrained(tmp_path)) == bits(model)


def test_a_cache_and_generation_work_on_a_packed_model(tmp_path):
    folder = causal_folder(tmp_path / "a", add_cross_attention=False)
    out = pack(folder, tmp_path / "b", compute_type="bfloat16")
    plain = pyroberta.from_pretrained(folder, compute_type="bfloat16")
    packed: Any = pyroberta.from_pretrained(out)
    options = {"max_new_tokens": 8, "eos_token_id": 36}
    wanted = plain.generate([[0, 5, 6]], **options)
    assert packed.generate([[0, 5, 6]], **options).tolist() == wanted.tolist()


def test_packed_models_make_an_encoder_decoder(tmp_path):
    encoder = pack(make_folder(tmp_path / "e", "base"), tmp_path / "E", compute_type="int8")
    decoder = pack(causal_folder(tmp_path / "d"), tmp_path / "D", compute_type="int8")
    make = pyroberta.RobertaEncoderDecoder.from_encoder_decoder
    plain = make(tmp_path / "e", tmp_path / "d", compute_type="int8")
    wanted = plain.generate([[0, 5, 6, 2]], max_new_tokens=6)
    for options in ({}, {"compute_type": "int8"}):
        packed = make(encoder, decoder, **options)
        assert packed.encoder.compute_type == packed.decoder.compute_type == "int8"
        assert packed.generate([[0, 5, 6, 2]], max_new_tokens=6).tolist() == wanted.tolist()


def test_what_does_not_change_a_weight_can_be_set_on_load(tmp_path):
    folder = make_folder(tmp_path / "a", LM)
    out = pack(folder, tmp_path / "b", compute_type="int8")
    for change in (
        {"activation": "relu"},
        {"num_attention_heads": 2},
        {"layer_norm_epsilon": 0.1},
        {"pad_token_id": 10},
    ):
        plain = pyroberta.from_pretrained(folder, compute_type="int8", **change)
        packed = pyroberta.from_pretrained(out, **change)
        assert bits(packed) == bits(plain) != bits(pyroberta.from_pretrained(out))


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
def test_what_needs_the_checkpoint_is_refused_with_the_reason(compute_type, tmp_path):
    out = pack(make_folder(tmp_path / "a", "base"), tmp_path / "b", compute_type=compute_type)
    model = pyroberta.from_pretrained(out)
    with pytest.raises(InputError, match="must come from a checkpoint, not from a packed file"):
        model.save_packed(tmp_path / "c")
    reason = (
        r"encoder.layer.0.* must be read from the checkpoint that was packed: .* has it only as"
    )
    with pytest.raises(pyroberta.CheckpointError, match=reason):
        model.save_pretrained(tmp_path / "c")
    if compute_type != "float32":
        reason = "training must be in float32 or float64, not int8"
    with pytest.raises(ValueError, match=reason):
        model(IDS, training=True, rng=np.random.default_rng(0))
    assert not (tmp_path / "c").exists()
    for backend, of in (("reference", "float32"), ("reference", "float64"), ("reference", None)):
        with pytest.raises(ConfigError, match="backend must be 'native', compiled, for the packed"):
            pyroberta.from_pretrained(out, backend=backend, compute_type=of)
    plain = pyroberta.from_pretrained(tmp_path / "a", backend="reference")
    with pytest.raises(InputError, match="must be 'native' to pack a model, not 'reference'"):
        plain.save_packed(tmp_path / "c")


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "bfloat16x3", "", "int3"])
def test_another_compute_type_than_the_files_is_refused(asked, tmp_path):
    out = pack(make_folder(tmp_path / "a", "base"), tmp_path / "b", compute_type="int8")
    message = f"compute_type must be .*int8.*, not '{asked}'"
    with pytest.raises(ValueError, match=message):
        pyroberta.from_pretrained(out, compute_type=asked)


def test_without_the_extension_a_packed_file_is_refused(tmp_path):
    from models.without import WITHOUT

    out = pack(make_folder(tmp_path / "a", "base"), tmp_path / "b")
    code = f"warnings.simplefilter('ignore')\npyroberta.from_pretrained({str(out)!r})"
    done = run_python(WITHOUT + code)
    assert "ConfigError: backend must be 'native', compiled, for the packed file in" in done.stderr


@pytest.mark.parametrize(
    ("field", "key", "value", "message"),
    [
        ("num_blocks", "num_hidden_layers", 1, r"extra: .*encoder.layer.1.output.dense.bias \[18"),
        ("num_blocks", "num_hidden_layers", 3, r"missing: encoder.layer.2.*dense.weight \[18, 29"),
        ("hidden_size", "hidden_size", 21, r"misshapen: .* must be \[21\], not \[18"),
        ("intermediate_size", "intermediate_size", 30, r"must be \[30, 18\], not \[29, 18\]"),
        ("vocab_size", "vocab_size", 36, r"word_embeddings.weight must be \[36, 18\], not \[37"),
        ("max_positions", "max_position_embeddings", 30, r"must be \[30, 18\], not \[22, 18\]"),
        ("tie_word_embeddings", "tie_word_embeddings", False, r"hold lm_head.decoder.weight \[37"),
    ],
)
def test_a_configuration_of_other_sizes_is_refused(field, key, value, message, tmp_path):
    out = pack(make_folder(tmp_path / "a", LM), tmp_path / "b", compute_type="bfloat16")
    refused(out, message, **{field: value})
    edit_config(out, **{key: value})
    refused(out, message)


def test_cross_attention_is_as_the_file_has_it(tmp_path):
    out = pack(causal_folder(tmp_path / "a"), tmp_path / "b")
    message = r"must be opened as a model with cross attention, which .* \(encoder.layer.0.cross"
    refused(out, message, architecture="base")
    refused(out, r"extra: encoder.layer.0.crossattention", use_cross_attention=False)
    without = pack(causal_folder(tmp_path / "c", add_cross_attention=False), tmp_path / "d")
    refused(without, r"missing: encoder.layer.0.crossattention", use_cross_attention=True)
    # A file that hides what its blocks have.
    edit_shapes(out, lambda shapes: {k: v for k, v in shapes.items() if "crossattention" not in k})
    message = "encoder.layer.0 must be packed with hidden_size 18, .* and no cross attention: mem"
    refused(out, message, use_cross_attention=False)


@pytest.mark.parametrize("other", ["model.safetensors", "model.safetensors.index.json"])
def test_a_checkpoint_beside_the_packed_file_is_refused(other, tmp_path):
    """Which of the two is newer, nobody could tell."""
    out = pack(make_folder(tmp_path / "a", LM), tmp_path / "b")
    (out / other).write_bytes(b"")
    refused(out, f"must hold {PACKED_FILE} or {other}, not both: one of the two may be older")
