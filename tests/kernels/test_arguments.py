"""Arguments of _core that the package never gives: refused, where they would leave the memory."""

import numpy as np
import pytest

_core = pytest.importorskip("pyroberta._core")

HUGE = [2**28, 2**31, 2**40, 2**60, 2**61, 2**62, 2**63 - 1]


@pytest.mark.parametrize("size", [*HUGE, 2**64 - 1])
def test_a_block_of_sizes_whose_product_wraps_is_refused(kernels, size):
    for hidden, intermediate in ((size, 8), (8, size), (size, size)):
        with pytest.raises(ValueError, match="hidden and intermediate_size must be in"):
            _core.Block(kernels, hidden, intermediate, 1, 0, 1e-5)


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize("compute_type", range(4))
def test_a_packed_weight_of_sizes_whose_product_wraps_is_refused(kernels, size, compute_type):
    memory = _core.Packed(kernels, np.zeros((1, 1), np.float32)).memory()
    for n, k in ((size, 1), (1, size), (size, size), (-1, 1), (1, -1)):
        with pytest.raises(ValueError, match=r"n and k must be in \[0, 2\*\*28\)"):
            _core.Packed(kernels, memory, n, k, compute_type)
    for shape in ((size, 0), (0, size)) if size <= 2**60 else ():  # NumPy has no larger ones
        with pytest.raises(ValueError, match=r"(n and k|weight) must be"):
            _core.Packed(kernels, np.empty(shape, np.float32), compute_type)


@pytest.mark.parametrize("compute_type", range(4))
def test_rows_without_columns_are_as_many_as_can_be(kernels, compute_type):
    weight = _core.Packed(kernels, np.empty((0, 0), np.float32), compute_type)
    with pytest.raises(ValueError, match="x must be"):
        kernels.linear(np.empty((2**60, 0), np.float32), weight, None, 0)
    with pytest.raises(ValueError, match="x must be"):
        kernels.linear_operand(np.empty((2**60, 0), np.float32), weight, None, 0)
    with pytest.raises(ValueError, match="x must be"):
        kernels.to_operand(compute_type, np.empty((2**60, 0), np.float32))


def test_a_weight_packed_by_other_kernels_is_refused(kernels):
    x = np.zeros((2, 5), np.float32)
    for name in _core.built_isas():
        other = _core.find_kernels(name)
        if other is None:  # not on this CPU
            continue
        weight = _core.Packed(other, np.zeros((3, 5), np.float32))
        if other.isa == kernels.isa:
            assert kernels.linear(x, weight, None, 0).shape == (2, 3)
            continue
        for call in (kernels.linear, kernels.linear_operand):
            with pytest.raises(ValueError, match=f"packed by the kernels of {kernels.isa}, not of"):
                call(x, weight, None, 0)


@pytest.mark.parametrize("nulls", [[0], [1], [0, 1]])
def test_no_block_in_place_of_one_is_refused(kernels, nulls):
    blocks = [_core.Block(kernels, 8, 8, 2, 0, 1e-5) for _ in range(2)]
    for null in nulls:
        blocks[null] = None
    with pytest.raises((ValueError, TypeError), match="None"):
        _core.run_blocks(blocks, np.zeros((1, 8), np.float32), np.array([0, 1]), _core.Workspaces())
