"""A trace has every step by name, with the bits that a call computes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import pyroberta
from pyroberta import InputError, RobertaConfig
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.trust import Trace

CONFIG = RobertaConfig(
    num_blocks=2,
    hidden_size=48,
    num_attention_heads=3,
    intermediate_size=80,
    vocab_size=90,
    max_positions=60,
    num_labels=3,
    initializer_range=0.3,
)
IDS = np.random.default_rng(0).integers(4, 90, (3, 20))
MASK = np.ones((3, 20), np.int64)
MASK[1, 15:] = MASK[2, 3:6] = 0
CLASSES = [
    pyroberta.RobertaModel,
    pyroberta.RobertaForMaskedLM,
    pyroberta.RobertaForSequenceClassification,
    pyroberta.RobertaForTokenClassification,
    pyroberta.RobertaForQuestionAnswering,
    pyroberta.RobertaForMultipleChoice,
    pyroberta.RobertaForCausalLM,
]
BACKENDS = [("reference", "float64"), *(("reference", t) for t in COMPUTE_TYPES)]
BACKENDS += [("native", t) for t in COMPUTE_TYPES]


def inputs_of(cls: Any) -> tuple[Any, Any]:
    if cls is pyroberta.RobertaForMultipleChoice:
        return IDS[None], MASK[None]
    return IDS, MASK


@pytest.mark.parametrize(("backend", "compute_type"), BACKENDS)
@pytest.mark.parametrize("cls", CLASSES)
def test_steps_have_the_bits_of_a_call(cls: Any, backend: str, compute_type: str) -> None:
    model = cls.from_config(CONFIG, seed=1, backend=backend, compute_type=compute_type)
    ids, mask = inputs_of(cls)
    trace = pyroberta.trace(model, ids, mask)
    output = model(ids, mask, output_hidden_states=True, output_attentions=True)
    hidden = [trace["embeddings.norm"], *(trace[f"block.{n}.output.norm"] for n in range(2))]
    for got, want in zip(hidden, output.hidden_states, strict=True):
        np.testing.assert_array_equal(got, want)
    for n, want in enumerate(output.attentions):
        np.testing.assert_array_equal(trace[f"block.{n}.attention.weights"], want)
    if cls is pyroberta.RobertaModel:
        np.testing.assert_array_equal(trace["head.pooler"], output.pooler_output)
    elif cls is pyroberta.RobertaForQuestionAnswering:
        attended = MASK > 0
        np.testing.assert_array_equal(
            trace["logits"][attended],
            np.stack([output.start_logits, output.end_logits], -1)[attended],
        )
    else:
        np.testing.assert_array_equal(trace["logits"].ravel(), output.logits.ravel())


@pytest.mark.parametrize(
    ("backend", "compute_type", "most"), [("native", "float32", 0), ("reference", "float64", 1e-12)]
)
def test_the_steps_of_cross_attention(
    backend: str, compute_type: str, most: float, tmp_path: Path
) -> None:
    config = dataclasses.replace(CONFIG, use_cross_attention=True)
    model = pyroberta.RobertaForCausalLM.from_config(
        config, seed=1, backend=backend, compute_type=compute_type
    )
    x = np.random.default_rng(2).standard_normal((3, 7, 48)).astype(np.float32)
    encoder = {"encoder_hidden_state": x, "encoder_attention_mask": np.arange(7) < [[7], [4], [2]]}
    trace = pyroberta.trace(model, IDS, MASK, output=tmp_path / "t.safetensors", **encoder)
    output = model(IDS, MASK, output_attentions=True, **encoder)
    # NumPy's products of keys and values apart and together differ in the last bits.
    np.testing.assert_allclose(trace["logits"], output.logits, rtol=0, atol=most)
    for n, want in enumerate(output.cross_attentions):
        got = trace[f"block.{n}.cross_attention.weights"]
        np.testing.assert_allclose(got, want, rtol=0, atol=most)
    assert trace["block.0.cross_attention.key"].shape == (3, 7, 48)
    assert trace.case.encoder is not None
    with pytest.raises(InputError, match="encoder_hidden_state must be given"):
        pyroberta.trace(model, IDS, MASK)


def test_head_masks_and_explicit_positions_are_those_of_a_call() -> None:
    model = pyroberta.RobertaForMaskedLM.from_config(CONFIG, seed=1)
    options: dict[str, Any] = {
        "token_type_ids": np.zeros_like(IDS),
        "position_ids": np.arange(20)[::-1] + np.zeros((3, 1), np.int64),
        "attention_head_mask": np.array([[1, 0, 0.5], [2, 1, 1]]),
    }
    trace = pyroberta.trace(model, IDS, MASK, **options)
    np.testing.assert_array_equal(trace["logits"], model(IDS, MASK, **options).logits)


def test_steps_follow_from_each_other() -> None:
    model = pyroberta.RobertaForMaskedLM.from_config(
        CONFIG, seed=1, backend="reference", compute_type="float64"
    )
    trace = pyroberta.trace(model, IDS, MASK, layout="ragged")
    total = int(MASK.sum())
    parts = [trace[f"embeddings.{name}"] for name in ("word", "token_type", "position")]
    np.testing.assert_array_equal(trace["embeddings.sum"], parts[0] + parts[1] + parts[2])
    assert trace["block.0.intermediate.product"].shape == (total, 80)
    lengths = MASK.sum(1)
    assert trace["block.0.attention.scores"].shape == (3 * (lengths**2).sum(),)
    x, y = trace["block.1.output.product"], trace["block.1.attention.norm"]
    np.testing.assert_array_equal(trace["block.1.output.residual"], x + y)


def test_masked_scores_are_minus_infinity_and_masked_tokens_zero() -> None:
    model = pyroberta.RobertaModel.from_config(CONFIG, seed=1)
    trace = pyroberta.trace(model, IDS, MASK)
    scores = trace["block.0.attention.scores"]
    pairs = np.broadcast_to((MASK[:, None, :, None] * MASK[:, None, None, :]) > 0, scores.shape)
    np.testing.assert_array_equal(np.isneginf(scores), ~pairs)
    assert not trace["embeddings.norm"][MASK == 0].any()


@pytest.mark.parametrize("layout", ["padded", "ragged"])
def test_a_file_holds_what_memory_does(tmp_path: Path, layout: Any) -> None:
    model = pyroberta.RobertaForSequenceClassification.from_config(CONFIG, seed=1)
    file = tmp_path / "deep" / "trace.safetensors"
    ids, mask = IDS[:2], MASK[:2]
    kept = pyroberta.trace(model, ids, mask, layout=layout)
    written = pyroberta.trace(model, ids, mask, layout=layout, output=file)
    again = Trace.open(file)
    assert list(kept) == list(written) == list(again)
    for name in kept:
        np.testing.assert_array_equal(kept[name], again[name])
    assert again.metadata == kept.metadata
    with safe_open(file, "numpy") as opened:  # the library reads it, and the metadata are there
        assert set(opened.keys()) == set(kept)
        assert {"config", "inputs", "steps", "checksum"} <= opened.metadata().keys()


def test_some_steps_alone(tmp_path: Path) -> None:
    model = pyroberta.RobertaForMaskedLM.from_config(CONFIG, seed=1)
    file = tmp_path / "t.safetensors"
    trace = pyroberta.trace(model, IDS, MASK, steps=["block.1.*.norm", "logits"], output=file)
    assert list(trace) == ["block.1.attention.norm", "block.1.output.norm", "logits"]
    np.testing.assert_array_equal(trace["logits"], model(IDS, MASK).logits)


def test_the_checksum_is_of_the_weights_alone(tmp_path: Path) -> None:
    model = pyroberta.RobertaModel.from_config(CONFIG, seed=1)
    model.save_pretrained(tmp_path / "a")
    opened = pyroberta.RobertaModel.from_pretrained(tmp_path / "a", compute_type="int8")
    other = pyroberta.RobertaModel.from_config(CONFIG, seed=2)
    of = [
        pyroberta.trace(one, IDS, MASK, steps=["embeddings.sum"]).metadata["checksum"]
        for one in (model, opened, other)
    ]
    assert of[0] == of[1] != of[2]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"layout": "flat"}, "layout must be 'padded' or 'ragged', not 'flat'"),
        ({"steps": ["nothing.*"]}, "steps must be patterns of steps' names"),
        ({"steps": "block.0.*"}, "steps must be a list of patterns"),
        ({"encoder_hidden_state": np.zeros((3, 2, 48))}, "encoder_hidden_state must be None"),
        ({"attention_mask": np.ones((3, 2))}, "attention_mask must have the shape"),
    ],
)
def test_what_a_trace_refuses(options: dict[str, Any], error: str) -> None:
    model = pyroberta.RobertaModel.from_config(CONFIG, seed=1)
    with pytest.raises(InputError, match=error):
        pyroberta.trace(model, IDS, **options)


def test_a_packed_model_and_what_is_no_model_are_refused(tmp_path: Path) -> None:
    pyroberta.RobertaModel.from_config(CONFIG, seed=1).save_packed(tmp_path / "packed")
    packed = pyroberta.RobertaModel.from_pretrained(tmp_path / "packed")
    with pytest.raises(InputError, match="model must come from a checkpoint"):
        pyroberta.trace(packed, IDS, MASK)
    no_model: Any = "model"
    with pytest.raises(InputError, match="model must be a model of this package"):
        pyroberta.trace(no_model, IDS, MASK)


def test_a_file_that_is_no_trace_is_refused_by_name(tmp_path: Path) -> None:
    model = pyroberta.RobertaModel.from_config(CONFIG, seed=1)
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"model.safetensors must be a trace"):
        Trace.open(tmp_path / "model.safetensors")
    file = tmp_path / "t.safetensors"
    pyroberta.trace(model, IDS, MASK, output=file)
    data = file.read_bytes()
    for old, new in (
        (b'"architecture": "base"', b'"architecturx": "base"'),
        (b'\\"causal\\": false', b'\\"casual\\": false'),
        (b'\\"hidden_size\\": 48', b'\\"hidden_size\\": -8'),
    ):
        assert old in data
        file.write_bytes(data.replace(old, new))
        with pytest.raises(InputError, match="must be a whole trace"):
            Trace.open(file)


def test_scores_behind_a_query_are_minus_infinity_in_a_causal_model() -> None:
    model = pyroberta.RobertaForCausalLM.from_config(CONFIG, seed=1)
    scores = pyroberta.trace(model, IDS[:1])["block.1.attention.scores"]
    later = np.triu(np.ones((20, 20), bool), 1)
    assert np.isneginf(scores[..., later]).all()
    assert np.isfinite(scores[..., ~later]).all()
