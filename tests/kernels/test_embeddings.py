"""embeddings: each build against float64, within the error that kernels.h promises."""

import numpy as np
import pytest
from kernels.norms import bound

from pyroberta import reference

EPS = 1e-5


def inputs(rng, tokens, cols):
    word, kind, position = (rng.normal(size=(rows, cols)).astype(np.float32) for rows in (11, 2, 9))
    ids, types, positions = (rng.integers(0, n, tokens) for n in (11, 2, 9))
    gamma, beta = (rng.normal(1, 0.3, cols).astype(np.float32) for _ in range(2))
    return word, kind, position, ids, types, positions, gamma, beta


@pytest.mark.parametrize("cols", [1, 7, 8, 9, 16, 17, 33, 768])
@pytest.mark.parametrize("tokens", [0, 1, 5, 65])
def test_agrees_with_reference(kernels, rng, tokens, cols):
    args = inputs(rng, tokens, cols)
    got = kernels.embeddings(*args, EPS)
    exact = [a.astype(np.float64) if a.dtype == np.float32 else a for a in args]
    want = reference.embeddings(*exact, EPS)
    word, kind, position, ids, types, positions, gamma, beta = args
    # The sums are rounded to float32 before they are normalised, which moves y by up to two
    # roundings of the largest term.
    z = word[ids] + kind[types] + position[positions]
    std = z.astype(np.float64).std(axis=-1, keepdims=True) + EPS**0.5 if tokens else 1.0
    rounding = 2.0**-22 * np.abs(z).max(initial=1.0) / std * np.abs(gamma)
    assert got.shape == (tokens, cols)
    assert np.all(np.abs(got - want) <= bound(z, gamma, beta) + rounding)


@pytest.mark.parametrize(("argument", "name"), [(3, "ids"), (4, "types"), (5, "positions")])
@pytest.mark.parametrize("value", [-1, 11])
def test_an_index_out_of_range_is_refused(kernels, rng, argument, name, value):
    args = list(inputs(rng, 5, 8))
    args[argument][2] = value
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, \d+\), not {value}"):
        kernels.embeddings(*args, EPS)
