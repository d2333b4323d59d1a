"""ONNX Runtime: the graph as torch exports it, and the same after its transformer optimiser."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import Engine, Rows, pad_with_mask

OPSET = 17


def export(model: Path, path: Path) -> None:
    """Write the model as ONNX, with free batch and tokens."""
    import torch
    from transformers import RobertaModel

    class LastHidden(torch.nn.Module):
        """The model with one output."""

        def __init__(self) -> None:
            super().__init__()
            self.network = RobertaModel.from_pretrained(
                model, attn_implementation="eager", add_pooling_layer=False
            )

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.network(ids, attention_mask=mask).last_hidden_state
            return output

    ids = torch.randint(5, 100, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    axes = {0: "batch", 1: "tokens"}
    names = ["input_ids", "attention_mask"]
    with torch.inference_mode():
        torch.onnx.export(
            LastHidden().eval(),
            (ids, mask),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes=dict.fromkeys([*names, "last_hidden_state"], axes),
        )


def convert(model: Path, out: Path, compute_type: str, option: str) -> None:
    """``model.onnx``: exported, then optimised and quantised as asked."""
    from bench.models import read_config

    final = out / "model.onnx"
    with tempfile.TemporaryDirectory(dir=out) as folder:
        path = Path(folder) / "exported.onnx"
        export(model, path)
        if option == "optimised":
            from onnxruntime.transformers.optimizer import optimize_model

            config = read_config(model)
            optimised = optimize_model(
                str(path),
                model_type="bert",
                num_heads=config["num_attention_heads"],
                hidden_size=config["hidden_size"],
                opt_level=0,
            )
            path = Path(folder) / "optimised.onnx"
            optimised.save_model_to_file(str(path))
        if compute_type == "int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            exact, path = path, Path(folder) / "int8.onnx"
            quantize_dynamic(
                exact,
                path,
                per_channel=True,
                weight_type=QuantType.QInt8,
                # The type of tensors that shape inference does not know: float. Without it the
                # quantiser stops at the fused nodes.
                extra_options={"DefaultTensorType": 1},
            )
        path.rename(final)


def prepare(model: Path, converted: Path, threads: int, compute_type: str, option: str) -> Engine:
    """A session with all graph optimisations. Its pool spins within a turn, as it does by default;
    that is faster for it than sleeping.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        str(converted / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )

    def call(rows: Rows) -> NDArray[np.float32]:
        ids, mask = pad_with_mask(rows)
        feed = {"input_ids": ids, "attention_mask": mask}
        hidden: NDArray[np.float32] = session.run(None, feed)[0]
        return hidden

    return call
