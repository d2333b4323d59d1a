"""pack: the layout drawn in kernels.h, for each build's panel."""

import numpy as np
import pytest

from pyroberta import _core, reference


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


def test_panel_and_tile_are_whole_numbers_of_lanes(kernels):
    assert kernels.panel % 8 == 0
    assert 1 <= kernels.tile_rows <= 8


@pytest.mark.parametrize("parts", [[150], [3, 60, 87], [64, 64, 22], [1, 0, 149]])
def test_a_layer_read_from_files_is_the_one_read_before(kernels, rng, tmp_path, parts):
    # The parts stand in files of their own, off any boundary, and meet inside the panels.
    hidden, wide = 50, 150
    weight = rng.normal(size=(wide, hidden)).astype(np.float32)
    bias = rng.normal(size=wide).astype(np.float32)
    places, at = [], 0
    for number, rows in enumerate(parts):
        file = tmp_path / str(number)
        file.write_bytes(b"?" * 3 + weight[at : at + rows].tobytes())
        places.append((str(file), 3, rows))
        at += rows
    x = rng.normal(size=(4, hidden)).astype(np.float32)
    results = []
    for read in (True, False):
        block = _core.Block(kernels, hidden, wide, 2, 0, 1e-5)
        for name, n, k in (("query_key_value", 150, 50), ("attention_output", 50, 50)):
            block.set_linear(name, weight[:n, :k].copy(), bias[:n].copy())
        block.set_linear("output", weight.T.copy(), bias[:hidden].copy())
        for name in ("attention_norm", "output_norm"):
            block.set_norm(name, np.ones(hidden, np.float32), np.zeros(hidden, np.float32))
        if read:
            block.read_linear("intermediate", places, bias)
        else:
            block.set_linear("intermediate", weight, bias)
        args = (np.array([0, 4]), None, False, False, _core.Workspaces())
        results.append(_core.run_blocks([block], x, *args)[0])
    np.testing.assert_array_equal(*results)


def test_a_file_that_ends_early_or_is_missing_is_an_os_error(kernels, tmp_path):
    block = _core.Block(kernels, 8, 16, 2, 0, 1e-5)
    bias = np.zeros(16, np.float32)
    file = tmp_path / "short"
    file.write_bytes(bytes(16 * 8 * 4 - 1))
    with pytest.raises(OSError, match="the file ends early"):
        block.read_linear("intermediate", [(str(file), 0, 16)], bias)
    with pytest.raises(FileNotFoundError):
        block.read_linear("intermediate", [(str(tmp_path / "none"), 0, 16)], bias)
    with pytest.raises(ValueError, match="places must have 16 rows, not 15"):
        block.read_linear("intermediate", [(str(file), 0, 15)], bias)
