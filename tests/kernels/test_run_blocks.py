"""run_blocks: the blocks of each build against float64, and its bits against itself."""

import numpy as np
import pytest
from kernels.blocks import HEADS, HIDDEN, WIDE, make, ragged, run

from pyroberta import reference
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.run_options import RunOptions

_core = pytest.importorskip("pyroberta._core")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "softmax", "relu"])
def test_agrees_with_reference(kernels, rng, activation, causal):
    pairs = [make(rng, kernels, activation) for _ in range(2)]
    x, offsets = ragged(rng, [5, 0, 1, 100, 17])
    mask = rng.uniform(0, 2, (2, HEADS)).astype(np.float32)
    got, *none = run([p[0] for p in pairs], x, offsets, mask, causal)
    options = RunOptions(head_mask=mask, causal=causal)
    want, _, _ = reference.run_blocks([p[1] for p in pairs], x.astype(np.float64), offsets, options)
    assert none == [None, None]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_attentions_agree_with_reference_and_change_no_bit(kernels, rng):
    native, exact = make(rng, kernels)
    x, offsets = ragged(rng, [3, 70, 0, 130])
    got, weights, _ = run([native], x, offsets, attentions=True)
    options = RunOptions(want_attentions=True)
    _, want, _ = reference.run_blocks([exact], x.astype(np.float64), offsets, options)
    np.testing.assert_allclose(weights, want, atol=1e-6)
    np.testing.assert_array_equal(got, run([native], x, offsets)[0])


def test_two_blocks_in_one_call_are_two_calls(kernels, rng):
    first, second = make(rng, kernels)[0], make(rng, kernels)[0]
    x, offsets = ragged(rng, [9, 4])
    once, _, _ = run([first, second], x, offsets)
    middle, _, _ = run([first], x, offsets)
    np.testing.assert_array_equal(once, run([second], middle, offsets)[0])


# A product writes the operand that the next one reads where that leaves a task for each thread,
# else float32 that is converted after it. int8 writes 768 columns at a time: here both are done.
@pytest.mark.parametrize(
    ("compute_type", "wide"), [*((one, 520) for one in COMPUTE_TYPES), ("int8", 1600)]
)
def test_bits_of_a_row_depend_on_that_row_alone(kernels, rng, threads, compute_type, wide):
    hidden = 264 if compute_type == "float32" else 96
    native, _ = make(rng, kernels, hidden=hidden, wide=wide, heads=3, compute_type=compute_type)
    lengths = [1, 40, 7, 130, 3]
    x, offsets = ragged(rng, lengths, hidden)
    together, _, _ = run([native], x, offsets)
    for row, length in enumerate(lengths):
        alone = x[offsets[row] : offsets[row + 1]]
        got, _, _ = run([native], alone, np.array([0, length]))
        np.testing.assert_array_equal(got, together[offsets[row] : offsets[row + 1]])


def test_the_input_is_left_as_it_was(kernels, rng):
    native, _ = make(rng, kernels)
    x, offsets = ragged(rng, [4])
    before = x.copy()
    run([native], x, offsets)
    np.testing.assert_array_equal(x, before)


def test_the_result_goes_where_it_is_told(kernels, rng):
    native, exact = make(rng, kernels)
    x, offsets = ragged(rng, [4, 0, 9])
    for call, block, values, rest in (
        (_core.run_blocks, native, x, (offsets, _core.Workspaces())),
        (reference.run_blocks, exact, x.astype(np.float64), (offsets, RunOptions())),
    ):
        want = call([block] * 2, values, *rest)[0]
        # An array apart, part of a larger one, and x itself.
        large = np.full((len(x) + 2, HIDDEN), 7, values.dtype)
        for out in (np.empty_like(values), large[1:-1], values):
            got = call([block] * 2, values, *rest, out=out)[0]
            assert np.shares_memory(got, out)
            np.testing.assert_array_equal(got, want)
            np.testing.assert_array_equal(out, want)
        assert (large[[0, -1]] == 7).all()


def test_a_place_that_cannot_take_the_result_is_refused(kernels, rng):
    native, _ = make(rng, kernels)
    x, offsets = ragged(rng, [4])
    rest = (offsets, _core.Workspaces())
    with pytest.raises(ValueError, match=r"out must be float32\[4, 36\], not float32\[3, 36\]"):
        _core.run_blocks([native], x, *rest, out=np.empty((3, HIDDEN), np.float32))
    fixed = np.empty_like(x)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writable"):
        _core.run_blocks([native], x, *rest, out=fixed)
    for other in (np.empty(x.shape), np.empty((4, 2 * HIDDEN), np.float32)[:, ::2]):
        with pytest.raises(TypeError):
            _core.run_blocks([native], x, *rest, out=other)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_heads_that_go_into_tasks_together_give_the_bits_of_each_alone(
    kernels, rng, compute_type, causal
):
    # Seven heads: four to a task and three where there are many rows, one where there is one.
    native, _ = make(rng, kernels, hidden=56, heads=7, compute_type=compute_type)
    x, offsets = ragged(rng, [300] + [3] * 40, 56)
    together, *_ = run([native], x, offsets, causal=causal)
    for begin, end in [(0, 300), (300, 303), (417, 420)]:
        alone, *_ = run([native], x[begin:end].copy(), np.array([0, end - begin]), causal=causal)
        np.testing.assert_array_equal(together[begin:end], alone)


@pytest.mark.parametrize("offsets", [[], [1, 4], [0, 3], [0, 5], [0, 3, 2, 4]])
def test_offsets_that_do_not_fit_are_refused(kernels, rng, offsets):
    native, _ = make(rng, kernels)
    x, _ = ragged(rng, [4])
    with pytest.raises(ValueError, match="offsets must"):
        run([native], x, np.array(offsets, np.int64))


def test_wrong_shapes_are_named(kernels, rng):
    native, _ = make(rng, kernels)
    x, offsets = ragged(rng, [4])
    with pytest.raises(ValueError, match=r"x must be float32\[-1, 36\], not float32\[4, 35\]"):
        run([native], x[:, :35].copy(), offsets)
    with pytest.raises(ValueError, match=r"head_mask must be float32\[1, 4\]"):
        run([native], x, offsets, np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"weight must be float32\[100, 36\], not float32\[2, 2\]"):
        native.set_linear("intermediate", np.zeros((2, 2), np.float32), np.zeros(WIDE, np.float32))
    with pytest.raises(
        ValueError, match="name must be that of a linear layer of the block, not nonsense"
    ):
        native.set_linear("nonsense", np.zeros((2, 2), np.float32), np.zeros(2, np.float32))
