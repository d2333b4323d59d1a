"""Packed files that are cut, lie, or belong to something else: refused by name, never a crash."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint.packing import (
    LM,
    bits,
    edit_config,
    edit_header,
    edit_shapes,
    needs_core,
    pack,
    refused,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import make_folder

import pyroberta
from pyroberta import CheckpointError, kernels
from pyroberta.checkpoint import PACKED_FILE, PackedSource

pytestmark = needs_core

BLOCK = "packed.encoder.layer.1"
HEAD, DENSE = "packed.lm_head.decoder.weight", "packed.lm_head.dense.weight"
QUERY = "encoder.layer.1.attention.self.query.weight"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packed")
    return pack(make_folder(root / "a", LM), root / "b", compute_type="bfloat16")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A packed masked LM to be broken."""
    return Path(shutil.copytree(original, tmp_path / "packed"))


def edit_metadata(folder: Path, **changes: Any) -> None:
    """``None`` takes an entry out."""

    def change(header: dict[str, Any]) -> None:
        metadata = header["__metadata__"] | changes
        header["__metadata__"] = {k: v for k, v in metadata.items() if v is not None}

    edit_header(folder, change)


def test_a_header_written_again_as_it_was_is_fine(folder, original):
    """What is refused below is so for its own reason."""
    edit_header(folder, lambda header: None)
    assert bits(pyroberta.from_pretrained(folder)) == bits(pyroberta.from_pretrained(original))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": None},
            "must be a file that pyroberta pack wrote, with the format 'pyr.*, not N",
        ),
        ({"format": "pt"}, "must be a file that pyroberta pack wrote, with the .*, not 'pt'$"),
        ({"layout": "2"}, "must have layout version 1, not 2: pack the model again"),
        ({"layout": None}, "must have layout version 1, not None"),
        ({"compute_type": None}, "must say compute_type in its metadata, not leave it out"),
        ({"compute_type": "fp8"}, "must be packed for one of float32, .*, int8, not for 'fp8'"),
        ({"family": None}, "must say family in its metadata"),
        (
            {"family": "bfloat16 in panels of 3"},
            "the layout .* not for bfloat16 in panels of 3: pack",
        ),
        ({"sha256": None}, "must say sha256 in its metadata"),
        ({"sha256": ""}, "sha256 in .* must be a checksum, not ''"),
        ({"shapes": None}, "must say shapes in its metadata"),
        ({"shapes": "{"}, "shapes in .* must be JSON, not what it is"),
        ({"shapes": "[" * 100_000}, "shapes in .* must be JSON, not what it is"),
        ({"shapes": "[]"}, "shapes in .* must be an object, not list"),
        ({"shapes": f'{{"{QUERY}": 18}}'}, "must give one or two sizes for 'encoder.layer.1"),
        ({"shapes": f'{{"{QUERY}": [-18, 18]}}'}, "must give one or two sizes for"),
        ({"shapes": f'{{"{QUERY}": [18, true]}}'}, "must give one or two sizes for"),
        ({"shapes": f'{{"{QUERY}": [18.0, 18]}}'}, "must give one or two sizes for"),
        ({"shapes": f'{{"{QUERY}": [1e999, 18]}}'}, "must give one or two sizes for"),
        ({"shapes": f'{{"{QUERY}": [18, {2**63}]}}'}, "must give one or two sizes for"),
        ({"shapes": f'{{"{QUERY}": [18, {"9" * 5000}]}}'}, "must be JSON"),
        ({"shapes": f'{{"{QUERY}": [18, 18, 1]}}'}, "must give one or two sizes for"),
        ({"shapes": "{}"}, "must hold exactly the tensors of the model; missing: encoder.layer.0"),
        (
            {"shapes": '{"pooler.dense.bias": [18]}'},
            "must hold pooler.dense.bias in a packed .* none",
        ),
        ({"shapes": 3}, "must be a safetensors file, not one that is cut or malformed"),
        ({"shapes": ["a"]}, "must be a safetensors file, not one that is cut or malformed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_metadata_that_lie_are_refused(changes, message, folder):
    edit_metadata(folder, **changes)
    refused(folder, message)


def test_a_file_of_another_compute_type_or_family_is_refused_by_every_build(folder, isa):
    edit_metadata(folder, compute_type="bfloat16x3", family="bfloat16x3 in panels of 7")
    refused(folder, "must be packed for .* in panels of .*, not for bfloat16x3 in panels of 7")
    refused(folder, "compute_type must be 'bfloat16x3', for which", compute_type="bfloat16")


def test_another_safetensors_file_under_the_name_is_refused(tmp_path):
    folder = make_folder(tmp_path, LM)
    (folder / "model.safetensors").rename(folder / PACKED_FILE)
    refused(folder, "must be a file that pyroberta pack wrote, with the format 'pyr.*, not None")
    (folder / PACKED_FILE).unlink()
    (folder / PACKED_FILE).mkdir()
    refused(folder, "model.packed.safetensors must be a regular file")


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 4095, 4096, 0.3, 0.5, 0.9, -1], ids=str)
def test_a_file_that_was_cut_is_refused(keep, folder):
    data = (folder / PACKED_FILE).read_bytes()
    cut = int(len(data) * keep) if isinstance(keep, float) else keep
    (folder / PACKED_FILE).write_bytes(data[:cut])
    refused(folder, "must be a safetensors file, not one that is cut or malformed")


def test_a_file_cut_after_it_was_opened_is_refused(folder):
    for mapped, message in ((True, "must hold all of encoder.layer.1: "), (False, "it was cut")):
        source = PackedSource(folder, memory_map=mapped)
        data = (folder / PACKED_FILE).read_bytes()
        (folder / PACKED_FILE).write_bytes(data[: source._packed["encoder.layer.1"].offset + 64])
        with pytest.raises(CheckpointError, match=message):
            source.packed("encoder.layer.1")
        (folder / PACKED_FILE).write_bytes(data)


def reshape(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].update(changes)


def move_boundary(by: int) -> Callable[[dict[str, Any]], None]:
    """Give the second block ``by`` bytes of the first one's."""

    def change(header: dict[str, Any]) -> None:
        first, second = header["packed.encoder.layer.0"], header[BLOCK]
        middle = second["data_offsets"][0] - by
        first["data_offsets"][1] = second["data_offsets"][0] = middle
        for entry in (first, second):
            entry["shape"] = [entry["data_offsets"][1] - entry["data_offsets"][0]]

    return change


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    return lambda header: header.update({new: header.pop(old)})


def test_packed_tensors_that_are_not_what_the_kernels_use_are_refused(folder, original):
    size = PackedSource(original)._packed["encoder.layer.1"].size
    whole = rf"{BLOCK} in .* must be U8 in whole lines of 64 bytes, not "
    of = "encoder.layer.[01] must be packed with hidden_size 18, intermediate_size 29 and no cross"
    for change, message in (
        (reshape(BLOCK, dtype="F32", shape=[size // 4]), whole + rf"F32 \[{size // 4}\]"),
        (reshape(BLOCK, shape=[2, size // 2]), whole + rf"U8 \[2, {size // 2}\]"),
        (move_boundary(4), "must be U8 in whole lines of 64 bytes, not "),
        (move_boundary(-size), whole.replace(BLOCK, "packed.encoder.layer.[01]")),
        (move_boundary(64), of + rf" attention: memory must be {size} bytes, not {size - 64}"),
        (move_boundary(-64), of + rf" attention: memory must be {size} bytes, not {size + 64}"),
        (rename(BLOCK, "packed.other"), f"must hold {BLOCK[7:]}.* in a packed tensor .* in none"),
        (rename("lm_head.bias", QUERY), f"must hold {QUERY} in a packed .* not beside it too"),
        (rename("lm_head.bias", "other"), r"missing: lm_head.bias \[37\] | extra: other"),
    ):
        edit_header(folder, change)
        refused(folder, message)
        shutil.copy(original / PACKED_FILE, folder)
    edit_header(folder, lambda header: None, spaces=16)  # data that begin amid a line
    refused(folder, "must be U8 in whole lines of 64 bytes, not U8 .* at byte ")


def test_a_packed_tensor_that_ends_amid_a_line_is_refused(folder):
    def cut(header: dict[str, Any]) -> None:
        end = header[HEAD]["data_offsets"][1]
        header[HEAD]["data_offsets"][1] = end - 4
        header[HEAD]["shape"][0] -= 4
        header["rest"] = {"dtype": "U8", "shape": [4], "data_offsets": [end - 4, end]}

    edit_header(folder, cut)
    refused(folder, f"{HEAD} in .* must be U8 in whole lines of 64 bytes, not U8 ")


def test_a_packed_head_of_another_size_is_refused(tmp_path):
    folder = make_folder(tmp_path / "a", LM, vocab_size=200)
    out = pack(folder, tmp_path / "b", compute_type="int8")

    def swap(header: dict[str, Any]) -> None:
        header[HEAD], header[DENSE] = header[DENSE], header[HEAD]

    edit_header(out, swap)
    refused(out, r"the packed language-model head must be \[18, 18\]: memory must be uint8\[")


def test_a_file_without_the_packed_head_is_the_same_model(folder, original):
    for name in (HEAD, DENSE):
        edit_header(folder, rename(name, name.replace("lm_head", "other")))
    assert bits(pyroberta.from_pretrained(folder)) == bits(pyroberta.from_pretrained(original))


def test_sizes_that_no_file_could_hold_are_refused_before_anything_is_allocated(folder):
    """The file says that its blocks are so large, and so does the configuration."""
    edit_shapes(
        folder,
        lambda shapes: {
            name: [2**20 if n == 29 else n for n in shape] for name, shape in shapes.items()
        },
    )
    edit_config(folder, intermediate_size=2**20)
    refused(
        folder, r"encoder.layer.0 must be packed with .* 1048576 .*: memory must be \d{8,} bytes"
    )


def test_the_checksum_tells_of_a_change_anywhere(folder):
    PackedSource(folder).verify()
    file = folder / PACKED_FILE
    data = file.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    family = data.index(b" in panels of")
    for at in (family, begin - 1, begin, begin + 1000, len(data) - 1):
        changed = bytearray(data)
        changed[at] = ord("\t") if at == begin - 1 else data[at] ^ 1  # white space stays such
        file.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"must have the checksum \w{64}, not \w{64}: it"):
            PackedSource(folder).verify()
    file.write_bytes(data)
    PackedSource(folder).verify()


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_file_with_changed_bytes_is_a_model_or_an_error_of_ours(data, folder, original):
    whole = (original / PACKED_FILE).read_bytes()
    changed = bytearray(whole)
    length = int.from_bytes(whole[:8], "little")
    end = data.draw(st.sampled_from([8, 8 + length, len(whole)]))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    (folder / PACKED_FILE).write_bytes(changed)
    try:
        model = pyroberta.from_pretrained(folder, memory_map=data.draw(st.booleans()))
    except (CheckpointError, pyroberta.ConfigError):
        return
    with np.errstate(all="ignore"):
        model([[0, 5, 6, 2]])


def test_a_file_of_another_build_never_reaches_the_kernels(folder, isa):
    """Each build refuses, or is of the family that the file was packed for."""
    family = PackedSource(folder).family
    build = kernels.core().find_kernels(isa)
    if kernels.layout_family(build, "bfloat16") == family:
        pyroberta.from_pretrained(folder)
    else:
        refused(folder, f"not for {family}")
