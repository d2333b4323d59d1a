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
