"""What several test files need: tiny checkpoints, written without the package's own writer, and
the builds of the kernels.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import ISAS

import pyroberta
from pyroberta import kernels

CLASSES: dict[str, Any] = {
    cls.architecture: cls
    for cls in (
        pyroberta.RobertaModel,
        pyroberta.RobertaForMaskedLM,
        pyroberta.RobertaForSequenceClassification,
        pyroberta.RobertaForTokenClassification,
        pyroberta.RobertaForQuestionAnswering,
        pyroberta.RobertaForMultipleChoice,
    )
}
HEADS = list(CLASSES)
FLOAT64 = {"backend": "reference", "compute_type": "float64"}

# No width is a multiple of 8, and all differ, so that a swapped pair of them cannot pass.
TINY: dict[str, Any] = {
    "model_type": "roberta",
    "vocab_size": 37,
    "max_position_embeddings": 22,
    "type_vocab_size": 2,
    "hidden_size": 18,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "num_labels": 4,
}
MAX_TOKENS = 20  # of TINY: 22 positions less the offset of 2

Tensors = dict[str, np.ndarray]


def draw_shapes(hf: Mapping[str, Any], architecture: str) -> dict[str, tuple[int, ...]]:
    """The tensors of a model, by Hugging Face's names with ``roberta.`` in front."""
    hidden, wide = hf["hidden_size"], hf["intermediate_size"]
    labels, words = hf["num_labels"], hf["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "roberta.embeddings.word_embeddings.weight": (words, hidden),
        "roberta.embeddings.position_embeddings.weight": (hf["max_position_embeddings"], hidden),
        "roberta.embeddings.token_type_embeddings.weight": (hf["type_vocab_size"], hidden),
    }

    def linear(name: str, n: int, k: int) -> None:
        shapes.update({f"{name}.weight": (n, k), f"{name}.bias": (n,)})

    def norm(name: str) -> None:
        shapes.update({f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)})

    norm("roberta.embeddings.LayerNorm")
    for block in range(hf["num_hidden_layers"]):
        at = f"roberta.encoder.layer.{block}"
        for name in ("query", "key", "value"):
            linear(f"{at}.attention.self.{name}", hidden, hidden)
        linear(f"{at}.attention.output.dense", hidden, hidden)
        norm(f"{at}.attention.output.LayerNorm")
        linear(f"{at}.intermediate.dense", wide, hidden)
        linear(f"{at}.output.dense", hidden, wide)
        norm(f"{at}.output.LayerNorm")
    if architecture in ("base", "for_multiple_choice"):
        linear("roberta.pooler.dense", hidden, hidden)
    if architecture == "for_masked_language_modeling":
        linear("lm_head.dense", hidden, hidden)
        norm("lm_head.layer_norm")
        shapes["lm_head.bias"] = (words,)
    elif architecture == "for_sequence_classification":
        linear("classifier.dense", hidden, hidden)
        linear("classifier.out_proj", labels, hidden)
    elif architecture == "for_token_classification":
        linear("classifier", labels, hidden)
    elif architecture == "for_question_answering":
        linear("qa_outputs", 2, hidden)
    elif architecture == "for_multiple_choice":
        linear("classifier", 1, hidden)
    return shapes


def draw_tensors(hf: Mapping[str, Any], architecture: str, seed: int = 0) -> Tensors:
    """Random float32 tensors of a model, drawn for each of ``draw_shapes``."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, shape in draw_shapes(hf, architecture).items():
        values = rng.standard_normal(shape)
        if len(shape) == 2:
            values *= 1.0 if "embeddings" in name else 1.2 * shape[1] ** -0.5
        elif "norm" in name.lower() and name.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values *= 0.3
        tensors[name] = values.astype(np.float32)
    return tensors


def bfloat16(array: np.ndarray) -> np.ndarray:
    """The bits of the upper half of float32 values: rounded towards zero, which is enough here."""
    return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


_DTYPES = {"f8": "F64", "f4": "F32", "f2": "F16", "u2": "BF16", "i8": "I64", "u1": "U8"}


def to_safetensors(tensors: Mapping[str, np.ndarray], header: str | None = None) -> bytes:
    """A safetensors file's bytes; uint16 stands for bfloat16. ``header`` replaces its own."""
    entries, data = {}, b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        entries[name] = {
            "dtype": _DTYPES[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = (json.dumps(entries) if header is None else header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write_folder(path: Path, hf: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Path:
    """A checkpoint's folder: ``config.json`` and ``model.safetensors``."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(dict(hf)))
    (path / "model.safetensors").write_bytes(to_safetensors(tensors))
    return path


def make_folder(path: Path, architecture: str, seed: int = 0, **changes: Any) -> Path:
    """The folder of a tiny random model; ``changes`` are keys of ``config.json``."""
    hf = TINY | changes
    name = CLASSES[architecture].__name__
    return write_folder(path, hf | {"architectures": [name]}, draw_tensors(hf, architecture, seed))


def batch_for(architecture: str, ids: Any) -> Any:
    """``ids [batch, tokens]`` as the architecture takes them: multiple choice with one choice."""
    ids = np.asarray(ids)
    return ids[:, None] if architecture == "for_multiple_choice" else ids


def main_output(output: Any) -> np.ndarray:
    """The array that a call is about: logits (start and end side by side), or hidden states."""
    if hasattr(output, "start_logits"):
        return np.stack([output.start_logits, output.end_logits], axis=-1)
    return output.logits if hasattr(output, "logits") else output.last_hidden_state


def runs_here(isa: str) -> bool:
    """Whether this binary has the build and this CPU can run it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without the extension the skips say so
        return kernels.has_core() and kernels.core().find_kernels(isa) is not None


# Of tests of what the reference has not: its threads, or bits that do not depend on the batch.
OPENMP = runs_here("scalar") and kernels.core().threads == "openmp"
needs_core = pytest.mark.skipif(not runs_here("scalar"), reason="the compiled extension is missing")

# The build in use where nothing else is asked for.
FASTEST = next((isa for isa in reversed(ISAS) if runs_here(isa)), "none")

# For parametrize: the builds that run here, or one that skips.
BUILDS_HERE = [isa for isa in ISAS if runs_here(isa)] or [pytest.param("none", marks=needs_core)]


@contextmanager
def on_build(isa: str) -> Iterator[None]:
    """Models loaded meanwhile run on this build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYROBERTA_ISA", isa)
        yield


def run_python(code: str, *, timeout: float = 60, **environment: str) -> Any:
    """Run ``code`` in a new Python with these variables set; output as text.

    The variables of this process that steer threads and builds are not passed on.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYROBERTA_", "OMP_", "GOMP_"))
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=tempfile.gettempdir(),  # not a source tree, whose package would hide the installed one
    )
