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
from pyroberta import CheckpointError, InputError
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.trust import compare


@pytest.fixture
def example(examples: Any) -> Any:
    return examples["words"]


@pytest.fixture
def port(example: Any) -> dict[str, Any]:
    return Port(example.sizes, example.tensors)(example.ids, example.mask, example.types)


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
        (lambda w: w.transpose(0, 1, 3, 2), "keys before queries"),
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


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            {"block.0.attention.query": np.zeros((4, 12, 47))},
            r"block.0.attention.query must be of s",
        ),
        (
            {"block.1.attention.scores": np.zeros((4, 3, 12, 12))},
            r"attention.scores must be of sha",
        ),
        ({"logits": np.zeros((4, 12, 90), np.int64)}, "logits must be floats, not int64"),
        ({"head.norm": np.zeros((4, 12, 48), bool)}, "head.norm must be floats, not bool"),
    ],
)
def test_arrays_that_do_not_fit_are_named(
    example: Any, port: dict[str, Any], change: dict[str, Any], error: str
) -> None:
    with pytest.raises(InputError, match=error):
        compare(example.trace(), {**port, **change}, model=example.model)


def test_what_is_not_of_the_same_model_is_refused(examples: Any, tmp_path: Path) -> None:
    example = examples["words"]
    mine = example.trace()
    files = [tmp_path / f"{n}.safetensors" for n in range(3)]
    pyroberta.trace(example.model, example.ids[:2], example.mask[:2], output=files[0])
    examples["new gelu"].trace(output=files[1])
    examples["next words"].trace(output=files[2])
    for file, what in zip(files, ("ids, mask", "configuration", "architecture"), strict=True):
        with pytest.raises(InputError, match=f"theirs must be a trace of the same {what}"):
            compare(mine, file, model=example.model)
    other = type(example.model).from_config(example.model.config, seed=9)
    with pytest.raises(CheckpointError, match="model must have the weights of the trace"):
        compare(mine, {}, model=other)
    made = pyroberta.trace(other, example.ids, example.mask)
    with pytest.raises(InputError, match="model must be given"):
        compare(made, dict(made))


@pytest.mark.parametrize(
    ("theirs", "error"),
    [
        ({"a": np.ones(3)}, "theirs must have arrays of steps by a known name, not a"),
        ({}, "theirs must have arrays of steps by a known name, not none"),
    ],
)
def test_names_that_nobody_knows(example: Any, theirs: Any, error: str) -> None:
    with pytest.raises(InputError, match=error):
        compare(example.trace(), theirs, model=example.model)


def test_files_of_other_kinds(example: Any, tmp_path: Path) -> None:
    mine = example.trace()
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "logits.npy").write_bytes(b"no array")
    for name, error in (
        ("text.npz", "must be a .npz or safetensors file"),
        ("cut.npz", "must be a file that np.savez wrote, not one that is cut"),
        ("empty", "must be a folder of .npy files"),
        ("bad", "must be an array that np.save wrote"),
    ):
        with pytest.raises(InputError, match=error):
            compare(mine, tmp_path / name, model=example.model)
    with pytest.raises(FileNotFoundError):
        compare(mine, tmp_path / "nothing", model=example.model)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"number_type": "float31"}, "number_type must be one of float64, float32"),
        ({"runs": 1}, "runs must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_options_out_of_range(example: Any, port: dict[str, Any], options: Any, error: str) -> None:
    with pytest.raises(InputError, match=error):
        compare(example.trace(), port, model=example.model, **options)


def test_numbers_that_are_not_finite_are_told(example: Any, port: dict[str, Any]) -> None:
    for value in (np.nan, np.inf, -np.inf):
        port["block.0.intermediate.product"] = port["block.0.intermediate.product"].copy()
        port["block.0.intermediate.product"][0, 3, 5] = value
        with np.errstate(all="ignore"):
            report = compare(example.trace(), port, model=example.model)
        assert report.first is not None
        assert report.first.name == "block.0.intermediate.product"
        assert report.causes == ("numbers that are not finite",)


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
