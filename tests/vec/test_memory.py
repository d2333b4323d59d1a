"""The operations that read and write memory: what they take, and that they touch nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from vec.numbers import RNG, any_bits, assert_bits, from_bits

CANARY = from_bits(0xA5A5A5A5)


def test_zero(vectors):
    got = vectors.give("zero", np.ones((3, vectors.lanes)))
    assert np.all(got.view(np.uint32) == 0)


def test_set(vectors):
    a = any_bits(50, 1)
    want = np.repeat(a, vectors.lanes, axis=1)
    assert_bits(vectors.give("set", a, each=vectors.lanes), want)


def test_load_one(vectors):
    values = any_bits(20)
    out = np.empty(vectors.lanes, np.float32)
    for value in values:  # nothing behind it is read
        address = vectors.at_edge(np.atleast_1d(value))
        assert not vectors.call("load_one", address, out=out, step=0)
        assert_bits(out, np.repeat(value, vectors.lanes))


def test_load(vectors):
    values = any_bits(vectors.lanes)
    out = np.empty(vectors.lanes, np.float32)
    for shift in (0, 1, 2, 3, 4, 20):  # no alignment is needed, not even that of a float
        address = vectors.at_edge(np.append(values.view(np.uint8), np.zeros(shift, np.uint8)))
        assert not vectors.call("load", address, out=out, step=0)
        assert_bits(out, values)


def test_store(vectors):
    a = any_bits(20, vectors.lanes)
    size = 4 * vectors.lanes
    assert_bits(vectors.stored("store", a, size=size).view(np.float32), a)
    for shift in (0, 1, 4):
        edge = vectors.at_edge(np.zeros(size + shift, np.uint8))
        assert not vectors.call("store", a[:1].copy(), out=edge, step=0)


def test_load_first(vectors):
    values = any_bits(vectors.lanes)
    for n in range(vectors.lanes):
        # Where what follows p + n faults, and where it could be read.
        for p in (vectors.at_edge(values[:n]), values):
            out = np.full(vectors.lanes, CANARY)
            assert not vectors.call("load_first", p, out=out, step=0, numbers=[n])
            assert_bits(out[:n], values[:n])
            assert np.all(out[n:].view(np.uint32) == 0)


def test_store_first(vectors):
    values = any_bits(vectors.lanes)
    for n in range(vectors.lanes):
        memory = np.full(3 * vectors.lanes, CANARY)
        here = memory[vectors.lanes :]
        assert not vectors.call("store_first", values, out=here, step=0, numbers=[n])
        want = np.full(3 * vectors.lanes, CANARY)
        want[vectors.lanes : vectors.lanes + n] = values[:n]
        assert_bits(memory, want)
        edge = vectors.at_edge(np.zeros(n, np.float32))
        assert not vectors.call("store_first", values, out=edge, step=0, numbers=[n])


def test_keep_first(vectors):
    a = any_bits(50, vectors.lanes)
    for n in range(vectors.lanes):
        want = np.where(np.arange(vectors.lanes) < n, a.view(np.uint32), 0)
        assert_bits(vectors.give("keep_first", a, numbers=[n]), from_bits(want))


@pytest.mark.parametrize("in_gap", [0, 1, 7])
@pytest.mark.parametrize("out_gap", [0, 3, 8])
def test_transpose(vectors, in_gap, out_gap):
    lanes = vectors.lanes
    strides = [lanes + in_gap, lanes + out_gap]
    square = any_bits(lanes, strides[0])
    given = square.ravel()[: square.size - in_gap]  # nothing behind the last row
    memory = np.full(lanes * (lanes + out_gap) + 2, CANARY)
    call = {"out": memory[1:], "step": 0, "numbers": strides}
    assert not vectors.call("transpose", vectors.at_edge(given), **call)
    want = np.full((lanes, lanes + out_gap), CANARY)
    want[:, :lanes] = square[:, :lanes].T
    assert_bits(memory, np.concatenate([[CANARY], want.ravel(), [CANARY]]))


def test_memory_faults_are_seen(vectors):
    """The tests above rest on it: one float beyond the edge is one too many."""
    values = any_bits(vectors.lanes)
    n = int(RNG.integers(1, vectors.lanes))
    out = np.empty(vectors.lanes, np.float32)
    edge = vectors.at_edge(values[:n])
    assert vectors.call("load", edge, out=out, step=0)
    assert vectors.call("load_first", edge + 4, out=out, step=0, numbers=[n])
    assert vectors.call("store", values, out=edge, step=0)
