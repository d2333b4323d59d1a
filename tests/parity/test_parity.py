"""The same numbers as transformers: random tiny models over every head, activation and mask.

The peer in float64 is the oracle. What the float32 kernels may differ from it is what the peer's
own float32 differs from it.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the parity suite compares with transformers on torch")
pytest.importorskip("transformers", reason="the parity suite compares with transformers")

from parity.cases import ACTIVATION_NAMES, COUNT, Case, make_case
from parity.peer import (
    at_attended,
    call_peer,
    flatten,
    make_peer,
    root_mean_square,
    scale_heads,
    worst,
)
from support import on_build

import pyroberta
from pyroberta import kernels as door

pytestmark = pytest.mark.parity


@dataclasses.dataclass(frozen=True)
class Errors:
    """The largest differences from the peer in float64."""

    reference: float  # in float64
    numpy: float  # the reference in float32: a second opinion on what float32 can give
    peer: float  # its own float32
    native: dict[str, float]  # of each build that runs here
    numpy_rms: float  # the same three as root mean squares
    peer_rms: float
    native_rms: dict[str, float]


def isas() -> list[str]:
    """The builds that run here; without the extension there is nothing to compare."""
    return door.available_isas() if door.has_core() else []


def load(path: Any, isa: str) -> Any:
    """The checkpoint on the kernels of one build."""
    with on_build(isa):
        return pyroberta.from_pretrained(path)


def call_ours(case: Case, model: Any) -> dict[str, np.ndarray]:
    mask = {} if case.head_mask is None else {"attention_head_mask": case.head_mask}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pads without a mask: on purpose here
        output = model(**case.batch, **mask, output_hidden_states=True, output_attentions=True)
    fields = {f.name: getattr(output, f.name) for f in dataclasses.fields(output)}
    return at_attended(flatten(fields), case.attended)


def measure(case: Case, path: Any) -> Errors:
    """Make the peer, save it to ``path``, load it here, and compare all outputs."""
    peer = make_peer(case.family, case.architecture, case.config, case.seed, pooler=case.pooler)
    peer.save_pretrained(path)
    if case.head_mask is not None:
        scale_heads(peer, case.head_mask)
    single = at_attended(call_peer(peer, case.batch, case.head_mask), case.attended)
    exact = at_attended(call_peer(peer.double(), case.batch, case.head_mask), case.attended)
    reference = pyroberta.from_pretrained(path, backend="reference", compute_type="float64")
    float32 = pyroberta.from_pretrained(path, backend="reference")
    numpy = call_ours(case, float32)
    native = {isa: call_ours(case, load(path, isa)) for isa in isas()}
    return Errors(
        reference=worst(call_ours(case, reference), exact),
        numpy=worst(numpy, exact),
        peer=worst(single, exact),
        native={isa: worst(outputs, exact) for isa, outputs in native.items()},
        numpy_rms=root_mean_square(numpy, exact),
        peer_rms=root_mean_square(single, exact),
        native_rms={isa: root_mean_square(outputs, exact) for isa, outputs in native.items()},
    )


@pytest.mark.parametrize("case", [make_case(seed) for seed in range(COUNT)], ids=str)
def test_every_output_agrees_with_transformers(case, tmp_path):
    errors = measure(case, tmp_path)
    # gelu_fast alone is above 1e-12: the peer writes sqrt(2 / pi) with ten digits there.
    assert errors.reference < 1e-9
    for isa, error in errors.native_rms.items():
        assert error <= 1.5 * max(errors.peer_rms, errors.numpy_rms) + 1e-7, isa
    # (NumPy's is a second opinion, since the peer's depends on the CPU: in model 189 it was 2.3e-7
    # on an Intel one with AVX-512, NumPy's 4.1e-7, ours 4.1e-7 and 5.8e-7 of the scalar build.)
    # The largest error of one tiny model is chance, and where a layer norm has a few columns
    # large: two float32 programs, equally good, lie up to 10 times apart once in 2,500 (and 2 of
    # these 264 more than 1.5 times + 1e-6). This finds what is wrong; the next test says how good
    # it is.
    for isa, error in errors.native.items():
        assert error <= 5 * max(errors.peer, errors.numpy) + 1e-6, isa


def test_float32_is_no_further_from_the_exact_result_than_transformers_float32(tmp_path):
    """Over 120 other models: of a typical one, and of at least 95 in 100."""
    cases = [make_case(seed) for seed in range(COUNT, COUNT + 120)]
    errors = [measure(case, tmp_path / str(case.seed)) for case in cases]
    for isa in isas():
        ratios = [e.native[isa] / e.peer for e in errors if e.peer > 1e-7]
        assert np.exp(np.mean(np.log(ratios))) < 1.1, isa
        squares = [(e.native_rms[isa] ** 2, e.peer_rms**2) for e in errors]
        ours, theirs = np.sqrt(np.mean(squares, axis=0))
        assert ours <= 1.5 * theirs, isa
        within = [e.native[isa] <= 1.5 * e.peer + 1e-6 for e in errors]
        assert np.mean(within) >= 0.95, isa


def test_the_sample_covers_every_value_of_every_choice():
    cases = [make_case(seed) for seed in range(COUNT)]
    assert len({(c.architecture, c.family) for c in cases}) == 18
    assert {c.config["hidden_act"] for c in cases} == set(ACTIVATION_NAMES)
    for architecture in {c.architecture for c in cases}:
        some = [c for c in cases if c.architecture == architecture]
        assert {c.config["pad_token_id"] for c in some} == {0, 1, 3}
        assert {c.attended.all() for c in some} == {False, True}
        assert {c.attended.shape[1] == 1 for c in some} == {False, True}
        assert {c.head_mask is None for c in some} == {False, True}
        assert {"token_type_ids" in c.batch for c in some} == {False, True}
        assert {c.config["num_attention_heads"] == 1 for c in some} == {False, True}
