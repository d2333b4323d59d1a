"""Steps of live models of transformers, and of ONNX files, beside a trace: rounding alone."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the parity suite compares with transformers on torch")
pytest.importorskip("transformers", reason="the parity suite compares with transformers")

from parity.cases import COUNT, Case, make_case
from parity.peer import make_peer, torch

import pyroberta
from pyroberta.trust import Comparison, add_outputs, compare, record_modules

pytestmark = pytest.mark.parity

# Every seventh case goes round all heads, families, activations, masks and pads.
SEEDS = range(0, COUNT, 7)


def open_both(case: Case, folder: Path) -> tuple[Any, Any]:
    peer = make_peer(case.family, case.architecture, case.config, case.seed, pooler=case.pooler)
    peer.save_pretrained(folder)
    model = pyroberta.from_pretrained(
        folder, architecture=case.architecture, backend="reference", compute_type="float64"
    )
    return peer, model


def compared(case: Case, peer: Any, model: Any, dtype: Any, attention: str) -> Comparison:
    batch = {name: torch.from_numpy(values) for name, values in case.batch.items()}
    peer.set_attn_implementation(attention)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = pyroberta.trace(model, **case.batch)
        with torch.no_grad(), record_modules(peer.to(dtype)) as steps:
            peer(**batch)
        number_type = str(dtype).removeprefix("torch.")
        return compare(mine, steps, model=model, number_type=number_type)


def test_the_steps_of_transformers_differ_by_rounding_alone(tmp_path: Path) -> None:
    steps, flagged = 0, []
    for seed in SEEDS:
        case = make_case(seed)
        peer, model = open_both(case, tmp_path / str(seed))
        # From wide to narrow: the weights stay those of the file until they are rounded.
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            for attention in ("eager", "sdpa"):
                if dtype == torch.float64 and case.config["hidden_act"] == "gelu_fast":
                    continue  # its sqrt(2 / pi) has ten digits there, which float64 shows
                try:
                    report = compared(case, peer, model, dtype, attention)
                except NotImplementedError:  # an activation that torch lacks in this type
                    continue
                steps += len(report.steps)
                flagged += [(str(case), dtype, attention, one) for one in report.beyond]
                wanted = 13 if attention == "eager" else 12  # without scores, and weights
                assert len(report.steps) >= wanted * case.config["num_hidden_layers"] + 4
    assert steps > 4000
    said = [(name, dtype, how, one.name, one.mean_ratio) for name, dtype, how, one in flagged]
    assert len(flagged) <= steps / 1000, said


def test_a_model_in_training_is_told_by_its_dropout(tmp_path: Path) -> None:
    case = make_case(1)
    config = case.config | {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    peer = make_peer(case.family, case.architecture, config, case.seed)
    peer.save_pretrained(tmp_path)
    model = pyroberta.from_pretrained(
        tmp_path, architecture=case.architecture, backend="reference", compute_type="float64"
    )
    torch.manual_seed(0)
    report = compared(case, peer.train(), model, torch.float32, "eager")
    assert report.first is not None
    assert report.first.name == "block.0.attention.query"  # which reads what dropout has left


@pytest.mark.parametrize("architecture", ["base", "for_masked_language_modeling"])
def test_an_onnx_file_with_its_steps_as_outputs(tmp_path: Path, architecture: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="runs the exported file")
    pytest.importorskip("onnx", reason="add_outputs needs it")
    config = {
        "vocab_size": 60,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "max_position_embeddings": 30,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    peer = make_peer("Roberta", architecture, config, 3, pooler=False)
    peer.save_pretrained(tmp_path / "peer")
    ids = np.random.default_rng(0).integers(4, 60, (2, 9))
    mask = np.ones((2, 9), np.int64)
    ids[1, 6:], mask[1, 6:] = 1, 0

    class Only(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = peer

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.inner(input_ids=ids, attention_mask=mask)[0]

    names = ["input_ids", "attention_mask"]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Only().eval(),
            (torch.tensor(ids), torch.tensor(mask)),
            str(tmp_path / "model.onnx"),
            dynamo=False,
            input_names=names,
            output_names=["logits"],
            opset_version=17,
        )
    outputs = add_outputs(tmp_path / "model.onnx", tmp_path / "steps.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "steps.onnx"))
    results = session.run(outputs, dict(zip(names, (ids, mask), strict=True)))
    steps = dict(zip(outputs, results, strict=True))
    if architecture == "base":
        steps["/encoder/layer.1/output/LayerNorm/LayerNormalization_output_0"] = steps.pop("logits")
    model = pyroberta.from_pretrained(
        tmp_path / "peer", backend="reference", compute_type="float64"
    )
    report = compare(pyroberta.trace(model, ids, mask), steps, model=model)
    assert report.first is None, report
    assert report.missing == ()


def test_onnx_files_that_are_none(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="add_outputs needs it")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(pyroberta.InputError, match="source must be an ONNX file"):
        add_outputs(tmp_path / "text.onnx", tmp_path / "out.onnx")
    with pytest.raises(FileNotFoundError, match="source must be an ONNX file"):
        add_outputs(tmp_path / "nothing.onnx", tmp_path / "out.onnx")
    with (
        pytest.raises(pyroberta.InputError, match=r"model must be a torch\.nn\.Module"),
        record_modules("no model"),
    ):
        pass
