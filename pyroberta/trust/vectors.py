"""Test vectors: hard inputs for each function by itself, with results right to the last bit."""

from __future__ import annotations

import decimal
import functools
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checkpoint import Part, save_tensors
from ..errors import InputError
from ..models.inputs import default_positions
from ..version import __version__
from . import exact_math as exact
from .sums import write_with_sums
from .vector_inputs import Case, all_cases
from .vector_readme import README

FORMAT = "pyroberta vectors 1"
# The version of the inputs and functions: another one gives other files.
VERSION = 1
JSON_FILE, TENSORS_FILE = "vectors.json", "vectors.safetensors"


def write_vectors(output: str | os.PathLike[str]) -> int:
    """Write the vectors to a folder: JSON, safetensors, a README for implementers, checksums.

    Args:
        output: the folder, made where it is missing; files of an older version are replaced.

    Returns:
        How many cases there are.

    Raises:
        InputError: ``output`` is a file.
    """
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output must be a folder, not the file {os.fspath(output)!r}")
    folder.mkdir(parents=True, exist_ok=True)
    said, parts = [], {}
    for case in all_cases():
        arrays = case.inputs | {"output": expected(case)}
        for name, values in arrays.items():
            dtype = "I64" if values.dtype == np.int64 else "F64"
            parts[f"{case.name}/{name}"] = Part(
                dtype, values.shape, functools.partial(np.asarray, values)
            )
        said.append(
            {
                "name": case.name,
                "function": case.function,
                "parameters": case.parameters,
                "inputs": {name: _to_json(values) for name, values in case.inputs.items()},
                "output": _to_json(arrays["output"]),
            }
        )
    save_tensors(folder / TENSORS_FILE, parts, {"format": FORMAT, "version": str(VERSION)})
    head = {"format": FORMAT, "version": VERSION, "pyroberta": __version__}
    text = json.dumps(head | {"cases": said}, indent=1) + "\n"
    write_with_sums(folder, {JSON_FILE: text, "README.md": README}, TENSORS_FILE)
    return len(said)


def _to_json(values: Array) -> dict[str, Any]:
    flat = [_plain(one) for one in values.ravel().tolist()]
    return {"shape": list(values.shape), "values": flat}


def _plain(number: float) -> float | str:
    """A number in JSON; there is no infinity in it."""
    return number if np.isfinite(number) else str(number).replace("inf", "Infinity")


def expected(case: Case) -> Array:
    """What the function gives, rounded once: float64 (positions int64), of the output's shape."""
    if case.function == "positions":
        positions: Array = default_positions(case.inputs["ids"], case.parameters["pad_token_id"])
        return positions
    with decimal.localcontext(exact.context(exact.DIGITS)):
        if case.function in exact.ACTIVATIONS:
            x = case.inputs["x"]
            row = [_activation(case.function, value) for value in x.ravel().tolist()]
            return np.array(row).reshape(x.shape)
        rows = _ROWS[case.function](case)
        return np.array([[float(value) for value in row] for row in rows])


def _activation(name: str, value: float) -> float:
    # Beyond a million every function that has a value at infinity is as it is there.
    x = Decimal(value) if np.isfinite(value) else Decimal(1_000_000).copy_sign(Decimal(value))
    with decimal.localcontext(exact.context(exact.digits_for(x))):
        y = exact.ACTIVATIONS[name](x)
    if np.isfinite(value) or abs(y) < 1000:
        return float(y)
    return float(np.copysign(np.inf, float(y)))


def _matrix(values: Array) -> exact.Matrix:
    return [[Decimal(one) for one in row] for row in values.tolist()]


def _vector(values: Array) -> exact.Vector:
    return [Decimal(one) for one in values.tolist()]


def _eps(case: Case) -> Decimal:
    return Decimal(case.parameters["eps"])


def _softmax(case: Case) -> exact.Matrix:
    function = exact.softmax if case.function == "softmax" else exact.log_softmax
    return [function(row) for row in _matrix(case.inputs["x"])]


def _layer_norm(case: Case) -> exact.Matrix:
    x, gamma, beta = (case.inputs[name] for name in ("x", "gamma", "beta"))
    return exact.layer_norm(_matrix(x), _vector(gamma), _vector(beta), _eps(case))


def _linear(case: Case, weight: str = "weight", bias: str = "bias") -> exact.Matrix:
    b = case.inputs.get(bias)
    return exact.linear(
        _matrix(case.inputs["x"]),
        _matrix(case.inputs[weight]),
        None if b is None else _vector(b),
    )


def _weights(case: Case) -> exact.Matrix:
    said = case.parameters
    q, k = _matrix(case.inputs["q"]), _matrix(case.inputs["k"])
    scale, head_weight = Decimal(said["scale"]), Decimal(said["head_weight"])
    return exact.attention_weights(q, k, said["visible"], scale, head_weight)


def _attention(case: Case) -> exact.Matrix:
    v = _matrix(case.inputs["v"])
    columns = [list(column) for column in zip(*v, strict=True)]
    return [[exact.dot(row, column) for column in columns] for row in _weights(case)]


def _embeddings(case: Case) -> exact.Matrix:
    of = case.inputs
    tables = [_matrix(of[name]) for name in ("word", "type", "position")]
    places = zip(*(of[name].tolist() for name in ("ids", "types", "positions")), strict=True)
    rows = [
        [
            exact.total(parts)
            for parts in zip(*(table[i] for table, i in zip(tables, at, strict=True)), strict=True)
        ]
        for at in places
    ]
    return exact.layer_norm(rows, _vector(of["gamma"]), _vector(of["beta"]), _eps(case))


def _each(function: str, rows: exact.Matrix) -> exact.Matrix:
    return [[exact.ACTIVATIONS[function](one) for one in row] for row in rows]


def _pooler(case: Case) -> exact.Matrix:
    return _each("tanh", _linear(case))


def _classification_head(case: Case) -> exact.Matrix:
    of = case.inputs
    return exact.linear(_pooler(case), _matrix(of["out_weight"]), _vector(of["out_bias"]))


def _lm_head(case: Case) -> exact.Matrix:
    of = case.inputs
    dense = _each("gelu", _linear(case))
    normed = exact.layer_norm(dense, _vector(of["gamma"]), _vector(of["beta"]), _eps(case))
    return exact.linear(normed, _matrix(of["table"]), _vector(of["table_bias"]))


_ROWS = {
    "softmax": _softmax,
    "log_softmax": _softmax,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "attention": _attention,
    "attention_weights": _weights,
    "embeddings": _embeddings,
    "pooler": _pooler,
    "classification_head": _classification_head,
    "lm_head": _lm_head,
}
