"""OpenVINO, from the same ONNX file as ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Engine, Rows, pad_with_mask
from .onnxruntime_engine import export


def convert(model: Path, out: Path, compute_type: str, option: str) -> None:
    """OpenVINO's own files, weights kept in float32 (its default would round them to float16).

    int8 is NNCF's: weights and activations, the latter by ranges that it saw in calibration.
    """
    import openvino

    with tempfile.TemporaryDirectory(dir=out) as folder:
        path = Path(folder) / "exported.onnx"
        export(model, path)
        network = openvino.convert_model(path)
        if compute_type == "int8":
            import nncf

            from .calibration import calibration_rows

            feeds = [_feed([row]) for row in calibration_rows(model)]
            network = nncf.quantize(
                network,
                nncf.Dataset(feeds),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(feeds),
            )
        openvino.save_model(network, out / "model.xml", compress_to_fp16=False)


def prepare(model: Path, converted: Path, threads: int, compute_type: str, option: str) -> Engine:
    """One infer request, used again for each call. The first call at a new shape compiles.

    In int8 its own default says what the rest is computed in: bfloat16 where the CPU has it, which
    is faster from some hundred tokens on and adds little to the error of int8.

    Raises:
        RuntimeError: it will not compute in that type on this CPU.
    """
    import openvino

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    hint = {"float32": "f32", "bfloat16": "bf16"}.get(compute_type)
    if hint is not None:
        options["INFERENCE_PRECISION_HINT"] = hint
    compiled = openvino.Core().compile_model(converted / "model.xml", "CPU", options)
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if hint not in (None, used):
        raise RuntimeError(f"INFERENCE_PRECISION_HINT must be {hint}, not {used}")
    request = compiled.create_infer_request()

    def call(rows: Rows) -> NDArray[np.float32]:
        # The output is OpenVINO's own memory, good until the next call: no copy is made.
        results = request.infer(_feed(rows), share_inputs=True, share_outputs=True)
        hidden: NDArray[np.float32] = results[0]
        return hidden

    return call


def _feed(rows: Rows) -> list[NDArray[np.int64]]:
    return list(pad_with_mask(rows))
