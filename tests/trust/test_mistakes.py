"""Planted mistakes in a port: each is found at the step where it is made, and most are named."""

from __future__ import annotations

from typing import Any

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
