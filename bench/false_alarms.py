"""How often ``pyroberta compare`` calls rounding a mistake: engines that compute the right thing.

    python -m bench.false_alarms [--real FOLDER] [--models N] [--inputs N] [--output FILE.md]

Needs ``pyroberta[bench]`` and onnxscript. Each engine's steps are compared with ours in float64;
a step that is flagged is listed with the guess at its cause.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
import transformers
from safetensors.numpy import load_file, save_file

import pyroberta
from pyroberta.checkpoint import FileSource
from pyroberta.shipped import SHIPPED
from pyroberta.trust import Trace, add_outputs, compare, record_modules

from .jax_model import jax_steps
from .machine import describe_code, describe_machine, versions

_CLASSES = {
    "base": (pyroberta.RobertaModel, transformers.RobertaModel),
    "words": (pyroberta.RobertaForMaskedLM, transformers.RobertaForMaskedLM),
    "labels": (
        pyroberta.RobertaForSequenceClassification,
        transformers.RobertaForSequenceClassification,
    ),
    "tokens": (
        pyroberta.RobertaForTokenClassification,
        transformers.RobertaForTokenClassification,
    ),
    "span": (pyroberta.RobertaForQuestionAnswering, transformers.RobertaForQuestionAnswering),
}
# Class, blocks, width, heads, activation, epsilon, standard deviation of the weights.
_DRAWN = [
    ("words", 2, 64, 4, "gelu", 1e-5, 0.1),
    ("base", 4, 128, 4, "gelu", 1e-12, 0.05),
    ("labels", 3, 96, 6, "gelu_tanh", 1e-5, 0.2),
    ("tokens", 2, 192, 3, "relu", 1e-5, 0.3),
    ("span", 6, 64, 2, "gelu", 1e-6, 0.1),
    ("words", 12, 128, 8, "gelu", 1e-5, 0.02),
    ("base", 2, 256, 4, "silu", 1e-5, 0.08),
    ("labels", 1, 384, 12, "gelu", 1e-5, 0.5),
]
_ENGINES = (
    "PyTorch eager float32",
    "PyTorch SDPA float32",
    "PyTorch eager bfloat16",
    "PyTorch SDPA bfloat16",
    "ONNX Runtime plain",
    "ONNX Runtime optimised",
    "OpenVINO float32",
    "OpenVINO bfloat16",
    "JAX float32",
    "JAX bfloat16",
)


@dataclasses.dataclass
class Tally:
    """What was counted of an engine."""

    steps: int = 0
    flagged: int = 0
    means: list[float] = dataclasses.field(default_factory=list)
    single: float = 0.0
    said: list[str] = dataclasses.field(default_factory=list)


def main() -> None:
    """Run all engines over all models and inputs, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", help="the folder of a real RobertaModel")
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--inputs", type=int, default=20)
    parser.add_argument("--output")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tallies = {engine: Tally() for engine in _ENGINES}
    with tempfile.TemporaryDirectory() as work:
        for number, (name, kind, folder) in enumerate(_models(Path(work), args.real)):
            if number == args.models:
                break
            model = Engines(name, kind, folder, Path(work) / f"onnx{number}")
            for n in range(args.inputs):
                model.run(np.random.default_rng([number, n]), tallies)
            print(name, {e: (t.flagged, t.steps) for e, t in tallies.items()}, flush=True)
    text = _table(tallies, args.models, args.inputs)
    print(text)
    if args.output:
        Path(args.output).write_text(text)


def _models(work: Path, real: str | None) -> Iterator[tuple[str, str, Path]]:
    if real is not None:
        yield "real", "base", Path(real)
    yield "shipped", "words", Path(SHIPPED)
    for n, (kind, blocks, width, heads, activation, eps, spread) in enumerate(_DRAWN):
        config = pyroberta.RobertaConfig(
            vocab_size=1000,
            num_blocks=blocks,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=4 * width,
            max_positions=130,
            activation=activation,
            layer_norm_epsilon=eps,
            initializer_range=spread,
            num_labels=2 if kind == "span" else 3,
        )
        folder = work / f"drawn{n}"
        model = _CLASSES[kind][0].from_config(config, seed=n)
        model.save_pretrained(folder)
        rng = np.random.default_rng(n)
        tensors = load_file(folder / "model.safetensors")
        for values in tensors.values():
            if values.ndim == 1:
                values += rng.normal(0, 0.2, values.shape).astype(np.float32)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        yield f"drawn {kind}, {blocks} x {width}, {activation}", kind, folder


class Engines:
    """One model in every engine."""

    def __init__(self, name: str, kind: str, folder: Path, work: Path) -> None:
        mine, theirs = _CLASSES[kind]
        self.name = name
        self.model = mine.from_pretrained(folder, backend="reference", compute_type="float64")
        source = FileSource(folder)
        self.tensors = {one: source.read(one) for one in source.names()}
        options: dict[str, Any] = {}
        if kind == "base":
            options["add_pooling_layer"] = "pooler.dense.weight" in self.tensors
        self.torch = {}
        for attention in ("eager", "sdpa"):
            for dtype in (torch.float32, torch.bfloat16):
                loaded = theirs.from_pretrained(
                    folder, attn_implementation=attention, dtype=dtype, **options
                )
                self.torch[attention, dtype] = loaded.eval()
        self.hf = self.torch["eager", torch.float32].config.to_dict()
        work.mkdir()
        self._export(work)

    def _export(self, work: Path) -> None:
        eager = self.torch["eager", torch.float32]
        ids = torch.full((2, 9), 7)
        dynamic = {0: "batch", 1: "tokens"}
        torch.onnx.export(
            _Tuple(eager).eval(),  # else the export turns dropout on, for good
            (ids, torch.ones_like(ids)),
            str(work / "model.onnx"),
            dynamo=False,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": dynamic, "attention_mask": dynamic},
            opset_version=17,
        )
        every, few = str(work / "every.onnx"), str(work / "few.onnx")
        self.every = add_outputs(work / "model.onnx", every)
        self.few = add_outputs(work / "model.onnx", few, ["*LayerNormalization_output_0"])
        self.sessions = {}
        for name, file, level in (
            ("plain", every, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL),
            ("optimised", few, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL),
        ):
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = level
            options.intra_op_num_threads = 1
            self.sessions[name] = onnxruntime.InferenceSession(
                file, options, providers=["CPUExecutionProvider"]
            )
        core = openvino.Core()
        self.openvino = {
            kind: core.compile_model(
                core.read_model(few), "CPU", {"INFERENCE_PRECISION_HINT": kind}
            )
            for kind in ("f32", "bf16")
        }

    def run(self, rng: np.random.Generator, tallies: dict[str, Tally]) -> None:
        """Compare each engine on one input."""
        config = self.model.config
        batch, tokens = int(rng.integers(1, 4)), int(rng.integers(4, 41))
        ids = rng.integers(4, min(config.vocab_size, 50000), (batch, tokens))
        mask = np.ones((batch, tokens), np.int64)
        if batch > 1:
            mask[1, int(rng.integers(2, tokens)) :] = 0
        ids[mask == 0] = config.pad_token_id
        mine = pyroberta.trace(self.model, ids, mask)
        for engine, steps, number_type in self._steps(ids, mask):
            self._count(tallies[engine], mine, steps, number_type)

    def _steps(self, ids: Any, mask: Any) -> Iterator[tuple[str, Any, str]]:
        for (attention, dtype), model in self.torch.items():
            with torch.no_grad(), record_modules(model) as steps:
                model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask))
            number_type = str(dtype).removeprefix("torch.")
            label = {"eager": "eager", "sdpa": "SDPA"}[attention]
            yield f"PyTorch {label} {number_type}", steps, number_type
        feeds = {"input_ids": ids, "attention_mask": mask}
        for name, session in self.sessions.items():
            names = self.every if name == "plain" else self.few
            results = dict(zip(names, session.run(names, feeds), strict=True))
            yield f"ONNX Runtime {name}", self._named(results), "float32"
        for kind, number_type in (("f32", "float32"), ("bf16", "bfloat16")):
            results = dict(zip(self.few, self.openvino[kind](feeds).values(), strict=True))
            yield f"OpenVINO {number_type}", self._named(results), number_type
        for number_type in ("float32", "bfloat16"):
            steps = jax_steps(self.hf, self.tensors, ids, mask, number_type)
            yield f"JAX {number_type}", steps, number_type

    def _named(self, results: dict[str, Any]) -> dict[str, Any]:
        """Without what is no step of this class: a base model's only output is the last norm."""
        if isinstance(self.model, pyroberta.RobertaModel):
            del results["logits"]
        return results

    def _count(self, tally: Tally, mine: Trace, steps: Any, number_type: str) -> None:
        report = compare(mine, steps, model=self.model, number_type=number_type)
        tally.steps += len(report.steps)
        tally.flagged += len(report.beyond)
        for step in report.steps:
            if step.mean_ratio:  # rows of a table have no error in their own type
                tally.means.append(step.mean_ratio)
            tally.single = max(tally.single, step.single_ratio)
        for step in report.beyond:
            tally.said.append(
                f"{self.name}: {step.name} ({step.theirs}), {step.mean_ratio:.2g} and "
                f"{step.single_ratio:.3g} times; {', '.join(report.causes) or 'no guess'}"
            )


class _Tuple(torch.nn.Module):
    """A model whose output is one array: start and end logits side by side."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Any, mask: Any) -> Any:
        output = self.model(input_ids=ids, attention_mask=mask)
        if hasattr(output, "start_logits"):
            return torch.stack([output.start_logits, output.end_logits], -1)
        return output[0]


def _table(tallies: dict[str, Tally], models: int, inputs: int) -> str:
    names = "torch", "transformers", "onnxruntime", "openvino", "jax"
    packages = ", ".join(f"{name} {version}" for name, version in versions(names).items())
    lines = [
        "# False alarms of `pyroberta compare`",
        "",
        f"{models} models x {inputs} inputs each, on {describe_machine()['cpu']},",
        f"commit {describe_code()['commit'][:7]}, {packages}:",
        "`python -m bench.false_alarms`. A step's error over what rounding is expected to do: as",
        "root mean square (mean), and of the number farthest off (single). A step is flagged",
        "beyond 3 and beyond 16.",
        "",
        "| engine | steps | flagged | mean, median | mean, largest | single, largest |",
        "|---|---|---|---|---|---|",
    ]
    for engine, tally in tallies.items():
        lines.append(
            f"| {engine} | {tally.steps} | {tally.flagged} | {np.median(tally.means):.2f} | "
            f"{max(tally.means):.2f} | {tally.single:.1f} |"
        )
    steps, flagged = (sum(getattr(t, n) for t in tallies.values()) for n in ("steps", "flagged"))
    lines += ["", f"In all {flagged} of {steps} steps.", ""]
    for engine, tally in tallies.items():
        lines += [f"- {engine}: {said}" for said in tally.said[:20]]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
