"""Comparisons: layouts and names of other implementations, missing steps, errors by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from trust.port import Port

import pyroberta
from pyroberta import InputError
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.trust import compare


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("kind", ["words", "next words", "labels", "new gelu"])
def test_our_own_compute_types_differ_by_their_rounding_alone(
    examples: Any, kind: str, backend: str, compute_type: str
) -> None:
    example = examples[kind]
    model = type(example.model).from_pretrained(
        example.folder, backend=backend, compute_type=compute_type
    )
    report = compare(
        example.trace(), example.trace(model), model=example.model, number_type=compute_type
    )
    assert report.first is None, report


def test_a_step_that_is_missing_is_computed_from_those_before_it(
    example: Any, port: dict[str, Any]
) -> None:
    hidden = ["embeddings.norm", "block.0.output.norm", "block.1.output.norm", "logits"]
    report = compare(example.trace(), {name: port[name] for name in hidden}, model=example.model)
    assert report.first is None
    assert [step.name for step in report.steps] == hidden
    assert len(report.missing) == len(port) - len(hidden)
    wrong = Port(example.sizes, example.tensors, "unbiased variance")
    steps = wrong(example.ids, example.mask, example.types)
    report = compare(example.trace(), {name: steps[name] for name in hidden}, model=example.model)
    assert report.first is not None
    assert report.first.name == "block.0.output.norm"


LAYOUTS: dict[str, Any] = {
    "tokens first": lambda x, b: x.transpose(1, 0, 2),
    "rows joined": lambda x, b: x.reshape(-1, x.shape[-1]),
    "transposed": lambda x, b: x.transpose(0, 2, 1),
    "heads split": lambda x, b: x.reshape(4, 12, 4, 12).transpose(0, 2, 1, 3),
    "heads split, after the tokens": lambda x, b: x.reshape(4, 12, 4, 12),
    "heads split and transposed": lambda x, b: x.reshape(4, 12, 4, 12).transpose(0, 2, 3, 1),
    "heads and rows joined": lambda x, b: (
        x.reshape(4, 12, 4, 12).transpose(0, 2, 1, 3).reshape(16, 12, 12)
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_told_by_shape(example: Any, port: dict[str, Any], layout: str) -> None:
    for name in ("query", "key", "value", "context"):
        step = f"block.0.attention.{name}"
        port[step] = LAYOUTS[layout](port[step], 4)
    report = compare(example.trace(), port, model=example.model)
    assert report.first is None, report
    assert {step.layout for step in report.steps} == {"", layout}


@pytest.mark.parametrize(
    ("change", "layout"),
    [
        (lambda w: w.reshape(16, 12, 12), "heads and rows joined"),
        (lambda w: w.transpose(1, 0, 2, 3), "heads first"),
        (lambda w: w.transpose(0, 2, 1, 3), "heads after the queries"),
    ],
)
def test_layouts_of_attentions(
    example: Any, port: dict[str, Any], change: Any, layout: str
) -> None:
    for name in ("scores", "weights"):
        port[f"block.1.attention.{name}"] = change(port[f"block.1.attention.{name}"])
    report = compare(example.trace(), port, model=example.model)
    assert report.first is None, report
    found = {step.name: step.layout for step in report.steps if step.layout}
    assert set(found) == {"block.1.attention.scores", "block.1.attention.weights"}
    assert layout in found.values()


def test_every_kind_of_file_is_read(example: Any, port: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    example.trace(output=mine)
    np.savez(tmp_path / "theirs.npz", **port)
    save_file(port, tmp_path / "theirs.safetensors")
    for name, values in port.items():
        np.save(tmp_path / f"{name}.npy", values)
    reports = [compare(mine, tmp_path / name) for name in ("theirs.npz", "theirs.safetensors", ".")]
    for report in reports:
        assert report.first is None
        assert len(report.steps) == len(port)
        assert report.steps == reports[0].steps


TRANSFORMERS = {
    "embeddings.word": "roberta.embeddings.word_embeddings",
    "embeddings.sum": "roberta.embeddings.LayerNorm:input",
    "embeddings.norm": "roberta.embeddings.LayerNorm",
    "block.0.attention.query": "roberta.encoder.layer.0.attention.self.query",
    "block.1.attention.context": "roberta.encoder.layer.1.attention.output.dense:input",
    "block.1.output.norm": "roberta.encoder.layer.1.output.LayerNorm",
    "head.norm": "lm_head.layer_norm",
    "logits": "logits",
}
FAIRSEQ = {
    "embeddings.norm": "encoder.sentence_encoder.layernorm_embedding",
    "block.0.attention.key": "encoder.sentence_encoder.layers.0.self_attn.k_proj",
    "block.0.output.norm": "encoder.sentence_encoder.layers.0.final_layer_norm",
    "block.1.intermediate.product": "encoder.sentence_encoder.layers.1.fc1",
    "logits": "encoder.lm_head",
}
BUMBLEBEE = {
    "embeddings.norm": "embedder.norm",
    "block.0.attention.value": "encoder.blocks.0.self_attention.value",
    "block.0.attention.norm": "encoder.blocks.0.self_attention_norm",
    "block.1.output.norm": "encoder.blocks.1.output_norm",
    "logits": "language_modeling_head.output",
}
ONNX = {
    "embeddings.norm": "/roberta/embeddings/LayerNorm/LayerNormalization_output_0",
    "block.0.attention.query": "/roberta/encoder/layer.0/attention/self/query/Add_output_0",
    "block.1.attention.weights": "/roberta/encoder/layer.1/attention/self/Softmax_output_0",
    "block.1.output.norm": "/roberta/encoder/layer.1/output/LayerNorm/Add_1_output_0",
    "logits": "logits",
}


@pytest.mark.parametrize("names", [TRANSFORMERS, FAIRSEQ, BUMBLEBEE, ONNX])
def test_the_names_of_known_libraries(
    example: Any, port: dict[str, Any], names: dict[str, str]
) -> None:
    theirs = {theirs: port[mine] for mine, theirs in names.items()}
    theirs |= {"something.else": np.ones(3), "another": np.arange(3)}
    report = compare(example.trace(), theirs, model=example.model)
    assert {step.name: step.theirs for step in report.steps} == names
    assert report.first is None


def test_a_map_of_ones_own_with_parts(example: Any, port: dict[str, Any], tmp_path: Path) -> None:
    theirs: dict[str, Any] = {"out": port["logits"]}
    for n in range(2):
        parts = [port[f"block.{n}.attention.{name}"] for name in ("query", "key", "value")]
        theirs[f"layers.{n}.qkv"] = np.concatenate(parts, axis=-1)
    names = {
        f"block.{{n}}.attention.{name}": f"layers.{{n}}.qkv[{i}/3]"
        for i, name in enumerate(("query", "key", "value"))
    }
    file = tmp_path / "map.json"
    file.write_text(json.dumps({**names, "logits": ["no", "out"]}))
    report = compare(example.trace(), theirs, model=example.model, names=str(file))
    assert len(report.steps) == 7
    assert report.first is None
    assert report.steps[1].theirs == "layers.0.qkv[1/3]"


def test_a_report_is_text_and_json(example: Any) -> None:
    port = Port(example.sizes, example.tensors, "scale missing")
    steps = port(example.ids, example.mask, example.types)
    report = compare(example.trace(), steps, model=example.model)
    text = str(report)
    assert "First step that differs by more than rounding: block.0.attention.scores" in text
    assert "reads     block.0.attention.query, block.0.attention.key" in text
    assert "perhaps   not divided by sqrt(head_size) = 3.464" in text
    said = json.loads(json.dumps(report.to_dict()))
    assert said["first"] == "block.0.attention.scores"
    assert len(said["steps"]) == len(report.steps)


def test_the_number_type_is_that_of_most_steps(example: Any, port: dict[str, Any]) -> None:
    """Not of masked zeros, and not of the one step that is computed in another."""
    wide = {name: values.copy() for name, values in port.items()}
    wide["block.0.attention.weights"] = wide["block.0.attention.weights"].astype(np.float64)
    wide["block.0.attention.weights"] *= 1 + 1e-12
    assert compare(example.trace(), wide, model=example.model).number_type == "float32"
    hidden = 48
    ids = np.full((1, 4000), 5)
    config = pyroberta.RobertaConfig(
        num_blocks=1,
        hidden_size=hidden,
        num_attention_heads=4,
        intermediate_size=8,
        vocab_size=20,
        max_positions=4010,
    )
    model = pyroberta.RobertaModel.from_config(config, seed=0)
    mask = np.ones((1, 4000), int)
    mask[0, :3000] = 0
    model = pyroberta.RobertaForTokenClassification.from_config(config, seed=0)
    steps = ["embeddings.*", "block.0.*.norm", "block.0.*.output"]
    mine = pyroberta.trace(model, ids, mask, steps=steps)
    theirs = dict(mine)
    theirs["block.0.attention.norm"] = theirs["block.0.attention.norm"] * np.float32(1.001)
    report = compare(mine, theirs, model=model)
    assert report.number_type == "float32"
    assert report.first is not None
    assert report.first.name == "block.0.attention.norm"


def test_names_of_steps_behind_a_prefix(example: Any, port: dict[str, Any]) -> None:
    port["block.0.attention.norm"] = port["block.0.attention.norm"] * np.float32(1.5)
    for prefix in ("model.", "a/b/", ""):
        theirs = {prefix + name: values for name, values in port.items()}
        report = compare(example.trace(), theirs, model=example.model)
        assert report.missing == ()
        assert report.first is not None
        assert report.first.name == "block.0.attention.norm"


@pytest.mark.parametrize("kind", ["words", "next words"])
def test_rows_and_batches_without_a_token(examples: Any, kind: str) -> None:
    example = examples[kind]
    mask = example.mask.copy()
    mask[2] = 0
    for ids, seen in ((example.ids, mask), (example.ids[:0], mask[:0])):
        mine = pyroberta.trace(example.model, ids, seen)
        np.testing.assert_array_equal(mine["logits"], example.model(ids, seen).logits)
        assert compare(mine, dict(mine), model=example.model).first is None


def test_metadata_in_another_hand(example: Any, tmp_path: Path) -> None:
    """JSON with other spaces and another order of keys is of the same inputs."""
    file = tmp_path / "t.safetensors"
    trace = example.trace(output=file)
    metadata = dict(trace.metadata)
    for key in ("config", "inputs"):
        said = json.loads(metadata[key])
        metadata[key] = json.dumps(dict(reversed(said.items())), separators=(",", ":"))
    save_file(dict(trace), tmp_path / "theirs.safetensors", metadata)
    assert compare(trace, tmp_path / "theirs.safetensors").first is None


def test_a_map_stands_before_the_steps_own_names(example: Any, port: dict[str, Any]) -> None:
    theirs = {**port, "raw": port["logits"] + 1, "q0": port["block.0.attention.query"] + 1}
    for names in (
        {"logits": "raw"},
        {"logits": ["nothing", "raw"]},
        {"block.0.attention.query": "q0"},
    ):
        report = compare(example.trace(), theirs, model=example.model, names=names)
        assert report.first is not None
        assert report.first.name == next(iter(names))
    refused: list[tuple[Any, str]] = [
        ({"block.9.attention.query": "q"}, "names must name steps of the model"),
        ({"logit": "raw"}, "names must name steps of the model"),
        ({"logits": 3}, "'logits' in names must be a name or a list of names"),
        ({"logits": "scalar[0/2]"}, "must be a part of its last axis"),
    ]
    for wrong, error in refused:
        with pytest.raises(InputError, match=error):
            compare(
                example.trace(),
                {**theirs, "scalar": np.float32(3)},
                model=example.model,
                names=wrong,
            )
