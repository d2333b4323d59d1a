"""LoRA adapters: merged in float64, beside the base or apart, or refused by name."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import FLOAT64, TINY

import pyroberta
from pyroberta import RobertaConfig
from pyroberta.errors import CheckpointError, InputError

IDS = [[0, 5, 6, 7, 8, 2]]
OUTER = "base_model.model."
LAYERS = ["encoder.layer.0.attention.self.query", "encoder.layer.1.output.dense"]
R = 3


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny encoder."""
    path = tmp_path_factory.mktemp("base") / "model"
    config = RobertaConfig.from_hf(TINY | {"initializer_range": 0.3})
    pyroberta.RobertaModel.from_config(config, seed=0).save_pretrained(path)
    return path


def draw(layers=LAYERS, r=R, prefix="", seed=1):
    """A's and B's of some layers, by peft's names."""
    rng = np.random.default_rng(seed)
    sizes = {"query": (18, 18), "dense": (18, 29), "word_embeddings": (37, 18)}
    tensors = {}
    for layer in layers:
        out, inside = sizes[layer.rpartition(".")[2]]
        a, b = rng.standard_normal((r, inside)), rng.standard_normal((out, r))
        at = OUTER + prefix + layer
        if layer.endswith("embeddings"):
            a, b = rng.standard_normal((r, out)), rng.standard_normal((inside, r))
            tensors |= {f"{at}.lora_embedding_A": a, f"{at}.lora_embedding_B": b}
        else:
            tensors |= {f"{at}.lora_A.weight": a, f"{at}.lora_B.weight": b}
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def write(path, tensors, base=None, **config):
    """An adapter's folder."""
    path.mkdir(exist_ok=True)
    save_file(tensors, path / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": R, "lora_alpha": 6, "base_model_name_or_path": base}
    (path / "adapter_config.json").write_text(json.dumps(said | config))
    return path


def merged(base, tensors, path, scale, prefix=""):
    """A folder of the base with the adapter merged by hand, in float64."""
    shutil.copytree(base, path)
    own = {n: t.astype(np.float64) for n, t in load_file(base / "model.safetensors").items()}
    for name in tensors:
        at = name.removeprefix(OUTER).removeprefix(prefix)
        layer, _, kind = at.partition(".lora_")
        factor = scale(layer) if callable(scale) else scale
        if kind == "A.weight":
            b = tensors[name.replace("lora_A", "lora_B")].astype(np.float64)
            own[f"{layer}.weight"] += factor * b @ tensors[name]
        elif kind == "embedding_A":
            b = tensors[name.replace("embedding_A", "embedding_B")].astype(np.float64)
            own[f"{layer}.weight"] += factor * (b @ tensors[name]).T
        elif kind == "B.bias":
            own[f"{layer}.bias"] += factor * tensors[name]
    save_file(own, path / "model.safetensors")
    return path


def state(path, **options):
    return pyroberta.RobertaModel.from_pretrained(path, **FLOAT64, **options)(IDS).last_hidden_state


SCALES = [
    ({}, 2.0),
    ({"lora_alpha": 7.5}, 2.5),
    ({"use_rslora": True}, 6 / math.sqrt(3)),
    ({"alpha_pattern": {"query": 12}}, lambda layer: 4.0 if layer.endswith("query") else 2.0),
    ({"alpha_pattern": {r"layer\.1\..*dense": 3}}, lambda n: 1.0 if "layer.1." in n else 2.0),
    ({"alpha_pattern": {"ery": 12}}, 2.0),  # a name's end after a dot, not any end
    ({"r": 8, "rank_pattern": {"query": 3, "dense": 3}}, 2.0),
    ({"bias": "all", "modules_to_save": None, "fan_in_fan_out": True, "lora_dropout": 0.1}, 2.0),
]


@pytest.mark.parametrize(("config", "scale"), SCALES)
def test_scales(config, scale, base, tmp_path):
    tensors = draw()
    adapter = write(tmp_path / "adapter", tensors, **config)
    want = state(merged(base, tensors, tmp_path / "merged", scale))
    assert np.abs(want - state(base)).max() > 0.1
    np.testing.assert_allclose(state(base, adapter=adapter), want, atol=1e-13)


@pytest.mark.parametrize("prefix", ["", "roberta.", "camembert."])
def test_prefixes_and_the_word_table(prefix, base, tmp_path):
    layers = [*LAYERS, "embeddings.word_embeddings"]
    tensors = draw(layers, prefix=prefix)
    tensors[f"{OUTER}{prefix}{LAYERS[0]}.lora_B.bias"] = np.ones(18, np.float32)
    adapter = write(tmp_path / "adapter", tensors)
    want = state(merged(base, tensors, tmp_path / "merged", 2.0, prefix))
    # A table is kept in float32, whatever it is read in.
    np.testing.assert_allclose(state(base, adapter=adapter), want, atol=1e-6)
    native = pyroberta.RobertaModel.from_pretrained(base, adapter=adapter)
    np.testing.assert_allclose(native(IDS).last_hidden_state, want, atol=1e-5)


@pytest.mark.parametrize("half", ["float16", "float32"])
def test_a_merged_weight_is_rounded_once(half, base, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(base, old)
    own = {n: t.astype(half) for n, t in load_file(base / "model.safetensors").items()}
    save_file(own, old / "model.safetensors")
    tensors = draw()
    adapter = write(tmp_path / "adapter", tensors)
    pyroberta.RobertaModel.from_pretrained(old, adapter=adapter).save_pretrained(tmp_path / "new")
    want = load_file(merged(old, tensors, tmp_path / "merged", 2.0) / "model.safetensors")
    got = load_file(tmp_path / "new/model.safetensors")
    for name, tensor in got.items():
        np.testing.assert_array_equal(tensor, want[name].astype(np.float32))


def test_where_an_adapter_stands(base, tmp_path):
    tensors = draw()
    want = state(merged(base, tensors, tmp_path / "merged", 2.0))
    alone = write(tmp_path / "alone", tensors, base=str(base))
    np.testing.assert_allclose(state(alone), want, atol=1e-13)
    np.testing.assert_array_equal(state(alone, adapter=False), state(base))
    beside = tmp_path / "beside"
    shutil.copytree(base, beside)
    write(beside, tensors, base="org/other")
    np.testing.assert_allclose(state(beside), want, atol=1e-13)
    np.testing.assert_array_equal(state(beside, adapter=False), state(base))
    assert type(pyroberta.from_pretrained(alone)).__name__ == "RobertaModel"
    assert RobertaConfig.from_pretrained(alone).hidden_size == 18
    model = pyroberta.from_pretrained(beside)
    model.save_pretrained(tmp_path / "new")
    np.testing.assert_allclose(state(tmp_path / "new"), want, atol=1e-5)


@pytest.mark.parametrize("named", ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"])
def test_a_head_of_its_own(named, base, tmp_path):
    rng = np.random.default_rng(2)
    head = {
        "SEQ_CLS": {"classifier.dense": (18, 18), "classifier.out_proj": (5, 18)},
        "TOKEN_CLS": {"classifier": (5, 18)},
        "QUESTION_ANS": {"qa_outputs": (2, 18)},
    }[named]
    saved = {}
    for layer, shape in head.items():
        saved[f"{layer}.weight"] = rng.standard_normal(shape).astype(np.float32)
        saved[f"{layer}.bias"] = rng.standard_normal(shape[0]).astype(np.float32)
    tensors = draw(prefix="roberta.") | {OUTER + name: tensor for name, tensor in saved.items()}
    adapter = write(tmp_path / "adapter", tensors, base=str(base), task_type=named)
    folder = merged(base, draw(), tmp_path / "merged", 2.0)
    own = {f"roberta.{n}": t for n, t in load_file(folder / "model.safetensors").items()}
    save_file(own | saved, folder / "model.safetensors")
    model = pyroberta.from_pretrained(adapter, **FLOAT64)
    cls = type(model)
    assert cls.__name__ in (
        "RobertaForSequenceClassification",
        "RobertaForTokenClassification",
        "RobertaForQuestionAnswering",
    )
    labels = {} if named == "QUESTION_ANS" else {"num_labels": 5}
    want = cls.from_pretrained(folder, **FLOAT64, **labels)(IDS)
    for name in ("logits", "start_logits"):
        if hasattr(want, name):
            np.testing.assert_allclose(getattr(model(IDS), name), getattr(want, name), atol=1e-12)


def test_biases_and_norms_in_the_bases_place(base, tmp_path):
    ones = np.ones(18, np.float32)
    tensors = draw([LAYERS[0]]) | {
        f"{OUTER}{LAYERS[0]}.base_layer.bias": ones,
        f"{OUTER}embeddings.LayerNorm.modules_to_save.weight": 2 * ones,
    }
    adapter = write(tmp_path / "adapter", tensors, bias="lora_only")
    model = pyroberta.RobertaModel.from_pretrained(base, adapter=adapter)
    model.save_pretrained(tmp_path / "new")
    new = load_file(tmp_path / "new/model.safetensors")
    np.testing.assert_array_equal(new[f"{LAYERS[0]}.bias"], ones)
    np.testing.assert_array_equal(new["embeddings.LayerNorm.weight"], 2 * ones)


REFUSED = [
    ({"peft_type": "IA3"}, r"peft_type in .*adapter_config\.json must be 'LORA', not 'IA3'"),
    ({"peft_type": None}, "peft_type in .* not None"),
    ({"use_dora": True}, "use_dora in .* must be absent, null or false, not True"),
    ({"use_qalora": True}, "use_qalora in .* not True"),
    ({"layer_replication": [[0, 2]]}, r"layer_replication in .* not \[\[0, 2\]\]"),
    ({"alora_invocation_tokens": [1]}, r"alora_invocation_tokens in .* not \[1\]"),
    ({"trainable_token_indices": [1]}, r"trainable_token_indices in .* not \[1\]"),
    ({"target_parameters": ["x"]}, r"target_parameters in .* not \['x'\]"),
    ({"a_key_of_tomorrow": 1}, "a_key_of_tomorrow in .* not 1"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights in .* not 'pissa'"),
    ({"init_lora_weights": "olora"}, "init_lora_weights in .* not 'olora'"),
    ({"init_lora_weights": [1]}, r"init_lora_weights in .* not \[1\]"),
    ({"lora_alpha": "8"}, "lora_alpha in .* must be a number, not '8'"),
    ({"lora_alpha": float("nan")}, "lora_alpha in .* must be a number, not nan"),
    ({"use_rslora": 1}, "use_rslora in .* must be true or false, not 1"),
    ({"r": 4}, "r in .* must be 3, the rank of base_model"),
    ({"r": [3]}, "r in .* must be 3"),
    ({"alpha_pattern": [1]}, r"alpha_pattern in .* must be an object, not \[1\]"),
    ({"alpha_pattern": {"(": 1}}, "alpha_pattern in .* must have regular expressions"),
    ({"alpha_pattern": {"(a+)+": 1}}, "alpha_pattern in .* must have simple patterns"),
    ({"alpha_pattern": {".*" * 9: 1}}, "alpha_pattern in .* must have simple patterns"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_kinds_that_are_refused(config, message, base, tmp_path):
    adapter = write(tmp_path / "adapter", draw(), **config)
    with pytest.raises(CheckpointError, match=message):
        state(base, adapter=adapter)


def changed(**changes):
    """Adapters with one tensor that does not fit."""
    tensors = draw([LAYERS[0]])
    at = OUTER + LAYERS[0]
    for name, value in changes.items():
        kind = {"a": "lora_A.weight", "b": "lora_B.weight"}.get(name, name)
        key = f"{at}.{kind}" if name in ("a", "b") else OUTER + name
        if value is None:
            tensors.pop(key)
        else:
            tensors[key] = np.zeros(value, np.float32)
    return tensors


MISFITS = [
    (changed(b=None), r"must hold both lora_A\.weight and lora_B\.weight of encoder"),
    (changed(a=None), "must have an A of rank 1 or more"),
    (changed(a=(3, 17)), r"must fit encoder\.layer\.0\.attention\.self\.query of the model"),
    (changed(b=(17, 3)), r"\[17, 3\] in .* which has \[18, 18\]"),
    (changed(b=(18, 2)), "must fit encoder"),
    (changed(b=(18,)), "must fit encoder"),
    (changed(**{"encoder.layer.7.output.dense.lora_A.weight": (3, 29)}), "must hold both|no enc"),
    (changed(**{"embeddings.LayerNorm.weight": (17,)}), r"LayerNorm\.weight .* which has \[18\]"),
    (changed(**{"encoder.layer.0.output.dense.lora_magnitude_vector": (18,)}), "a plain LoRA"),
    (changed(**{"x.token_adapter.trainable_tokens_delta": (1, 18)}), "a plain LoRA"),
    (changed(**{"encoder.strange.weight": (2,)}), r"extra: encoder\.strange\.weight"),
]


@pytest.mark.parametrize(("tensors", "message"), MISFITS)
def test_tensors_that_do_not_fit(tensors, message, base, tmp_path):
    adapter = write(tmp_path / "adapter", tensors)
    with pytest.raises(CheckpointError, match=message):
        state(base, adapter=adapter)


def test_a_layer_that_the_model_lacks(base, tmp_path):
    layer = "encoder.layer.9.attention.self.query"
    adapter = write(tmp_path / "adapter", draw([layer]))
    with pytest.raises(CheckpointError, match=rf"which has no {layer}\.weight"):
        state(base, adapter=adapter)


def test_a_tied_word_table_is_not_adapted(tmp_path):
    config = RobertaConfig.from_hf(TINY)
    path = tmp_path / "base"
    pyroberta.RobertaForMaskedLM.from_config(config, seed=0).save_pretrained(path)
    adapter = write(tmp_path / "adapter", draw(["embeddings.word_embeddings"], prefix="roberta."))
    with pytest.raises(CheckpointError, match=r"must not adapt embeddings\.word_embeddings"):
        pyroberta.from_pretrained(path, adapter=adapter)


def test_folders_that_are_none(base, tmp_path):
    with pytest.raises(InputError, match=r"adapter must be a folder with adapter_config\.json"):
        state(base, adapter=base)
    empty = write(tmp_path / "adapter", draw())
    (empty / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold adapter_model\.safetensors or"):
        state(base, adapter=empty)
    alone = write(tmp_path / "alone", draw(), base="org/missing")
    with pytest.raises(FileNotFoundError, match=r"an adapter alone, whose base 'org/missing'"):
        pyroberta.from_pretrained(alone)
    nameless = write(tmp_path / "nameless", draw())
    with pytest.raises(CheckpointError, match=r"base_model_name_or_path in .* must name"):
        pyroberta.from_pretrained(nameless)
    beside = tmp_path / "beside"
    shutil.copytree(base, beside)
    write(beside, draw())
    twice = write(tmp_path / "twice", draw(), base=str(beside))
    with pytest.raises(CheckpointError, match="without an adapter of its own"):
        pyroberta.from_pretrained(twice)


def test_a_packed_folder_takes_no_adapter(base, tmp_path):
    pyroberta.from_pretrained(base).save_packed(tmp_path / "packed")
    adapter = write(tmp_path / "adapter", draw())
    with pytest.raises(InputError, match="adapter must be for a checkpoint, not for a packed"):
        pyroberta.from_pretrained(tmp_path / "packed", adapter=adapter)
