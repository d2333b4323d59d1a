"""What the benchmark makes of its figures: ``pytest bench``. Loads no engine, times nothing."""

from __future__ import annotations

import numpy as np
import pytest

from bench import figures, report
from bench.amx import by_class, classify
from bench.check import errors, objections
from bench.engines import ENGINES, Setup, find_engine, in_types
from bench.sizes import parse_size
from bench.worker import Answers

LIMITS = {
    "fma_avx2": [1e11],
    "int8_avx2": [2e11],
    "fma_avx512": [2e11],
    "bfloat16_avx512": [4e11],
    "int8_avx512": [8e11],
    "read": [1e10],
}


@pytest.mark.parametrize("base", ENGINES)
def test_a_name_is_read_back(base):
    for isa in ("", *ENGINES[base].isas):
        for compute_type in ENGINES[base].compute_types:
            setup = Setup(base=base, isa=isa, compute_type=compute_type)
            assert find_engine(setup.name) == setup


def test_names():
    assert find_engine("torch-compiled-avx2-bfloat16") == Setup(
        base="torch-compiled", isa="avx2", compute_type="bfloat16"
    )
    assert find_engine("pyroberta-float32").name == "pyroberta"
    assert find_engine("pyroberta-avx2-int8").environment(2)["PYROBERTA_ISA"] == "avx2"
    for wrong in ("tensorflow", "torch-int8", "openvino-avx2", "pyroberta-int8-avx2"):
        with pytest.raises(ValueError, match=wrong):
            find_engine(wrong)


def test_engines_in_types():
    names = ["pyroberta", "torch", "ctranslate2", "openvino-int8"]
    assert in_types(names, ["float32", "int8"]) == [
        *("pyroberta", "torch", "ctranslate2", "openvino-int8"),
        *("pyroberta-int8", "ctranslate2-int8"),
    ]
    assert in_types(names[:3], ["bfloat16x3"]) == ["pyroberta-bfloat16x3", "torch", "ctranslate2"]


def test_calls_have_the_class_that_all_looks_agree_on():
    assert classify([16.3, 17.0, 16.4, 18.2]) == "fast"
    assert classify([34.0, 36.1, 35.0, 33.9]) == "slow"
    assert classify([16.3, 35.0, 16.3, 35.0]) == "mixed"  # one CPU of two
    assert classify([16.3, 16.3, 35.0, 35.0]) == "mixed"  # it changed during the call


def test_a_turn_looks_before_and_after_each_call():
    looks = iter(
        [[16.0, 16.1], [16.2, 16.3], [35.0, 16.0], [35.0, 35.1], [35.0, 35.2], [34.9, 35.0]]
    )
    happened = []

    def engine(rows):
        happened.append("call")

    def probe():
        happened.append("look")
        return next(looks)

    answer = Answers(engine, 100, probe).turn("1x16")
    assert happened == ["call", *["look", "call"] * 5, "look"]
    assert answer["calls"][1]["cycles"] == [16.2, 16.3, 35.0, 16.0]
    found = by_class(answer["calls"])
    assert {name: len(seconds) for name, seconds in found.items()} == {
        "fast": 1,
        "mixed": 2,
        "slow": 2,
    }
    assert "calls" not in Answers(engine, 100).turn("1x16")


def run_of(engines):
    """A size's results: seconds of each engine, and the classes' calls where given."""
    return {
        "size": "1x16",
        "threads": 1,
        "rounds": 2,
        "tokens": 16,
        "padded_tokens": 16,
        "flops": 1e9,
        "weight_bytes": 4e7,
        "limits": LIMITS,
        "engines": {
            name: {"seconds": seconds, "settled": [0.02], "errors": {"max": 0.5, "mean": 0.25}}
            for name, seconds in engines.items()
        },
    }


def test_the_limit_is_that_of_the_type_and_isa():
    run = run_of({})
    for name, wanted in {
        "pyroberta": 2e11,
        "pyroberta-avx2": 1e11,
        "pyroberta-bfloat16": 4e11,
        "pyroberta-avx2-bfloat16": 1e11,  # AVX2 has nothing better than its float32
        "pyroberta-bfloat16x3": 2e11,  # more than a third of 4e11
        "pyroberta-int8": 8e11,
        "pyroberta-avx2-int8": 2e11,
        "pyroberta-scalar": None,
    }.items():
        assert figures.type_limit(run, find_engine(name)) == wanted, name
    int8 = run_of({"pyroberta-int8": [0.01, 0.01]})
    assert figures.fractions(int8, "pyroberta-int8") == pytest.approx((1 / 8, 1e7 / 0.01 / 1e10))


def test_the_best_peer_is_no_less_exact():
    run = run_of(
        {
            "pyroberta": [2.0, 2.0],
            "torch": [4.0, 4.0],
            "openvino-int8": [1.0, 1.0],
            "pyroberta-int8": [1.0, 1.0],
            "torch-avx2": [0.1, 0.1],
        }
    )
    assert figures.best_peer(run, "pyroberta")[0] == "torch"
    assert figures.best_peer(run, "pyroberta-int8")[0] == "openvino-int8"
    assert figures.best_peer(run, "pyroberta-int8")[1][1] == 1.0


def test_the_report_has_speed_beside_error_and_the_classes_apart():
    run = run_of({"pyroberta": [0.002, 0.002], "openvino-int8": [0.001, 0.001]})
    for name, seconds in (("pyroberta", 0.002), ("openvino-int8", 0.001)):
        run["engines"][name]["calls"] = [
            {"seconds": seconds, "cycles": [16.0, 16.0]},
            {"seconds": 3 * seconds, "cycles": [35.0, 35.0]},
            {"seconds": 2 * seconds, "cycles": [16.0, 35.0]},
        ]
    names = list(run["engines"])
    assert report._engine_rows(run, names)[1][:5] == [
        *("1x16", "openvino-int8", "1.00 [1.00-1.00]", "0.50 [0.50-0.50]", "5.0e-01 (2.5e-01)"),
    ]
    assert report._amx_rows(run, names) == [
        ["1x16", "pyroberta", "1, 6.00, 1.00", "1, 2.00, 1.00", "1"],
        ["1x16", "openvino-int8", "1, 3.00, 0.50", "1, 1.00, 0.50", "1"],
    ]


def test_errors_are_taken_over_as_many_tokens_at_each_size():
    assert [
        (size.judged_batches, size.judged_rows)
        for size in map(parse_size, ("1x16", "2x256", "1x600", "32x32", "32x128", "1x4096"))
    ] == [(64, 1), (2, 2), (1, 1), (1, 32), (1, 8), (1, 1)]
    size = parse_size("1x16")
    batches = [size.rows(1000, number) for number in range(3)]
    assert batches[0] == size.rows(1000)
    assert all(batches[i] != batches[j] for i, j in ((0, 1), (0, 2), (1, 2)))
    output = np.array([[0.1, -0.2], [0, 0], [0, 0], [0.4, 0.3]], np.float32)
    found = errors(output + 1, np.ones((4, 2)), batches=2)
    assert found is not None
    got = [found["max"], found["largest"], found["mean"]]
    np.testing.assert_allclose(got, [0.3, 0.4, 0.125], rtol=1e-5)


def test_what_is_too_far_is_reported_by_type():
    exact = np.random.default_rng(0).standard_normal((4, 8))
    ours = find_engine("pyroberta")

    def said(name, noise):
        output = (exact + noise).astype(np.float32)
        return objections(find_engine(name), errors(output, exact), ours, abs(noise))

    assert not said("torch", 1e-5)
    assert len(said("torch", 1e-2)) == 2
    assert not said("torch-bfloat16", 1e-2)
    assert not said("openvino-int8", 0.2)
    assert said("openvino-int8", 2.0)
    assert said("openvino-int8", float("nan"))
