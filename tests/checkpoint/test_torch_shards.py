"""``pytorch_model.bin``: in shards, beside other files, saved and packed anew."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from checkpoint.packing import needs_core, pack
from checkpoint.torch_folders import BIN, FORMATS, QUERY, answer, bin_folder, every_format
from checkpoint.torch_writer import saved
from support import TINY, draw_tensors, make_folder

import pyroberta
from pyroberta import CheckpointError
from pyroberta.checkpoint import open_checkpoint

INDEX = f"{BIN}.index.json"


@pytest.fixture(params=FORMATS)
def sharded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint of two shards of ``torch.save``."""
    folder = make_folder(tmp_path / "model", "base")
    (folder / "model.safetensors").unlink()
    tensors = draw_tensors(TINY, "base")
    weight_map = {
        name: f"pytorch_model-0000{1 + i // 20}-of-00002.bin" for i, name in enumerate(tensors)
    }
    for shard in set(weight_map.values()):
        part = {name: a for name, a in tensors.items() if weight_map[name] == shard}
        (folder / shard).write_bytes(FORMATS[request.param](saved(part)))
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def change(folder: Path, weight_map: Mapping[str, str | None]) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] |= weight_map
    index["weight_map"] = {n: s for n, s in index["weight_map"].items() if s is not None}
    (folder / INDEX).write_text(json.dumps(index))


def test_shards_give_the_model_that_one_file_gives(sharded, tmp_path):
    assert answer(sharded) == answer(make_folder(tmp_path / "a", "base"))
    assert len({t.file for t in open_checkpoint(sharded).values()}) == 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({QUERY: "../one.bin"}, r"must name shards that stand beside it, not '../one.bin'"),
        ({QUERY: "/dev/zero"}, "must name shards that stand beside it, not '/dev/zero'"),
        ({QUERY: "three.bin"}, r"must name shards that exist, not 'three.bin'"),
        ({QUERY: "pytorch_model-00001-of-00002.bin"}, f"must hold {QUERY}, which {INDEX} says"),
        (
            {QUERY: None},
            f"must list all of pytorch_model-00002-of-00002.bin, not leave out {QUERY}",
        ),
        ({QUERY: "config.json"}, r"config.json must be a state dict saved by torch.save, not one"),
    ],
)
def test_an_index_of_shards_is_as_strict_as_that_of_safetensors(sharded, entries, message):
    change(sharded, entries)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(sharded)


def test_safetensors_are_read_where_both_are(tmp_path):
    folder = make_folder(tmp_path, "base")
    (folder / BIN).write_bytes(b"no state dict")
    (folder / INDEX).write_text("{}")
    assert {t.file.path.name for t in open_checkpoint(folder).values()} == {"model.safetensors"}


@every_format
def test_a_model_is_saved_as_safetensors(form, tmp_path):
    folder = bin_folder(tmp_path / "a", "base", form)
    pyroberta.from_pretrained(folder).save_pretrained(tmp_path / "b")
    assert {file.name for file in (tmp_path / "b").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    assert answer(tmp_path / "b") == answer(folder)
    pyroberta.from_pretrained(folder).save_pretrained(folder)  # beside it: it is read from then on
    assert {t.file.path.name for t in open_checkpoint(folder).values()} == {"model.safetensors"}


@needs_core
@pytest.mark.parametrize("compute_type", ["float32", "bfloat16", "int8"])
@every_format
def test_a_model_is_packed_to_the_bit(form, compute_type, tmp_path):
    wanted = pack(
        make_folder(tmp_path / "a", "base"), tmp_path / "a_packed", compute_type=compute_type
    )
    packed = pack(
        bin_folder(tmp_path / "b", "base", form), tmp_path / "b_packed", compute_type=compute_type
    )
    names = [p.name for p in (tmp_path / "a_packed").iterdir() if p.suffix == ".safetensors"]
    assert len(names) == 1
    assert (packed / names[0]).read_bytes() == (wanted / names[0]).read_bytes()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_file_is_refused(make, tmp_path):
    folder = make_folder(tmp_path, "base")
    (folder / "model.safetensors").unlink()
    make(folder / BIN)
    with pytest.raises(CheckpointError, match=f"{BIN} must be a regular file"):
        open_checkpoint(folder)


def test_a_pointer_of_git_lfs_is_named(tmp_path):
    folder = make_folder(tmp_path, "base")
    (folder / "model.safetensors").unlink()
    (folder / BIN).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n")
    with pytest.raises(CheckpointError, match=f"{BIN} must be the file itself, not a git-lfs poi"):
        open_checkpoint(folder)
