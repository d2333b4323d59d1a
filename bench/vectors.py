"""Engines beside the test vectors: the largest error of each function in units in the last place.

    python -m bench.vectors [--output FILE.md]

Needs ``pyroberta[bench]``. Inputs are float32 numbers, errors in float32's units at the exact
result; beside them ours and PyTorch's in float64 and PyTorch's in bfloat16, in units of those.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from pyroberta import reference
from pyroberta.activations import ACTIVATIONS
from pyroberta.kernels import available_isas, core
from pyroberta.trust import check_vectors, write_vectors
from pyroberta.trust.vector_inputs import Case, all_cases

from .machine import describe_code, describe_machine, versions

_TORCH: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": functools.partial(torch.nn.functional.gelu, approximate="tanh"),
    "gelu_clipped": lambda x: torch.nn.functional.gelu(x).clip(-10, 10),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": torch.relu,
    "relu_squared": lambda x: torch.relu(x) ** 2,
    "relu6": torch.nn.functional.relu6,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": torch.nn.functional.silu,
    "hard_swish": torch.nn.functional.hardswish,
    "hard_tanh": torch.nn.functional.hardtanh,
    "softsign": torch.nn.functional.softsign,
    "exp": torch.exp,
    "elu": torch.nn.functional.elu,
    "selu": torch.nn.functional.selu,
    "softplus": torch.nn.functional.softplus,
    "log_sigmoid": torch.nn.functional.logsigmoid,
    "mish": torch.nn.functional.mish,
    "softmax": functools.partial(torch.softmax, dim=-1),
    "log_softmax": functools.partial(torch.log_softmax, dim=-1),
}
_ONNX = {
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard_swish": ("HardSwish", {}),
    "softsign": ("Softsign", {}),
    "exp": ("Exp", {}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "softplus": ("Softplus", {}),
    "mish": ("Mish", {}),
    "leaky_relu": ("LeakyRelu", {}),
    "softmax": ("Softmax", {}),
    "log_softmax": ("LogSoftmax", {}),
}


def main() -> None:
    """Measure all engines, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    engines: dict[str, tuple[str, Callable[[Case], Any]]] = {
        f"ours, {isa}": ("float32", functools.partial(_ours, core().find_kernels(isa), np.float32))
        for isa in available_isas()
    }
    engines |= {
        "NumPy (reference)": ("float32", functools.partial(_ours, reference, np.float32)),
        "PyTorch": ("float32", functools.partial(_torch, torch.float32)),
        "ONNX Runtime": ("float32", _onnx),
        "reference, float64": ("float64", functools.partial(_ours, reference, np.float64)),
        "PyTorch, float64": ("float64", functools.partial(_torch, torch.float64)),
        "PyTorch, bfloat16": ("bfloat16", functools.partial(_torch, torch.bfloat16)),
    }
    cases = [case for case in all_cases() if case.function != "positions"]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_vectors(folder)
        for engine, (kind, compute) in engines.items():
            outputs = {}
            for case in cases:
                if case.name.endswith(f".{kind}"):
                    y = compute(case)
                    if y is not None:
                        outputs[case.name] = np.asarray(y)
            functions = {case.name: case.function for case in cases}
            for one in check_vectors(folder, outputs).results:
                worst = found.setdefault(functions[one.name], {})
                worst[engine] = max(worst.get(engine, 0.0), one.normal_ulps)
    text = _table(list(engines), found)
    print(text)
    if args.output:
        Path(args.output).write_text(text)


def _index(case: Case) -> int:
    return ACTIVATIONS.index("linear" if case.function == "identity" else case.function)


def _ours(kernels: Any, dtype: Any, case: Case) -> Any:
    """By a build of the kernels, or the reference, whose functions have the same names."""
    of = {
        name: values if values.dtype == np.int64 else values.astype(dtype)
        for name, values in case.inputs.items()
    }
    if set(of) == {"x"}:
        return kernels.activate(_index(case), of["x"])
    said = case.parameters
    if case.function == "layer_norm":
        return kernels.layer_norm(of["x"], None, of["gamma"], of["beta"], said["eps"])
    if case.function == "embeddings":
        return kernels.embeddings(*of.values(), said["eps"])
    if case.function in ("attention", "attention_weights"):
        parts = [of[name] for name in ("q", "k", "v") if name in of]
        numbers = said["visible"], said["scale"], said["head_weight"]
        return getattr(kernels, case.function)(*parts, *numbers)
    y = kernels.linear_rows(of["x"], of["weight"], of.get("bias"))
    if case.function == "lm_head":
        y = kernels.activate(ACTIVATIONS.index("gelu"), y)
        y = kernels.layer_norm(y, None, of["gamma"], of["beta"], said["eps"])
        return kernels.linear_rows(y, of["table"], of["table_bias"])
    if case.function == "linear":
        return y
    y = kernels.activate(ACTIVATIONS.index("tanh"), y)
    if case.function == "pooler":
        return y
    return kernels.linear_rows(y, of["out_weight"], of["out_bias"])


def _torch(dtype: Any, case: Case) -> Any:
    of = {
        name: torch.tensor(values, dtype=None if values.dtype == np.int64 else dtype)
        for name, values in case.inputs.items()
    }
    said, wide = case.parameters, torch.float64 if dtype == torch.float64 else torch.float32
    functional = torch.nn.functional
    if case.function in _TORCH and set(of) == {"x"}:
        return _TORCH[case.function](of["x"]).to(wide)
    if case.function == "layer_norm":
        norm = of["gamma"], of["beta"], said["eps"]
        return functional.layer_norm(of["x"], of["x"].shape[-1:], *norm).to(wide)
    if case.function == "linear":
        return functional.linear(of["x"], of["weight"], of.get("bias")).to(wide)
    if case.function == "attention" and said["visible"] == len(of["k"]):
        q, k, v = (of[name][None, None] for name in ("q", "k", "v"))
        y = functional.scaled_dot_product_attention(q, k, v, scale=said["scale"])
        return (y[0, 0] * said["head_weight"]).to(wide)
    return None


def _onnx(case: Case) -> Any:
    of = {name: values.astype(np.float32) for name, values in case.inputs.items()}
    if case.function in _ONNX and set(of) == {"x"}:
        op, attributes = _ONNX[case.function]
        return _run_node(op, of, attributes)
    if case.function == "layer_norm":
        return _run_node("LayerNormalization", of, {"epsilon": case.parameters["eps"]})
    if case.function == "linear":
        names = {"x": of["x"], "weight": of["weight"]} | (
            {"bias": of["bias"]} if "bias" in of else {}
        )
        return _run_node("Gemm", names, {"transB": 1})
    return None


def _run_node(op: str, feeds: dict[str, Any], attributes: dict[str, Any]) -> Any:
    node = onnx.helper.make_node(op, list(feeds), ["y"], **attributes)
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, values.shape)
        for name, values in feeds.items()
    ]
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph([node], "one", inputs, [output])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def _table(engines: list[str], found: dict[str, dict[str, float]]) -> str:
    packages = ", ".join(f"{k} {v}" for k, v in versions(("numpy", "torch", "onnxruntime")).items())
    lines = [
        "# Functions beside the test vectors",
        "",
        f"The largest error in units in the last place, on {describe_machine()['cpu']},",
        f"commit {describe_code()['commit'][:7]}, {packages}:",
        "`python -m bench.vectors`. Inputs are the hard ones of `pyroberta vectors`: far tails,",
        "sums that cancel (where a unit in the last place of what is left says little of the sum).",
        "inf: not finite where the exact result is, or the other way round. -: the engine does not",
        "have it as one call. Subnormal results are left out: ours are flushed to 0 as the kernels",
        "run, and so are small factors of others (gelu and silu beyond -12 and -87).",
        "",
        f"| function | {' | '.join(engines)} |",
        f"|---|{'---|' * len(engines)}",
    ]
    for function, worst in found.items():
        numbers = (f"{worst[name]:.3g}" if name in worst else "-" for name in engines)
        lines.append(f"| {function} | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
