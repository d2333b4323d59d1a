"""What a comparison refuses, by name, and numbers that are not finite."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import pyroberta
from pyroberta import CheckpointError, InputError
from pyroberta.trust import compare


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


def test_weights_that_are_no_numbers(example: Any, port: dict[str, Any], tmp_path: Path) -> None:
    """A step that gives NaN by itself is right where theirs is NaN too, and wrong elsewhere."""
    shutil.copytree(example.folder, tmp_path / "model")
    tensors = {f"roberta.{name}": one for name, one in example.tensors.items()}
    tensors = {n.replace("roberta.lm_head", "lm_head"): one.copy() for n, one in tensors.items()}
    for value in (np.nan, np.inf, -np.inf):
        tensors["roberta.encoder.layer.0.attention.self.query.weight"][3, 5] = value
        save_file(tensors, tmp_path / "model" / "model.safetensors", {"format": "pt"})
        model = type(example.model).from_pretrained(
            tmp_path / "model", backend="reference", compute_type="float64"
        )
        with np.errstate(all="ignore"):
            mine = pyroberta.trace(model, example.ids, example.mask, example.types)
            assert compare(mine, dict(mine), model=model).first is None
            report = compare(mine, port, model=model)
        assert report.first is not None
        assert report.first.name == "block.0.attention.query"
        assert report.causes == ("finite where the step gives numbers that are not",)
        json.dumps(report.to_dict(), allow_nan=False)


def test_a_trace_in_memory_is_checked_as_a_file_is(example: Any) -> None:
    other = pyroberta.trace(example.model, example.ids + 1, example.mask)
    with pytest.raises(InputError, match="theirs must be a trace of the same ids"):
        compare(example.trace(), other, model=example.model)
    assert compare(example.trace(), example.trace(), model=example.model).first is None
    others: list[Any] = [None, [1, 2], 3]
    for nothing in others:
        with pytest.raises(InputError, match="theirs must be a path or a mapping"):
            compare(example.trace(), nothing, model=example.model)


SPOILED = {
    "without a layout": lambda said: said.pop("layout"),
    "without a checksum": lambda said: said.pop("checksum"),
    "of another layout": lambda said: said.update(layout="ragged"),
    "of no layout": lambda said: said.update(layout="flat"),
    "of no architecture": lambda said: said.update(architecture="for_nothing"),
    "of more blocks": lambda said: _change(said, "config", num_hidden_layers=3),
    "of large ids": lambda said: _change(said, "inputs", input_ids=[[2**70] * 12] * 4),
    "of ids out of range": lambda said: _change(said, "inputs", input_ids=[[90] * 12] * 4),
    "of positions out of range": lambda said: _change(said, "inputs", position_ids=[[40] * 12] * 4),
    "of a narrow mask": lambda said: _change(said, "inputs", attention_mask=[[1] * 11] * 4),
    "of causal text": lambda said: _change(said, "inputs", causal="no"),
    "of a head mask": lambda said: _change(said, "inputs", attention_head_mask=[[1, 1, 1, 1]]),
    "of deep JSON": lambda said: said.update(inputs="[" * 100_000),
}


def _change(said: dict[str, str], key: str, **values: Any) -> None:
    said[key] = json.dumps(json.loads(said[key]) | values)


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_metadata_are_refused(example: Any, tmp_path: Path, how: str) -> None:
    trace = example.trace()
    metadata = dict(trace.metadata)
    SPOILED[how](metadata)
    file = tmp_path / "spoiled.safetensors"
    save_file(dict(trace), file, metadata)
    if how == "of more blocks":  # steps may be left out: the checkpoint tells
        with pytest.raises(InputError, match="a trace of the same configuration"):
            compare(file, trace, model=example.folder)
        return
    with pytest.raises(InputError, match="must be a whole trace"):
        compare(file, trace, model=example.model)


def test_a_name_in_a_trace_is_a_folder_alone(example: Any, tmp_path: Path) -> None:
    trace = example.trace()
    metadata = {**trace.metadata, "checkpoint": "some/name"}
    save_file(dict(trace), tmp_path / "t.safetensors", metadata)
    with pytest.raises(FileNotFoundError, match="model must be the checkpoint of the trace"):
        compare(tmp_path / "t.safetensors", dict(trace))
