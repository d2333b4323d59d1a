"""A word table in fewer bits: the values, the heads that do not read it, the packed file."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from checkpoint.packing import (
    ALL,
    CAUSAL,
    LM,
    bits,
    edit_config,
    edit_header,
    folder_of,
    needs_core,
    refused,
)
from support import TINY, bfloat16, draw_tensors, to_safetensors, write_folder

import pyroberta
from pyroberta import CheckpointError, ConfigError, RobertaForCausalLM, RobertaForMaskedLM
from pyroberta.checkpoint import EMBEDDING_TYPES, PACKED_FILE, PackedSource, Table, narrow
from pyroberta.kernels import has_core

WORDS = "embeddings.word_embeddings.weight"
WIDE = {"hidden_size": 192, "intermediate_size": 64}  # three groups of columns


def narrowed(table: Any, embedding_type: str) -> Any:
    """What the values become, told from the definition."""
    table = np.asarray(table, np.float32)
    if embedding_type == "float16":
        return table.astype(np.float16).astype(np.float32)
    parts = []
    for begin in range(0, table.shape[1], 64):
        part = table[:, begin : begin + 64]
        scale = np.abs(part).max(axis=1, keepdims=True) / np.float32(127)
        parts.append(np.rint(part / np.where(scale > 0, scale, 1)) * scale)
    return np.concatenate(parts, axis=1).astype(np.float32)


@pytest.mark.parametrize("embedding_type", EMBEDDING_TYPES)
@pytest.mark.parametrize("cols", [1, 18, 63, 64, 65, 192, 200])
@pytest.mark.parametrize("rows", [1, 37, 2049])
def test_values_are_the_nearest_that_there_are(rows, cols, embedding_type):
    rng = np.random.default_rng(rows * cols)
    table = rng.standard_normal((rows, cols)).astype(np.float32)
    table *= np.exp(2 * rng.standard_normal((rows, 1))).astype(np.float32)
    table[rows // 2] = 0
    table[0, 0] = 60000  # a column far above the others
    made = narrow(Table(table), embedding_type, WORDS)
    at = rng.integers(0, rows, 50)
    expected = narrowed(table, embedding_type)
    np.testing.assert_array_equal(made.rows(at), expected[at])
    np.testing.assert_array_equal(made.array(), expected)
    np.testing.assert_array_equal(made.rows(slice(0, 3), np.float64), expected[:3])
    assert made.shape == (rows, cols)
    if embedding_type == "int8":
        for begin in range(0, cols, 64):
            part = slice(begin, begin + 64)
            scale = np.abs(table[:, part]).max(axis=1, keepdims=True) / 127
            error = np.abs(expected[:, part].astype(np.float64) - table[:, part])
            assert (error <= scale * (0.5 + 1e-4)).all()


@pytest.mark.parametrize("embedding_type", EMBEDDING_TYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_in_its_own_row_alone(value, embedding_type):
    table = np.ones((5, 130), np.float32)
    table[3, 70] = value
    rows = narrow(Table(table), embedding_type, WORDS).rows(slice(None))
    assert not np.isfinite(rows[3, 64:128]).all()
    assert np.isfinite(np.delete(rows, 3, axis=0)).all()
    assert np.isfinite(rows[3, :64]).all()


@pytest.mark.parametrize("largest", [1e-45, 3e-44, 1e-42, 1e-38, 3e38, 3.4028235e38])
def test_int8_of_numbers_at_the_ends_of_float32(largest):
    table = np.array([[largest, -largest, largest / 2, 0]], np.float32)
    with np.errstate(over="raise"):
        made = narrow(Table(table), "int8", WORDS).rows(slice(None))
    # Half a scale, and where the scale is subnormal the rounding of that.
    bound = float(table[0, 0]) / 127 * (0.5 + 1e-4) + 127 * 0.7e-45
    np.testing.assert_allclose(made.astype(np.float64), table, rtol=0, atol=bound)


def tensors_of(folder: Path) -> dict[str, Any]:
    return dict(safetensors.numpy.load_file(folder / "model.safetensors"))


def with_words(folder: Path, change: Any) -> str:
    """Replace the word table of a checkpoint; gives its name there."""
    tensors = tensors_of(folder)
    name = next(name for name in tensors if name.endswith(WORDS))
    tensors[name] = change(tensors[name])
    (folder / "model.safetensors").write_bytes(to_safetensors(tensors))
    return name


STORED = {"F32": np.asarray, "F16": lambda w: w.astype(np.float16), "BF16": bfloat16}
VALUES = {
    "F32": np.asarray,
    "F16": lambda w: w.astype(np.float16).astype(np.float32),
    "BF16": lambda w: (bfloat16(w).astype(np.uint32) << 16).view(np.float32),
}
OF_TEXTS = [name for name in ALL if name not in (LM, CAUSAL)]


@pytest.mark.parametrize("embedding_type", EMBEDDING_TYPES)
@pytest.mark.parametrize(
    ("architecture", "stored"),
    [*((name, "F32") for name in OF_TEXTS), ("base", "F16"), ("base", "BF16")],
)
def test_a_model_computes_with_the_narrowed_table(architecture, stored, embedding_type, tmp_path):
    """The bits of a model whose file has these values, on both backends."""
    folder = folder_of(tmp_path / "a", architecture, **WIDE)
    other = folder_of(tmp_path / "b", architecture, **WIDE)
    with_words(folder, STORED[stored])
    with_words(other, lambda words: narrowed(VALUES[stored](words), embedding_type))
    cls = ALL[architecture]
    for backend in ("native", "reference"):
        made = cls.from_pretrained(folder, embedding_type=embedding_type, backend=backend)
        assert made.embedding_type == embedding_type
        assert bits(made) == bits(cls.from_pretrained(other, backend=backend))
        if stored == "F32" or embedding_type == "int8":
            assert bits(made) != bits(cls.from_pretrained(folder, backend=backend))


@pytest.mark.parametrize("compute_type", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("embedding_type", EMBEDDING_TYPES)
@pytest.mark.parametrize("cls", [RobertaForMaskedLM, RobertaForCausalLM])
def test_a_tied_head_multiplies_by_the_table_of_the_file(
    cls, embedding_type, compute_type, tmp_path
):
    """The bits of an untied model: the narrowed table below, the whole one as its decoder."""
    hf = TINY | WIDE | {"architectures": [cls.__name__]}
    tensors = draw_tensors(hf, LM)
    folder = write_folder(tmp_path / "a", hf, tensors)
    name = next(name for name in tensors if name.endswith(WORDS))
    untied = tensors | {
        name: narrowed(tensors[name], embedding_type),
        "lm_head.decoder.weight": tensors[name],
    }
    other = write_folder(tmp_path / "b", hf | {"tie_word_embeddings": False}, untied)
    options = {"compute_type": compute_type}
    made = cls.from_pretrained(folder, embedding_type=embedding_type, **options)
    expected = bits(cls.from_pretrained(other, **options))
    assert bits(made) == expected
    if has_core():
        made.save_packed(tmp_path / "packed")
        for mapped in (True, False):
            packed = pyroberta.from_pretrained(tmp_path / "packed", memory_map=mapped)
            assert packed.embedding_type == embedding_type
            assert bits(packed) == expected


@needs_core
@pytest.mark.parametrize("embedding_type", EMBEDDING_TYPES)
@pytest.mark.parametrize("architecture", OF_TEXTS)
def test_a_packed_folder_keeps_the_narrowed_table_alone(architecture, embedding_type, tmp_path):
    folder = folder_of(tmp_path / "a", architecture, vocab_size=5000, **WIDE)
    plain = pyroberta.from_pretrained(folder, compute_type="int8")
    made = pyroberta.from_pretrained(folder, compute_type="int8", embedding_type=embedding_type)
    plain.save_packed(tmp_path / "plain")
    made.save_packed(tmp_path / "packed")
    table = 5000 * 192
    kept = {"float16": 2 * table, "int8": table + 4 * 3 * 5000}[embedding_type]
    sizes = [(tmp_path / name / PACKED_FILE).stat().st_size for name in ("plain", "packed")]
    assert sizes[0] - sizes[1] == pytest.approx(4 * table - kept, abs=8192)
    for options in ({}, {"memory_map": False}, {"embedding_type": embedding_type}):
        packed = pyroberta.from_pretrained(tmp_path / "packed", **options)
        assert packed.embedding_type == embedding_type
        assert bits(packed) == bits(made)
        assert bits(pickle.loads(pickle.dumps(packed))) == bits(made)
    PackedSource(tmp_path / "packed").verify()
    other = next(name for name in EMBEDDING_TYPES if name != embedding_type)
    with pytest.raises(CheckpointError, match=f"embedding_type must be '{embedding_type}' or None"):
        pyroberta.from_pretrained(tmp_path / "packed", embedding_type=other)
    with pytest.raises(CheckpointError, match="must be read from the checkpoint"):
        packed.save_pretrained(tmp_path / "again")
    # A packed file that has the whole table is narrowed where it is opened.
    late = pyroberta.from_pretrained(tmp_path / "plain", embedding_type=embedding_type)
    assert bits(late) == bits(made)


def drop_scales(header: dict[str, Any]) -> None:
    del header[f"table.{WORDS}.scales"]


def another_name(header: dict[str, Any]) -> None:
    header["table.embeddings.position_embeddings.weight"] = header.pop(f"table.{WORDS}")


def scales_of_another_shape(header: dict[str, Any]) -> None:
    header[f"table.{WORDS}.scales"]["shape"].reverse()


def codes_as_bytes(header: dict[str, Any]) -> None:
    header[f"table.{WORDS}"]["dtype"] = "U8"


def codes_in_a_row(header: dict[str, Any]) -> None:
    rows, cols = header[f"table.{WORDS}"]["shape"]
    header[f"table.{WORDS}"]["shape"] = [rows * cols]


@needs_core
@pytest.mark.parametrize(
    "change", [drop_scales, another_name, scales_of_another_shape, codes_as_bytes, codes_in_a_row]
)
def test_a_packed_file_with_half_a_table_is_refused(change, tmp_path):
    folder = folder_of(tmp_path / "a", "base", **WIDE)
    pyroberta.from_pretrained(folder, embedding_type="int8").save_packed(tmp_path / "b")
    edit_header(tmp_path / "b", change)
    refused(tmp_path / "b", "must hold its narrowed word table as|must not be|byte")


def fewer_rows(header: dict[str, Any]) -> None:
    entry = header[f"table.{WORDS}"]
    rows, cols = entry["shape"]
    entry["shape"] = [rows // 2, cols]
    entry["data_offsets"][1] = entry["data_offsets"][0] + rows // 2 * cols * 2


def other_columns(header: dict[str, Any]) -> None:
    header[f"table.{WORDS}"]["shape"].reverse()


def in_a_packed_tensor_too(header: dict[str, Any]) -> None:
    shapes = json.loads(header["__metadata__"]["shapes"])
    shapes[WORDS] = header.pop(WORDS)["shape"]
    header["__metadata__"]["shapes"] = json.dumps(shapes)
    header["packed.embeddings"] = header.pop("lm_head.dense.weight")


@needs_core
@pytest.mark.parametrize("change", [fewer_rows, other_columns, in_a_packed_tensor_too])
def test_a_narrowed_table_beside_another_is_refused_unless_it_is_of_its_shape(change, tmp_path):
    hf = TINY | WIDE | {"architectures": ["RobertaForMaskedLM"]}
    folder = write_folder(tmp_path / "a", hf, draw_tensors(hf, LM))
    pyroberta.from_pretrained(folder, embedding_type="float16").save_packed(tmp_path / "b")
    edit_header(tmp_path / "b", change)
    refused(tmp_path / "b", "must hold|must be|must not|byte")


@needs_core
def test_a_narrowed_table_that_is_read_is_there_once(tmp_path):
    folder = folder_of(tmp_path / "a", "base", vocab_size=20000, **WIDE)
    options: dict[str, Any] = {"embedding_type": "int8", "memory_map": False}
    pyroberta.from_pretrained(folder, compute_type="int8", **options).save_packed(tmp_path / "b")
    table = 20000 * 192
    for path, taken in ((folder, options), (tmp_path / "b", {"memory_map": False})):
        tracemalloc.start()
        model = pyroberta.from_pretrained(path, **taken)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert table < held < 1.5 * table
        del model


@needs_core
@pytest.mark.parametrize("embedding_type", EMBEDDING_TYPES)
def test_a_narrowed_table_of_other_sizes_is_refused(embedding_type, tmp_path):
    folder = folder_of(tmp_path / "a", "base", **WIDE)
    pyroberta.from_pretrained(folder, embedding_type=embedding_type).save_packed(tmp_path / "b")
    for key, value in (("vocab_size", 36), ("vocab_size", 38), ("hidden_size", 198)):
        edit_config(tmp_path / "b", **{key: value})
        refused(tmp_path / "b", "word_embeddings|hidden_size")


@pytest.mark.parametrize("value", ["float32", "bfloat16", "", 8, ["int8"], True])
@pytest.mark.parametrize("cls", [*ALL.values()][:3])
def test_another_type_is_refused(cls, value, tmp_path):
    with pytest.raises(ConfigError, match="embedding_type must be 'float16' or 'int8', or None"):
        cls.from_pretrained(tmp_path, embedding_type=value)


def test_float16_says_what_it_does_not_reach(tmp_path):
    folder = folder_of(tmp_path, "base")
    with_words(folder, lambda words: words * np.float32(1e5))
    with pytest.raises(CheckpointError, match="must be within float16, up to 65504"):
        pyroberta.from_pretrained(folder, embedding_type="float16")
    assert pyroberta.from_pretrained(folder, embedding_type="int8").embedding_type == "int8"


@pytest.mark.parametrize("embedding_type", EMBEDDING_TYPES)
def test_new_and_trained_models_are_copied_with_it(embedding_type, tmp_path):
    folder = folder_of(tmp_path / "a", "base", **WIDE)
    made = pyroberta.from_pretrained(folder, embedding_type=embedding_type)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other.embedding_type == embedding_type
        assert bits(other) == bits(made)
    made._opened = None  # as a model that was made without a folder
    assert bits(pickle.loads(pickle.dumps(made))) == bits(made)
    ids = [[0, 5, 6, 2]]
    training = made(ids, training=True, rng=np.random.default_rng(0)).last_hidden_state
    assert not np.array_equal(training, made(ids).last_hidden_state)
    made.save_pretrained(tmp_path / "b")  # the weights of the file, whole
    again = pyroberta.from_pretrained(tmp_path / "b")
    assert bits(again) == bits(pyroberta.from_pretrained(folder))
