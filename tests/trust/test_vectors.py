"""Test vectors: right to the last bit by mpmath, the same in JSON and safetensors, and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from safetensors.numpy import load_file

from pyroberta import InputError
from pyroberta.activations import ACTIVATIONS, FORMULAS
from pyroberta.trust import check_vectors, write_vectors
from pyroberta.trust.check_vectors import spacing
from pyroberta.trust.vector_inputs import TYPES, Case, all_cases, rounded
from pyroberta.trust.vectors import expected

CASES = {case.name: case for case in all_cases()}
mp = mpmath.mp.clone()
mp.dps = 60


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x)) if x >= 0 else mp.exp(x) / (1 + mp.exp(x))


def _softplus(x: Any) -> Any:
    return max(x, mp.mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def _clip(x: Any, low: float, high: float) -> Any:
    return min(max(x, mp.mpf(low)), mp.mpf(high))


def _erfc(x: Any) -> Any:
    return mp.erfc(_clip(x, -1e4, 1e4))  # beyond, mpmath's own floats overflow


def _gelu(x: Any) -> Any:
    return x * _erfc(-x / mp.sqrt(2)) / 2


def _elu(x: Any) -> Any:
    return x if x > 0 else mp.expm1(x)


def _gelu_tanh(x: Any) -> Any:
    if abs(x) > 1000:
        return max(x, mp.mpf(0))
    return x * _sigmoid(2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))


def _hard_sigmoid(x: Any) -> Any:
    return _clip(mp.mpf("0.2") * x + mp.mpf("0.2"), 0, 1)


_SELU = mp.mpf("1.0507009873554805"), mp.mpf("1.6732632423543772")
ORACLE: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "gelu_clipped": lambda x: _clip(_gelu(x), -10, 10),
    "quick_gelu": lambda x: x * _sigmoid(mp.mpf("1.702") * x),
    "relu": lambda x: max(x, mp.mpf(0)),
    "relu_squared": lambda x: max(x, mp.mpf(0)) ** 2,
    "relu6": lambda x: _clip(x, 0, 6),
    "leaky_relu": lambda x: x if x >= 0 else x / 100,
    "tanh": mp.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda x: x * _hard_sigmoid(x),
    "hard_swish": lambda x: x * _clip(x + 3, 0, 6) / 6,
    "hard_tanh": lambda x: _clip(x, -1, 1),
    "softsign": lambda x: x / (1 + abs(x)),
    "exp": mp.exp,
    "elu": _elu,
    "selu": lambda x: _SELU[0] * (x if x > 0 else _SELU[1] * mp.expm1(x)),
    "softplus": _softplus,
    "log_sigmoid": lambda x: -_softplus(-x),
    "sqrt_softplus": lambda x: mp.sqrt(_softplus(x)),
    "mish": lambda x: x * mp.tanh(_softplus(x)),
    "laplace": lambda x: _erfc((mp.mpf("0.707107") - x) / (mp.mpf("0.282095") * mp.sqrt(2))) / 2,
}


def _numbers(values: Any) -> Any:
    return [[mp.mpf(one) for one in row] for row in values.tolist()]


def _row(values: Any) -> Any:
    return [mp.mpf(one) for one in values.tolist()]


def _softmax(row: Any) -> Any:
    largest = max(row)
    e = [mp.exp(one - largest) for one in row]
    return [one / mp.fsum(e) for one in e]


def _log_softmax(row: Any) -> Any:
    largest = max(row)
    rest = mp.fsum([mp.exp(one - largest) for i, one in enumerate(row) if i != row.index(largest)])
    return [one - largest - mp.log1p(rest) for one in row]


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    # fsum is exact: of products of float64, which are not rounded in 60 digits.
    return [
        [
            mp.fsum(
                [a * b for a, b in zip(row, w, strict=True)] + ([] if bias is None else [bias[n]])
            )
            for n, w in enumerate(weight)
        ]
        for row in x
    ]


def _layer_norm(x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    y = []
    for row in x:
        mean = mp.fsum(row) / len(row)
        centred = [one - mean for one in row]
        deviation = mp.sqrt(mp.fsum([one * one for one in centred]) / len(row) + mp.mpf(eps))
        normed = zip(centred, gamma, beta, strict=True)
        y.append([one / deviation * g + b for one, g, b in normed])
    return y


def _weights(case: Case) -> Any:
    q, k = _numbers(case.inputs["q"]), _numbers(case.inputs["k"])
    said = case.parameters
    rows = []
    for i, one in enumerate(q):
        own = k[: said["visible"] + i]
        scores = [mp.fdot(one, key) * mp.mpf(said["scale"]) for key in own]
        weights = [w * mp.mpf(said["head_weight"]) for w in _softmax(scores)]
        rows.append(weights + [mp.mpf(0)] * (len(k) - len(own)))
    return rows


def oracle(case: Case) -> Any:
    """What mpmath gives, as rows of numbers of 60 digits."""
    of, function = case.inputs, case.function
    if function in ORACLE:
        finite = [1e6 if x == np.inf else -1e6 if x == -np.inf else x for x in of["x"][0]]
        return [[ORACLE[function](mp.mpf(float(x))) for x in finite]]
    if function in ("softmax", "log_softmax"):
        rows = _numbers(of["x"])
        return [_softmax(row) if function == "softmax" else _log_softmax(row) for row in rows]
    if function == "layer_norm":
        norm = _row(of["gamma"]), _row(of["beta"])
        return _layer_norm(_numbers(of["x"]), *norm, case.parameters["eps"])
    if function == "attention_weights":
        return _weights(case)
    if function == "attention":
        columns = _numbers(of["v"].T)
        return [[mp.fdot(row, column) for column in columns] for row in _weights(case)]
    if function == "embeddings":
        sums = [
            [mp.fsum([mp.mpf(float(one)) for one in parts]) for parts in zip(*rows, strict=True)]
            for rows in zip(
                of["word"][of["ids"]],
                of["type"][of["types"]],
                of["position"][of["positions"]],
                strict=True,
            )
        ]
        return _layer_norm(sums, _row(of["gamma"]), _row(of["beta"]), case.parameters["eps"])
    bias = _row(of["bias"]) if "bias" in of else None
    y = _linear(_numbers(of["x"]), _numbers(of["weight"]), bias)
    if function == "linear":
        return y
    if function == "lm_head":
        y = [[_gelu(one) for one in row] for row in y]
        y = _layer_norm(y, _row(of["gamma"]), _row(of["beta"]), case.parameters["eps"])
        return _linear(y, _numbers(of["table"]), _row(of["table_bias"]))
    y = [[mp.tanh(one) for one in row] for row in y]
    if function == "pooler":
        return y
    assert function == "classification_head"
    return _linear(y, _numbers(of["out_weight"]), _row(of["out_bias"]))


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("positions")])
def test_every_value_is_within_half_a_unit_in_the_last_place(name: str) -> None:
    case = CASES[name]
    got = expected(case)
    assert got.dtype == np.float64
    wanted = oracle(case)
    units = spacing(got, "float64")
    for i, row in enumerate(wanted):
        for j, exact in enumerate(row):
            if not np.isfinite(got[i, j]):
                assert abs(case.inputs["x"][0, j]) == np.inf or abs(exact) > np.finfo(float).max
                assert np.sign(got[i, j]) == mp.sign(exact)
                continue
            off = abs(mp.mpf(float(got[i, j])) - exact)
            at_infinity = case.function in ORACLE and np.isinf(case.inputs["x"][i, j])
            slack = mp.mpf(10) ** -50 * abs(exact)
            assert off <= mp.mpf(float(units[i, j])) / 2 + slack or at_infinity, (name, i, j)


def test_positions_are_those_of_the_ancestors() -> None:
    case = CASES["positions, pad 1"]
    wanted = [[2, 3, 4, 5, 1, 1], [1, 1, 2, 3, 4, 5], [2, 1, 3, 1, 4, 1], [2, 3, 4, 5, 6, 7]]
    np.testing.assert_array_equal(expected(case), wanted)


def test_every_function_has_cases_in_every_type() -> None:
    names = {(case.function, case.name.rpartition(".")[2]) for case in CASES.values()}
    functions = {*ACTIVATIONS, "identity", "layer_norm", "linear", "attention", "attention_weights"}
    functions |= {"embeddings", "pooler", "classification_head", "lm_head"}
    assert {(function, kind) for function in functions for kind in TYPES} <= names
    for case in CASES.values():
        kind = case.name.rpartition(".")[2]
        for values in case.inputs.values():
            if values.dtype != np.int64:
                np.testing.assert_array_equal(values, rounded(kind, values))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors") / "here"
    assert write_vectors(folder) == len(CASES)
    return folder


def test_json_and_safetensors_hold_the_same(folder: Path) -> None:
    tensors = load_file(folder / "vectors.safetensors")
    said = json.loads((folder / "vectors.json").read_text())
    assert said["format"] == "pyroberta vectors 1"
    assert [case["name"] for case in said["cases"]] == list(CASES)
    seen = 0
    for case in said["cases"]:
        for name, array in {**case["inputs"], "output": case["output"]}.items():
            tensor = tensors[f"{case['name']}/{name}"]
            values = np.array([float(one) for one in array["values"]]).reshape(array["shape"])
            np.testing.assert_array_equal(values, tensor)
            seen += 1
    assert seen == len(tensors)


def test_the_checksums_are_of_the_files(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert len(lines) == 3


def test_writing_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_vectors(tmp_path)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_numpy_is_measured(folder: Path, tmp_path: Path) -> None:
    theirs = {}
    for name in ("gelu.float32", "silu.float64", "tanh.float32", "relu.bfloat16"):
        case = CASES[name]
        x = case.inputs["x"].astype(np.float32 if "float32" in name else np.float64)
        with np.errstate(all="ignore"):
            theirs[name] = FORMULAS[case.function](x)
    np.savez(tmp_path / "theirs.npz", **theirs)
    report = check_vectors(folder, tmp_path / "theirs.npz")
    found = {one.name: one.ulps for one in report.results}
    assert found.keys() == theirs.keys()
    assert found["relu.bfloat16"] == 0
    assert found["tanh.float32"] < 3
    assert len(report.missing) == len(CASES) - 4
    assert "4 cases, at most" in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


def test_what_is_wrong_shows(folder: Path) -> None:
    names = ("tanh.float32", "exp.float32", "softmax.float64", "positions, pad 1")
    right = {name: expected(CASES[name]) for name in names}
    assert check_vectors(folder, right).worst == 0
    for name in names:
        wrong = {name: right[name].copy()}
        wrong[name][0, 1] += 1
        assert check_vectors(folder, wrong).worst > 100
    for value in (np.nan, np.inf, -np.inf):
        wrong = {"tanh.float32": right["tanh.float32"].copy()}
        wrong["tanh.float32"][0, 5] = value
        result = check_vectors(folder, wrong).results[0]
        assert (result.ulps, result.at) == (np.inf, 5)


def test_a_unit_in_the_last_place() -> None:
    for kind, dtype in (("float32", np.float32), ("float64", np.float64), ("float16", np.float16)):
        x = np.array([1, 1.5, 3, 1e-3, 1e4, 6e-5, 1e-7]).astype(dtype)
        want = np.spacing(x).astype(np.float64)
        np.testing.assert_array_equal(spacing(x.astype(np.float64), kind), want)
    np.testing.assert_array_equal(spacing(np.array([1.0, 3.0]), "bfloat16"), [2**-7, 2**-6])


@pytest.mark.parametrize(
    ("theirs", "error"),
    [
        ({"nothing": np.ones(3)}, "theirs must have outputs by the names of cases"),
        ({"tanh.float32": np.ones(3)}, r"tanh.float32 must be of shape \[1, "),
        ({"positions, pad 1": np.full((4, 6), "a")}, "positions, pad 1 must be numbers"),
    ],
)
def test_outputs_that_do_not_fit(folder: Path, theirs: Any, error: str) -> None:
    with pytest.raises(InputError, match=error):
        check_vectors(folder, theirs)


def test_folders_that_are_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_vectors(tmp_path, {"tanh.float32": np.ones(3)})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="output must be a folder"):
        write_vectors(tmp_path / "file")


@pytest.mark.parametrize("function", ["gelu", "gelu_tanh", "silu", "quick_gelu", "hard_swish"])
def test_the_smallest_numbers_are_rounded_by_what_is_behind_the_tie(function: str) -> None:
    """Half of the smallest number, and a little more or less of it by 5e-324 itself."""
    least = 5e-324
    case = Case("least.float64", function, {"x": np.array([[least, -least]])}, {})
    assert expected(case).tolist() == [[least, 0.0]]
