"""Planted mistakes in a port: each is found at the step where it is made, and most are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from trust.mistakes import MISTAKES, Mistake
from trust.port import Port

from pyroberta.trust import compare


def run_port(example: Any, mistake: str = "") -> Any:
    port = Port(example.sizes, example.tensors, mistake)
    return port(example.ids, example.mask, example.types)


@pytest.mark.parametrize("kind", ["words", "full", "new gelu", "next words", "labels"])
def test_a_port_without_a_mistake_differs_by_rounding_alone(examples: Any, kind: str) -> None:
    example = examples[kind]
    report = compare(example.trace(), run_port(example), model=example.model)
    assert report.first is None
    assert report.missing == ()
    assert report.number_type == "float32"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: f"{one.name} ({one.model})")
def test_a_mistake_is_found_where_it_is_made(examples: Any, mistake: Mistake) -> None:
    example = examples[mistake.model]
    report = compare(example.trace(), run_port(example, mistake.name), model=example.model)
    assert report.first is not None, report
    assert report.first.name == mistake.first, report
    assert any(mistake.cause in cause for cause in report.causes) or not mistake.cause, report


@pytest.mark.parametrize("step", ["block.0.attention.query", "block.1.output.norm", "logits"])
def test_one_number_that_is_off_is_found(examples: Any, step: str) -> None:
    """By itself: the root mean square of its step hardly moves."""
    example = examples["words"]
    theirs = run_port(example)
    theirs[step] = theirs[step].copy()
    theirs[step][0, 2, 7] += np.float32(3e-6) * np.abs(theirs[step]).max()
    report = compare(example.trace(), theirs, model=example.model)
    assert report.first is not None
    assert report.first.name == step
    assert report.first.mean_ratio < 3 < 16 < report.first.single_ratio


@pytest.mark.parametrize("weight", [2e-6, 1e-4, 0.3])
def test_weight_on_a_masked_key_is_found(examples: Any, weight: float) -> None:
    """Whatever it is, and though the weights of the attended keys are right."""
    example = examples["words"]
    theirs = run_port(example)
    theirs["block.1.attention.weights"] = theirs["block.1.attention.weights"].copy()
    theirs["block.1.attention.weights"][1, 0, 3, 9] = weight
    report = compare(example.trace(), theirs, model=example.model)
    assert report.first is not None
    assert report.first.name == "block.1.attention.weights"
    assert "masked keys are attended to" in report.causes[0]
