"""``pytorch_model.bin``: the numbers of every layout, and the same model as from safetensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint.torch_folders import BIN, FORMATS, answer, bin_folder, every_format
from checkpoint.torch_writer import (
    HOOKS,
    ORDERED,
    V2,
    Call,
    Global,
    Persistent,
    Saved,
    View,
    archive,
    dumps,
    saved,
)
from support import (
    HEADS,
    TINY,
    bfloat16,
    draw_tensors,
    make_folder,
    write_folder,
)

from pyroberta import CheckpointError
from pyroberta.checkpoint import open_checkpoint
from pyroberta.checkpoint.source import Table
from pyroberta.checkpoint.torch_file import StridedTensor, read_torch_file


def read_bytes(file: Path, data: bytes) -> dict[str, Any]:
    file.write_bytes(data)
    return read_torch_file(file)


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@every_format
def test_each_dtype_is_read_to_the_bit_under_each_protocol(form, protocol, tmp_path, rng):
    values = rng.standard_normal((3, 5))
    arrays = {
        "double": values,
        "float": values.astype(np.float32),
        "half": values.astype(np.float16),
        "bfloat16": bfloat16(values),
        "one": values.astype(np.float32)[0, :1],
        "no axis": np.array(2.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "long": np.arange(4),
        "int": np.arange(4, dtype=np.int32),
        "short": np.arange(4, dtype=np.int16),
        "char": np.arange(4, dtype=np.int8),
        "byte": np.arange(4, dtype=np.uint8),
        "bool": np.ones(4, np.bool_),
    }
    write: Any = FORMATS[form]
    tensors = read_bytes(tmp_path / BIN, write(saved(arrays), protocol))
    assert [t.dtype for t in tensors.values()] == (
        ["F64", "F32", "F16", "BF16", *["F32"] * 3, "I64", "I32", "I16", "I8", "U8", "BOOL"]
    )
    assert {name: t.shape for name, t in tensors.items()} == {n: a.shape for n, a in arrays.items()}
    for name, tensor in tensors.items():
        raw = np.empty(tensor.size, np.uint8)
        tensor.read_into(raw)
        assert raw.tobytes() == arrays[name].tobytes()
        if tensor.dtype[0] in "FB" and tensor.dtype != "BOOL":
            assert tensor.read_stored().tobytes() == arrays[name].tobytes()
            assert tensor.map().tobytes() == arrays[name].tobytes()
        else:
            with pytest.raises(CheckpointError, match=f"{name} in .* must be one of F64, F32, "):
                tensor.read()


VIEWS = {
    "transposed": View("0", (6, 4), (1, 6)),
    "a column": View("0", (4,), (6,), 2),
    "some columns": View("0", (4, 3), (6, 1), 1),
    "every other row": View("0", (2, 6), (12, 1)),
    "repeated": View("0", (3, 6), (0, 1), 6),
    "one for all": View("0", (2, 3), (0, 0), 23),
    "diagonal": View("0", (4,), (7,)),
    "three axes": View("0", (2, 2, 3), (1, 12, 4), 1),
    "overlapping": View("0", (5, 4), (1, 1)),
}
IN_ORDER = {
    "all": View("0", (4, 6), (6, 1)),
    "again": View("0", (4, 6), (6, 1)),
    "some rows": View("0", (2, 6), (6, 1), 12),
    "other axes": View("0", (2, 2, 6), (12, 6, 1)),
    "axes of one": View("0", (1, 4, 1, 6), (99, 6, 10**17, 1)),
    "no axis": View("0", (), (), 7),
    "nothing": View("0", (3, 0), (1, 1), 24),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16])
@pytest.mark.parametrize("name", [*VIEWS, *IN_ORDER])
@every_format
def test_a_view_of_a_storage_has_the_elements_of_its_strides(form, name, dtype, tmp_path):
    storage = (np.arange(24) - 7).astype(dtype)
    view = (VIEWS | IN_ORDER)[name]
    tensor = read_bytes(tmp_path / BIN, FORMATS[form](Saved({"0": storage}, {"a": view})))["a"]
    wanted = np.lib.stride_tricks.as_strided(
        storage[view.offset :],
        view.shape,
        [
            0 if n == 1 else s * storage.itemsize
            for n, s in zip(view.shape, view.strides, strict=True)
        ],
    )
    assert tensor.contiguous == (name in IN_ORDER)
    assert isinstance(tensor, StridedTensor) == (name in VIEWS)
    raw = np.empty(tensor.size, np.uint8)
    tensor.read_into(raw)
    assert raw.tobytes() == wanted.tobytes()
    if dtype != np.int16:
        for array in (tensor.read_stored(), tensor.map()):
            assert array.dtype == dtype
            assert array.shape == view.shape
            assert array.tobytes() == wanted.tobytes()
        assert tensor.read(np.float64).ravel().tolist() == wanted.ravel().tolist()


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("architecture", HEADS)
@every_format
def test_a_model_is_the_one_that_safetensors_give(form, architecture, mapped, tmp_path):
    wanted = answer(make_folder(tmp_path / "a", architecture))
    folder = bin_folder(tmp_path / "b", architecture, form)
    assert answer(folder, memory_map=mapped) == wanted


@pytest.mark.parametrize("dtype", [np.float64, np.float16, "bfloat16"])
@every_format
def test_a_model_of_another_dtype_is_the_one_that_safetensors_give(form, dtype, tmp_path):
    tensors = {
        name: bfloat16(array) if dtype == "bfloat16" else array.astype(dtype)
        for name, array in draw_tensors(TINY, "base").items()
    }
    hf = TINY | {"architectures": ["RobertaModel"]}
    wanted = answer(write_folder(tmp_path / "a", hf, tensors))
    folder = write_folder(tmp_path / "b", hf, {})
    (folder / "model.safetensors").unlink()
    (folder / BIN).write_bytes(FORMATS[form](saved(tensors)))
    assert answer(folder) == wanted


@pytest.mark.parametrize("options", [{}, {"backend": "reference"}, {"compute_type": "bfloat16"}])
@every_format
def test_weights_that_stand_in_another_order_are_gathered(form, options, tmp_path):
    """Transposed products, tables and biases that are columns: where a copy is not asked for."""
    wanted = answer(make_folder(tmp_path / "a", "base"), **options)
    folder = make_folder(tmp_path / "b", "base")
    (folder / "model.safetensors").unlink()
    storages, views = {}, {}
    for i, (name, array) in enumerate(draw_tensors(TINY, "base").items()):
        if array.ndim == 2:
            storages[str(i)] = array.T.ravel()
            views[name] = View(str(i), array.shape, (1, len(array)))
        else:
            storages[str(i)] = np.repeat(array, 2)
            views[name] = View(str(i), array.shape, (2,))
    (folder / BIN).write_bytes(FORMATS[form](Saved(storages, views)))
    assert answer(folder, **options) == wanted


@every_format
def test_a_tied_head_and_buffers_of_positions_stand_in_the_file_as_torch_saves_them(form, tmp_path):
    head = "for_masked_language_modeling"
    wanted = answer(make_folder(tmp_path / "a", head))
    state = saved(
        draw_tensors(TINY, head) | {"roberta.embeddings.position_ids": np.arange(22)[None]}
    )
    views = dict(state.views)
    views["lm_head.decoder.weight"] = views["roberta.embeddings.word_embeddings.weight"]
    views["lm_head.decoder.bias"] = views["lm_head.bias"]
    folder = make_folder(tmp_path / "b", head)
    (folder / "model.safetensors").unlink()
    (folder / BIN).write_bytes(FORMATS[form](Saved(state.storages, views)))
    assert answer(folder) == wanted
    tensors = open_checkpoint(folder)
    words = tensors["roberta.embeddings.word_embeddings.weight"]
    assert tensors["lm_head.decoder.weight"].offset == words.offset
    assert tensors["roberta.embeddings.position_ids"].dtype == "I64"


def test_a_table_stays_in_the_mapped_archive(tmp_path):
    tensor = read_bytes(tmp_path / BIN, saved({"a": np.ones((3, 4), np.float32)}).zip())["a"]
    array = tensor.map()
    assert not array.flags.owndata
    assert not array.flags.writeable


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_a_table_at_an_odd_place_of_an_older_file_stays_mapped_too(dtype, tmp_path):
    wanted = np.arange(12, dtype=dtype).reshape(3, 4)
    found = []
    for name in ("a", "aa", "aaa", "aaaa"):  # one byte later each
        tensor = read_bytes(tmp_path / BIN, saved({name: wanted}).legacy())[name]
        array = tensor.map()
        assert not array.flags.owndata
        found.append(array.flags.aligned)
        table = Table(array, tensor.dtype)
        assert table.rows(np.array([2, 0])).tolist() == wanted[[2, 0]].tolist()
        for rows in (table.rows(slice(1, 3)), tensor.read(), table.array()):
            assert rows.flags.aligned
            assert rows.dtype == np.float32
        assert table.array().tolist() == wanted.tolist()
        assert table.is_float32
    assert not all(found)


@pytest.mark.parametrize("stored", ["F16", "BF16", "F64"])
def test_another_thread_may_widen_a_table_between_two_looks_at_it(stored):
    wide = np.arange(6, dtype=np.float32).reshape(2, 3)
    raw = {"F16": wide.astype(np.float16), "BF16": bfloat16(wide), "F64": wide.astype(float)}[
        stored
    ]

    class Widened(Table):
        """At each look but the first, another thread has replaced the bits."""

        looks = 0

        @property
        def _bits(self):
            self.looks += 1
            return (raw, stored) if self.looks == 1 else (wide, "F32")

        @_bits.setter
        def _bits(self, value):
            pass

    assert Widened(raw, stored).array().tolist() == wide.tolist()


def wrapped_tensor(wrap: Any, tmp_path: Path) -> Any:
    value = saved({"a": np.arange(6, dtype=np.float32)}).value(legacy=False, wrap=wrap)
    entries = saved({"a": np.arange(6, dtype=np.float32)}).entries(dumps(value))
    return read_bytes(tmp_path / BIN, archive(entries))["a"].read().tolist()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: Call(Global("torch._utils", "_rebuild_parameter"), (t, True, HOOKS)),
        lambda t: Call(Global("torch._utils", "_rebuild_parameter"), (t, False, HOOKS)),
        lambda t: Call(Global("torch._utils", "_rebuild_tensor"), t.arguments[:4]),
        lambda t: Call(V2, (*t.arguments[:4], True, Call(ORDERED, ([],)))),
    ],
    ids=["parameter", "frozen parameter", "before 0.4", "hooks of Python 2"],
)
def test_the_other_ways_in_which_torch_saves_a_tensor(wrap, tmp_path):
    assert wrapped_tensor(wrap, tmp_path) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("cls", ["torch", "torch.storage"])
@pytest.mark.parametrize(
    ("name", "dtype", "width"),
    [
        ("float32", "F32", 4),
        ("uint16", "U16", 2),
        ("float8_e4m3fn", "F8_E4M3", 1),
        ("bool", "BOOL", 1),
    ],
)
def test_a_type_that_has_no_storage_of_its_own(cls, name, dtype, width, tmp_path):
    state = saved({"a": np.arange(48, dtype=np.uint8)})
    storage = Persistent(("storage", Global(cls, "UntypedStorage"), "0", "cpu", 48))
    count = 24 // width
    place = (storage, 24 // width, (count,), (1,), False, HOOKS, Global("torch", name))
    value = {"a": Call(Global("torch._utils", "_rebuild_tensor_v3"), place)}
    tensor = read_bytes(tmp_path / BIN, archive(state.entries(dumps(value))))["a"]
    raw = np.empty(tensor.size, np.uint8)
    tensor.read_into(raw)
    assert (tensor.dtype, tensor.shape, raw.tolist()) == (dtype, (count,), list(range(24, 48)))


def test_a_storage_within_another_in_an_older_file(tmp_path):
    state = saved({"a": np.arange(6, dtype=np.float32)})
    name = ("storage", Global("torch", "FloatStorage"), "0", "cuda:1", 6)
    views = {key: Persistent((*name, view)) for key, view in (("a", None), ("b", ("7", 2, 3)))}
    value = {k: Call(V2, (v, 1, (2,), (1,), False, HOOKS)) for k, v in views.items()}
    tensors = read_bytes(tmp_path / BIN, state.legacy_of(dumps(value)))
    assert tensors["a"].read().tolist() == [1, 2]
    assert tensors["b"].read().tolist() == [3, 4]
    value["c"] = Call(V2, (views["b"], 2, (2,), (1,), False, HOOKS))  # a step beyond the inner one
    with pytest.raises(CheckpointError, match=r"whose 'c' is \[2\] by the strides \[1\] from 2 on"):
        read_bytes(tmp_path / BIN, state.legacy_of(dumps(value)))
    for view in (("7", 2, 5), ("7", -1, 2), ("7", 2), "7"):
        value = {"a": Call(V2, (Persistent((*name, view)), 0, (1,), (1,), False, HOOKS))}
        with pytest.raises(CheckpointError, match="wants the persistent object 'storage'"):
            read_bytes(tmp_path / BIN, state.legacy_of(dumps(value)))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
@every_format
def test_a_state_dict_may_stand_alone_in_another_dict(form, key, tmp_path):
    state = saved({"a": np.arange(6, dtype=np.float32)})
    pickle = dumps({key: state.value(legacy=form == "older")})
    data = state.legacy_of(pickle) if form == "older" else archive(state.entries(pickle))
    assert read_bytes(tmp_path / BIN, data)["a"].read().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("view", "wanted"),
    [
        (View("0", (7,), (1,)), r"'a' is \[7\] by the strides \[1\] from 0 on in a storage of 24"),
        (View("0", (6,), (1,), 1), "from 1 on in a storage of 24 bytes"),
        (View("0", (2, 3), (4, 1)), r"by the strides \[4, 1\] from 0"),
        (View("0", (2,), (2**59,)), "in a storage of 24 bytes"),
        (View("0", (1,), (1,), 2**59), "in a storage of 24 bytes"),
        (View("0", (0,), (1,), 7), "from 7 on in a storage of 24 bytes"),
        (View("0", (2, 3), (1,)), "has 2 sizes and 1 strides"),
        (View("0", (), (1,)), "has 0 sizes and 1 strides"),
        (View("0", (2**40,), (0,)), r"'a' is \[1099511627776\] in a file of \d+ bytes"),
        (View("0", (0, 2**59), (1, 1)), r"\[0, 576460752303423488\] in a file of "),
        (View("0", (2**30,) * 30, (0,) * 30), r"\[1073741824, 1073741824, .* in a file of "),
    ],
    ids=str,
)
@every_format
def test_a_tensor_beyond_its_storage_or_its_file_is_refused(form, view, wanted, tmp_path):
    state = Saved({"0": np.arange(6, dtype=np.float32)}, {"a": view})
    with pytest.raises(CheckpointError, match=f"^{tmp_path / BIN} must be a state dict .*{wanted}"):
        read_bytes(tmp_path / BIN, FORMATS[form](state))


def test_a_file_cut_after_it_was_opened_is_refused_by_a_gathering_read(tmp_path):
    state = Saved({"0": np.arange(6, dtype=np.float32)}, {"a": View("0", (3, 2), (1, 3))})
    tensor = read_bytes(tmp_path / BIN, state.zip())["a"]
    os.truncate(tmp_path / BIN, tensor.offset + 10)
    for read in (tensor.read, tensor.read_stored, tensor.map):
        with pytest.raises(CheckpointError, match=r"must hold 24 bytes of a at .*, not 10: it was"):
            read()
