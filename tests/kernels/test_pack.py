"""pack: the layout drawn in kernels.h, for each build's panel."""

import weakref

import numpy as np
import pytest

from pyroberta import reference
from pyroberta.checkpoint.open_file import OpenFile
from pyroberta.compute_types import COMPUTE_TYPES, INT8_GROUP, quantise_columns, round_bfloat16

_core = pytest.importorskip("pyroberta._core")

BFLOAT16X3, BFLOAT16, INT8 = map(COMPUTE_TYPES.index, ("bfloat16x3", "bfloat16", "int8"))


# reference.pack puts words of any kind in panels.
def by_two(panels, steps):
    """Panels ``[panels, rows, panel]`` with their first ``steps`` rows two by two: two words of a
    column, then those of the next one."""
    count, _, panel = panels.shape
    words = panels[:, :steps].reshape(count, steps // 2, 2, panel)
    beside = words.transpose(0, 1, 3, 2).reshape(count, steps, panel)
    return np.concatenate([beside, panels[:, steps:]], axis=1)


def by_one(panels, steps):
    """``by_two`` undone."""
    count, _, panel = panels.shape
    words = panels[:, :steps].reshape(count, steps // 2, panel, 2)
    rows = words.transpose(0, 1, 3, 2).reshape(count, steps, panel)
    return np.concatenate([rows, panels[:, steps:]], axis=1)


def pack_bfloat16(weight, panel, together=1):
    """Pairs that follow each other in k, the first in the lower half; k filled up to 32."""
    n, k = weight.shape
    halves = np.zeros((n, -(-k // 32) * 32), np.uint32)
    halves[:, :k] = round_bfloat16(weight).view(np.uint32) >> 16
    panels = reference.pack(halves[:, 0::2] | halves[:, 1::2] << 16, panel)
    return by_two(panels, panels.shape[1]) if together == 2 else panels


def pack_int8(codes, scales, panel, together=1):
    """Fours of codes, the first in the lowest byte, k filled up to 64; then the trailer.

    The trailer of a column is its scale, and of each group -128 times the sum of its codes.
    """
    n, k = codes.shape
    bytes_ = np.zeros((n, -(-k // 64) * 64), np.uint32)
    bytes_[:, :k] = codes.astype(np.int8).view(np.uint8)
    fours = sum(bytes_[:, i::4] << 8 * i for i in range(4))
    groups = [codes[:, at : at + INT8_GROUP].sum(axis=1) for at in range(0, k, INT8_GROUP)]
    offsets = [(-128 * total).astype(np.int32).view(np.uint32) for total in groups]
    columns = [fours, scales.astype(np.float32).view(np.uint32)[:, None]]
    words = np.concatenate([*columns, *(o[:, None] for o in offsets)], axis=1)
    panels = reference.pack(words, panel)
    return by_two(panels, fours.shape[1]) if together == 2 else panels


@pytest.mark.parametrize(("n", "k"), [(1, 1), (6, 2), (64, 16), (65, 17), (130, 33), (16, 3)])
def test_layout_is_the_one_drawn(kernels, rng, n, k):
    weight = rng.normal(size=(n, k)).astype(np.float32)
    layout = _core.Packed(kernels, weight).layout()
    np.testing.assert_array_equal(layout, reference.pack(weight, kernels.panel))


def test_reference_draws_the_picture_of_kernels_h():
    w = np.array([[10 * n + k for k in range(2)] for n in range(6)], np.float32)
    first, second = reference.pack(w, 4)
    assert first.ravel().tolist() == [0, 10, 20, 30, 1, 11, 21, 31]
    assert second.ravel().tolist() == [40, 50, 0, 0, 41, 51, 0, 0]


def test_the_packing_of_this_file_draws_pairs_and_fours():
    w = np.array([[1, 2, 3], [-1, 0.5, 4]], np.float32)  # 1 is 0x3F80, 2 is 0x4000, ...
    (panel,) = pack_bfloat16(w, 4)
    assert panel.shape == (16, 4)
    assert panel[0].tolist() == [0x4000_3F80, 0x3F00_BF80, 0, 0]
    assert panel[1].tolist() == [0x4040, 0x4080, 0, 0]
    assert not panel[2:].any()
    codes = np.array([[1, -1, 127, -127, 2], [0, 3, 0, 0, 0]])
    (panel,) = pack_int8(codes, np.array([0.5, 2.0]), 4)
    assert panel.shape == (18, 4)
    assert panel[0].tolist() == [0x81_7F_FF_01, 0x03_00, 0, 0]
    assert panel[1].tolist() == [2, 0, 0, 0]
    assert not panel[2:16].any()
    assert panel[16].view(np.float32).tolist() == [0.5, 2.0, 0, 0]
    assert panel[17].view(np.int32).tolist() == [-256, -384, 0, 0]


def test_the_packing_of_this_file_puts_words_by_two():
    w = np.arange(1, 9, dtype=np.float32).reshape(2, 4)
    words = pack_bfloat16(w, 2)[0]
    (panel,) = pack_bfloat16(w, 2, together=2)
    assert panel.shape == (16, 2)
    assert panel[0].tolist() == words[:2, 0].tolist()
    assert panel[1].tolist() == words[:2, 1].tolist()


# Columns around a panel (8 to 64), K around the fill (32 and 64) and the columns turned together.
SHAPES = [
    (1, 1), (6, 2), (64, 16), (65, 17), (130, 33), (16, 3), (7, 64), (9, 65), (20, 96), (3, 768),
    (33, 769), (2, 1552), (70, 200),
]  # fmt: skip


def uneven(rng, n, k):
    """A weight whose rows have very different sizes, one of them zeros."""
    weight = (rng.normal(size=(n, k)) * 10.0 ** rng.integers(-6, 7, (n, 1))).astype(np.float32)
    weight[n // 2] = 0
    return weight


@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_bfloat16_is_laid_out_in_pairs(kernels, rng, n, k):
    weight = uneven(rng, n, k)
    layout = _core.Packed(kernels, weight, BFLOAT16).layout()
    np.testing.assert_array_equal(
        layout.view(np.uint32), pack_bfloat16(weight, kernels.panel, kernels.together)
    )


@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_int8_is_laid_out_in_fours_and_a_trailer(kernels, rng, n, k):
    weight = uneven(rng, n, k)
    layout = _core.Packed(kernels, weight, INT8).layout()
    want = pack_int8(*quantise_columns(weight), kernels.panel, kernels.together)
    np.testing.assert_array_equal(layout.view(np.uint32), want)


@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_bfloat16x3_is_a_panel_of_high_parts_and_one_of_low_or_float32(kernels, rng, n, k):
    weight = uneven(rng, n, k)
    layout = _core.Packed(kernels, weight, BFLOAT16X3).layout()
    if kernels.isa == "amx":
        parts = weight, weight - round_bfloat16(weight)
        want = np.concatenate([pack_bfloat16(part, kernels.panel) for part in parts], axis=1)
        np.testing.assert_array_equal(layout.view(np.uint32), want)
    else:
        np.testing.assert_array_equal(layout, reference.pack(weight, kernels.panel))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_a_row_of_the_weight_makes_its_scale_nan_and_changes_no_other(kernels, rng, value):
    weight = rng.normal(size=(21, 100)).astype(np.float32)

    def layout_of_weight():
        layout = _core.Packed(kernels, weight, INT8).layout()
        return by_one(layout, 32) if kernels.together == 2 else layout

    clean = layout_of_weight()
    weight[9, 60] = value
    layout = layout_of_weight()
    panel, column = divmod(9, kernels.panel)
    assert np.isnan(layout[panel, 32, column])  # the words of 100 codes are 32
    same = np.ones(layout.shape, bool)
    same[panel, :, column] = False
    np.testing.assert_array_equal(layout.view(np.uint32)[same], clean.view(np.uint32)[same])


def test_a_panel_is_a_whole_number_of_lanes(kernels):
    assert kernels.panel % 8 == 0


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize("parts", [[150], [3, 60, 87], [64, 64, 22], [1, 0, 149]])
def test_a_layer_read_from_files_is_the_one_read_before(kernels, rng, tmp_path, parts, name):
    # The parts stand in files of their own, off any boundary, and meet inside the panels.
    hidden, wide = 50, 150
    index = COMPUTE_TYPES.index(name)
    weight = rng.normal(size=(wide, hidden)).astype(np.float32)
    bias = rng.normal(size=wide).astype(np.float32)
    files, places, at = [], [], 0
    for number, rows in enumerate(parts):
        file = tmp_path / str(number)
        file.write_bytes(b"?" * 3 + weight[at : at + rows].tobytes())
        files.append(OpenFile(file))
        places.append((files[-1].fileno(), 3, rows))
        at += rows
    x = rng.normal(size=(4, hidden)).astype(np.float32)
    results = []
    for read in (True, False):
        block = _core.Block(kernels, hidden, wide, 2, 0, 1e-5, False, index)
        for layer, n, k in (("query_key_value", 150, 50), ("attention_output", 50, 50)):
            block.set_linear(layer, weight[:n, :k].copy(), bias[:n].copy())
        block.set_linear("output", weight.T.copy(), bias[:hidden].copy())
        for norm in ("attention_norm", "output_norm"):
            block.set_norm(norm, np.ones(hidden, np.float32), np.zeros(hidden, np.float32))
        if read:
            block.read_linear("intermediate", places, bias)
        else:
            block.set_linear("intermediate", weight, bias)
        results.append(_core.run_blocks([block], x, np.array([0, 4]), _core.Workspaces())[0])
    np.testing.assert_array_equal(*results)


def test_a_file_that_ends_early_or_is_not_open_is_an_os_error(kernels, tmp_path):
    block = _core.Block(kernels, 8, 16, 2, 0, 1e-5)
    bias = np.zeros(16, np.float32)
    file = tmp_path / "short"
    file.write_bytes(bytes(16 * 8 * 4 - 1))
    opened = OpenFile(file)
    for descriptor in (opened.fileno(), -1):
        with pytest.raises(OSError, match="the file ends early, or can not be read"):
            block.read_linear("intermediate", [(descriptor, 0, 16)], bias)
    with pytest.raises(ValueError, match="places must have 16 rows, not 15"):
        block.read_linear("intermediate", [(opened.fileno(), 0, 15)], bias)


def test_memory_that_is_given_lives_as_long_as_what_reads_it(kernels, rng):
    weight = rng.normal(size=(9, 8)).astype(np.float32)
    packed, block = _core.Packed(kernels, weight), _core.Block(kernels, 8, 16, 2, 0, 1e-5)
    for owner, read in (
        (packed, lambda given: _core.Packed(kernels, given, 9, 8, 0)),
        (block, lambda given: _core.Block(kernels, 8, 16, 2, 0, 1e-5, memory=given)),
    ):
        memory = owner.memory()
        given = weakref.ref(memory)
        reader = read(memory)
        del memory
        assert given() is not None
        np.testing.assert_array_equal(reader.memory(), given())
        del reader
        assert given() is None
