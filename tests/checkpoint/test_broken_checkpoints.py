"""Checkpoints that are cut, lie, or lack something: refused by name, and nothing is made up."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import TINY, draw_tensors, make_folder, to_safetensors, write_folder

import pyroberta
from pyroberta import CheckpointError

QUERY = "roberta.encoder.layer.1.attention.self.query.weight"
INDEX = "model.safetensors.index.json"


def load(path: Path, **options: Any) -> Any:
    return pyroberta.RobertaModel.from_pretrained(path, **options)


def test_one_error_lists_every_missing_extra_and_misshapen_tensor_with_both_shapes(tmp_path):
    tensors = draw_tensors(TINY, "base")
    del tensors[QUERY]
    del tensors["roberta.pooler.dense.bias"]
    tensors["roberta.encoder.layer.2.output.dense.bias"] = np.zeros(18, np.float32)
    tensors["roberta.embeddings.extra"] = np.zeros((2, 3), np.float32)
    tensors["roberta.embeddings.LayerNorm.weight"] = np.zeros(17, np.float32)
    tensors["roberta.encoder.layer.0.output.dense.weight"] = np.zeros((29, 18), np.float32)
    message = (
        "checkpoint must hold exactly the tensors of the model; "
        "missing: encoder.layer.1.attention.self.query.weight [18, 18]; pooler.dense.bias [18] | "
        "extra: encoder.layer.2.output.dense.bias [18]; embeddings.extra [2, 3] | "
        "misshapen: embeddings.LayerNorm.weight must be [18], not [17]; "
        "encoder.layer.0.output.dense.weight must be [18, 29], not [29, 18]"
    )
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        load(write_folder(tmp_path, TINY, tensors))


@pytest.mark.parametrize("name", sorted(draw_tensors(TINY | {"num_hidden_layers": 1}, "base")))
def test_no_tensor_may_be_missing_or_of_another_shape(name, tmp_path):
    tensors = draw_tensors(TINY | {"num_hidden_layers": 1}, "base")
    hf = TINY | {"num_hidden_layers": 1}
    if name.endswith("pooler.dense.weight"):
        load(write_folder(tmp_path / "a", hf, {k: v for k, v in tensors.items() if k != name}))
    elif "word_embeddings" not in name:  # without it no prefix can be found: another message
        with pytest.raises(CheckpointError, match=f"missing: {name.removeprefix('roberta.')} "):
            load(
                write_folder(tmp_path / "a", hf, {k: v for k, v in tensors.items() if k != name}),
                add_pooling_layer=True,
            )
    short = tensors | {name: tensors[name][:-1]}
    with pytest.raises(CheckpointError, match=f"misshapen: {name.removeprefix('roberta.')} must"):
        load(write_folder(tmp_path / "b", hf, short))


def test_integer_weights_are_refused_by_name(tmp_path):
    tensors = draw_tensors(TINY, "base")
    tensors[QUERY] = tensors[QUERY].astype(np.int64)
    message = f"{QUERY} in .* must be one of F64, F32, F16, BF16, not I64"
    with pytest.raises(CheckpointError, match=message):
        load(write_folder(tmp_path, TINY, tensors))
    tensors = draw_tensors(TINY, "base")
    words = "roberta.embeddings.word_embeddings.weight"
    tensors[words] = tensors[words].astype(np.uint8)
    for mapped in (True, False):
        with pytest.raises(CheckpointError, match=f"{words} in .* must be one of .*, not U8"):
            load(write_folder(tmp_path, TINY, tensors), memory_map=mapped)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 0.001, 0.02, 0.3, 0.5, 0.9, -4, -1], ids=str)
def test_a_file_that_was_cut_is_refused(keep, tmp_path):
    """Within the length, within the header, and within the tensors."""
    path = make_folder(tmp_path, "base")
    file = path / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    message = "must be a safetensors file, not one that is cut or malformed"
    with pytest.raises(CheckpointError, match=message):
        load(path)


def test_a_file_cut_after_it_was_opened_is_refused_by_ordinary_reads(tmp_path):
    from pyroberta.checkpoint import open_checkpoint

    path = make_folder(tmp_path, "base")
    tensor = open_checkpoint(path)["roberta.pooler.dense.weight"]
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[: tensor.offset + 10])
    with pytest.raises(CheckpointError, match=r"must hold 1296 bytes of .*, not 10: it was cut"):
        tensor.read()
    with pytest.raises(CheckpointError, match=r"must hold all of roberta.pooler.dense.weight"):
        tensor.map()


def entry(begin: int, end: int, shape: str = "[2]", dtype: str = "F32") -> str:
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'


@pytest.mark.parametrize(
    "header",
    [
        "",
        "[]",
        "{",
        "not json",
        f'{{"a":{entry(0, 8)},"a":{entry(0, 8)}}}',
        f'{{"a":{entry(0, 8)},"b":{entry(4, 12)}}}',
        f'{{"a":{entry(0, 2**62)}}}',
        f'{{"a":{entry(8, 0)}}}',
        f'{{"a":{entry(-8, 0)}}}',
        f'{{"a":{entry(0, 8, "[4]")}}}',
        f'{{"a":{entry(0, 8, "[4294967296, 4294967296, 2]")}}}',
        f'{{"a":{entry(0, 8, "[-1, -2]")}}}',
        f'{{"a":{entry(0, 8, dtype="F33")}}}',
        '{"a":3}',
        '{"a":{"dtype":"F32"}}',
        '{"__metadata__":3}',
        "[" * 5000,
    ],
    ids=lambda text: text[:40] or "empty",
)
def test_a_header_that_lies_is_refused(header, tmp_path):
    path = make_folder(tmp_path, "base")
    data = to_safetensors({"a": np.zeros(2, np.float32)}, header)
    (path / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model.safetensors must "):
        load(path)


def test_a_header_longer_than_its_file_is_refused_before_it_is_read(tmp_path):
    path = make_folder(tmp_path, "base")
    (path / "model.safetensors").write_bytes((2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="must be a safetensors file"):
        load(path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    path = make_folder(tmp_path, "base")
    (path / "model.safetensors").unlink()
    (path / "model.safetensors").mkdir()
    with pytest.raises(CheckpointError, match=r"model.safetensors must be a regular file"):
        load(path)


def test_a_folder_without_weights_says_what_it_must_hold(tmp_path):
    path = make_folder(tmp_path, "base")
    (path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold model.safetensors or .*index.json$"):
        load(path)


def test_a_file_under_the_name_of_another_format_is_refused(tmp_path):
    path = make_folder(tmp_path, "base")
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin must be a state dict saved by"):
        load(path)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A checkpoint of two shards, and another file beside its folder."""
    tensors = draw_tensors(TINY, "base")
    path = make_folder(tmp_path / "model", "base")
    shutil.copy(path / "model.safetensors", tmp_path / "outside.safetensors")
    (path / "model.safetensors").unlink()
    names = list(tensors)
    shards = {"one.safetensors": names[:9], "two.safetensors": names[9:]}
    for shard, part in shards.items():
        (path / shard).write_bytes(to_safetensors({name: tensors[name] for name in part}))
    weight_map = {name: shard for shard, part in shards.items() for name in part}
    (path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    load(path)
    return path


def change(path: Path, **weight_map: Any) -> None:
    index = json.loads((path / INDEX).read_text())
    index["weight_map"] |= weight_map
    (path / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    "shard",
    [
        "../outside.safetensors",
        "sub/one.safetensors",
        "./one.safetensors",
        "/etc/hostname",
        "..",
        ".",
        "",
        "one.safetensors/",
    ],
)
def test_an_index_may_not_name_a_file_elsewhere(sharded, shard):
    change(sharded, **{QUERY: shard})
    message = f"{INDEX} must name shards that stand beside it, not {shard!r}"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load(sharded)


@pytest.mark.parametrize("shard", ["three.safetensors", "a\0b", "\ud800", "None", "x" * 5000])
def test_an_index_that_names_an_absent_shard_is_refused(sharded, shard):
    change(sharded, **{QUERY: shard})
    said = "must be JSON, not what" if shard == "\ud800" else "must name shards that exist, not '"
    with pytest.raises(CheckpointError, match=f"{INDEX} .*{said}"):
        load(sharded)


def test_an_index_must_agree_with_its_shards_in_both_directions(sharded):
    change(sharded, **{QUERY: "one.safetensors"})
    with pytest.raises(CheckpointError, match=f"one.safetensors must hold {QUERY}, which model"):
        load(sharded)
    index = json.loads((sharded / INDEX).read_text())
    del index["weight_map"][QUERY]
    (sharded / INDEX).write_text(json.dumps(index))
    message = f"{INDEX} must list all of two.safetensors, not leave out {QUERY}"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load(sharded)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"weight_map": []}',
        '{"weight_map": null}',
        "{}",
        "[" * 100_000,
        '{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}',
    ],
    ids=lambda text: text[:40] or "empty",
)
def test_a_broken_index_is_refused_by_its_path(sharded, text):
    (sharded / INDEX).write_text(text)
    with pytest.raises(CheckpointError, match=f"{INDEX} must be an index with a weight_map"):
        load(sharded)
