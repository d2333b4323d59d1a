"""OpenVINO, from the same ONNX file as ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import Engine, Rows, pad_with_mask
from .onnxruntime_engine import export


def convert(model: Path, out: Path, compute_type: str, option: str) -> None:
    """OpenVINO's own files, weights kept in float32 (its default would round them to float16)."""
    import openvino

    with tempfile.TemporaryDirectory(dir=out) as folder:
        path = Path(folder) / "exported.onnx"
        export(model, path)
        openvino.save_model(openvino.convert_model(path), out / "model.xml", compress_to_fp16=False)


def prepare(model: Path, converted: Path, threads: int, compute_type: str, option: str) -> Engine:
    """One infer request, used again for each call. The first call at a new shape compiles."""
    import openvino

    compiled = openvino.Core().compile_model(
        converted / "model.xml",
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[compute_type],
        },
    )
    request = compiled.create_infer_request()

    def call(rows: Rows) -> NDArray[np.float32]:
        ids, mask = pad_with_mask(rows)
        # The output is OpenVINO's own memory, good until the next call: no copy is made.
        results = request.infer([ids, mask], share_inputs=True, share_outputs=True)
        hidden: NDArray[np.float32] = results[0]
        return hidden

    return call
