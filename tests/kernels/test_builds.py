"""The builds of the kernels: they agree with each other, and write nothing but their outputs."""

import numpy as np
import pytest
from builds import ISAS
from kernels.products import LINEAR, exact, index, inputs
from support import runs_here

from pyroberta.activations import ACTIVATIONS
from pyroberta.compute_types import COMPUTE_TYPES

_core = pytest.importorskip("pyroberta._core")


def builds_here():
    return [_core.find_kernels(isa) for isa in ISAS if runs_here(isa)]


@pytest.mark.parametrize("name", COMPUTE_TYPES)
@pytest.mark.parametrize("k", [50, 300, 1600])
def test_all_builds_agree_within_the_bounds_of_a_type(rng, k, name):
    # Two builds round alike, and each is within its bound of the same sums. But with bfloat16x3 one
    # may split both sides, 2^-17 off each, and the other not.
    x, weight, bias = inputs(rng, 40, 70, k)
    apart = 2.0**-16 * np.abs(x) @ np.abs(weight).T if name == "bfloat16x3" else 0
    results = []
    for kernels in builds_here():
        _, allowed = exact(kernels, name, x, weight, bias)
        y = kernels.linear(x, _core.Packed(kernels, weight, index(name)), bias, LINEAR)
        results.append((y, allowed))
    for y, allowed in results:
        for other, allowed_there in results:
            assert np.all(np.abs(y.astype(np.float64) - other) <= allowed + allowed_there + apart)


def test_all_builds_agree(rng):
    builds = builds_here()
    x = rng.normal(size=(40, 300)).astype(np.float32)
    weight = rng.normal(size=(70, 300)).astype(np.float32)
    bias = rng.normal(size=70).astype(np.float32)
    gelu = ACTIVATIONS.index("gelu")
    results = [k.linear(x, _core.Packed(k, weight), bias, gelu) for k in builds]
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=2e-4)


@pytest.mark.parametrize("isa", ISAS)
def test_the_build_runs_here(isa):
    if not runs_here(isa):
        pytest.skip(f"{isa} is not in this binary, or this CPU cannot run it")
    assert _core.find_kernels(isa).isa == isa


def test_the_builds_are_those_of_the_list_in_its_order():
    built = _core.built_isas()
    assert built == [isa for isa in reversed(ISAS) if isa in built]


def test_the_scalar_build_runs_everywhere():
    assert runs_here("scalar")
    assert _core.built_isas()[-1] == "scalar"


def test_an_unknown_build_is_none():
    assert _core.find_kernels("sse9") is None


@pytest.mark.parametrize("cols", [1, 3, 8, 15, 16, 17, 63, 65])
def test_kernels_read_no_lane_past_the_end(kernels, rng, cols):
    # The same numbers, once before NaNs and once alone: a lane too many would let them in.
    room = np.full(4 * cols + 64, np.nan, np.float32)
    room[: 4 * cols] = rng.normal(size=4 * cols)
    x = room[: 4 * cols].reshape(4, cols)
    ones, zeros = np.ones(cols, np.float32), np.zeros(cols, np.float32)
    np.testing.assert_array_equal(
        kernels.layer_norm(x, None, ones, zeros, 1e-5),
        kernels.layer_norm(x.copy(), None, ones, zeros, 1e-5),
    )
    np.testing.assert_array_equal(
        kernels.linear_rows(x, x, None), kernels.linear_rows(x.copy(), x.copy(), None)
    )
    attended = kernels.attention(x, x, x, 1 << 40, 1.0, 1.0)
    assert np.isfinite(attended).all()
