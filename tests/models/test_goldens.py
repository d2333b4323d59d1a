"""Every head against outputs that transformers computed in float64 (goldens/make_goldens.py)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import CLASSES, FLOAT64

import pyroberta

GOLDENS = Path(__file__).parents[1] / "goldens"
NAMES = sorted(file.parent.name for file in GOLDENS.glob("*/golden.npz"))


def compare(name: str, bound: float, **options: Any) -> None:
    """Every output of a golden model within ``bound`` at attended places."""
    with np.load(GOLDENS / name / "golden.npz") as file:
        arrays = dict(file)
    inputs = {key[3:]: array for key, array in arrays.items() if key.startswith("in.")}
    model = pyroberta.from_pretrained(GOLDENS / name, **options)
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    tokens = inputs["attention_mask"].shape[-1]
    attended = inputs["attention_mask"].reshape(-1, tokens) > 0
    pairs = attended[:, None, :, None] & attended[:, None, None, :]
    compared = set()
    for key, expected in arrays.items():
        field, _, number = key.removeprefix("out.").partition(".")
        if key.startswith("in."):
            continue
        ours = getattr(output, field)
        ours = ours[int(number)] if number else ours
        assert ours.shape == expected.shape, key
        if field == "attentions":
            where = np.broadcast_to(pairs, expected.shape)
        elif expected.shape[:2] == attended.shape:
            where = attended
        else:  # one vector a row
            where = np.ones(len(expected), bool)
        assert np.abs(ours[where] - expected[where]).max() < bound, key
        compared.add(field)
    given = {f.name for f in dataclasses.fields(output) if getattr(output, f.name) is not None}
    assert given == compared


def test_there_is_a_golden_model_of_every_head():
    kinds = {type(pyroberta.from_pretrained(GOLDENS / name, **FLOAT64)) for name in NAMES}
    assert kinds == set(CLASSES.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_float64_reference_is_within_1e_9_of_transformers(name):
    compare(name, 1e-9, **FLOAT64)


@pytest.mark.parametrize("name", NAMES)
def test_native_float32_is_within_its_rounding_of_transformers_float64(name, isa):
    # NumPy's float32 is up to 4.2e-6 from it on these models: three times that.
    compare(name, 1.2e-5)
