"""Training mode: what is dropped, how often, and what the mean of many draws must be.

The expectations are exact: small models whose every outcome of the draws is enumerated, computed
here by other code than the package's.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
from support import CLASSES, FLOAT64, HEADS, batch_for, main_output, make_folder, needs_core

from pyroberta import InputError

IDS = [[0, 5, 6, 2, 9], [0, 7, 2, 3, 4]]
DRAWS = 2000
NO_DROPOUT = {
    "dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
    "classifier_dropout_rate": 0.0,
}
# One block that is small enough to write out: one head of 4, the identity between its layers.
SMALL = {
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 3,
    "hidden_act": "linear",
}


def assert_mean(draws: np.ndarray, expected: np.ndarray, variance: np.ndarray) -> None:
    """The mean of ``draws [n, ...]`` within 5 standard errors, their variance as it must be."""
    error = np.sqrt(variance / len(draws))
    assert (np.abs(draws.mean(axis=0) - expected) < 5 * error + 1e-12).all()
    # The draws are bounded, so that their variance is near its own expectation too. This is what
    # notices a rate that is off, which leaves the mean of a linear layer as it is.
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.2, atol=1e-12)


def outcomes(rate: float, n: int) -> Any:
    """Each way to drop some of ``n`` entries: the factors that are left, and its probability."""
    for kept in itertools.product([False, True], repeat=n):
        mask = np.array(kept)
        yield mask / (1 - rate), math.prod(np.where(mask, 1 - rate, rate))


def moments(values: list[np.ndarray], weights: list[float]) -> tuple[np.ndarray, np.ndarray]:
    assert math.isclose(sum(weights), 1)
    mean = np.average(values, axis=0, weights=weights)
    return mean, np.average((np.array(values) - mean) ** 2, axis=0, weights=weights)


class Plain:
    """The tensors of a one-block checkpoint, and its steps in NumPy."""

    def __init__(self, model: Any) -> None:
        self.read = lambda name: model._source.read(name, np.float64)

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.read(f"{name}.weight").T + self.read(f"{name}.bias")

    def norm(self, z: np.ndarray, name: str) -> np.ndarray:
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
        return z * self.read(f"{name}.weight") + self.read(f"{name}.bias")

    def rest_of_block(
        self, x: np.ndarray, gathered: np.ndarray, first: Any = 1.0, second: Any = 1.0
    ) -> np.ndarray:
        """From the heads' results on; ``first`` and ``second`` multiply the sub-layers'."""
        at = "encoder.layer.0"
        y = self.linear(gathered, f"{at}.attention.output.dense") * first
        x = self.norm(x + y, f"{at}.attention.output.LayerNorm")
        y = self.linear(self.linear(x, f"{at}.intermediate.dense"), f"{at}.output.dense") * second
        return self.norm(x + y, f"{at}.output.LayerNorm")


@needs_core
@pytest.mark.parametrize("architecture", HEADS)
def test_all_rates_0_are_inference(architecture, tmp_path):
    path = make_folder(tmp_path, architecture)
    ids = batch_for(architecture, IDS)
    exact = CLASSES[architecture].from_pretrained(path, **NO_DROPOUT, **FLOAT64)
    rng = np.random.default_rng(0)
    inference = main_output(exact(ids))
    assert np.array_equal(main_output(exact(ids, training=True, rng=rng)), inference)

    native = CLASSES[architecture].from_pretrained(path, **NO_DROPOUT)
    trained = main_output(native(ids, training=True, rng=rng))
    assert np.abs(trained - main_output(native(ids))).max() < 2e-5
    assert native.backend == "native"


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("architecture", HEADS)
def test_a_seed_gives_the_same_draw_again_and_another_seed_another(architecture, backend, tmp_path):
    model = CLASSES[architecture].from_pretrained(
        make_folder(tmp_path, architecture), backend=backend
    )
    ids = batch_for(architecture, IDS)

    def draw(seed: int) -> np.ndarray:
        return main_output(model(ids, training=True, rng=np.random.default_rng(seed)))

    before = main_output(model(ids))
    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
    assert np.array_equal(main_output(model(ids)), before)


def test_one_generator_gives_one_draw_after_the_other(tmp_path):
    model = CLASSES["base"].from_pretrained(make_folder(tmp_path, "base"), **FLOAT64)
    rng = np.random.default_rng(0)
    one, other = (model(IDS, training=True, rng=rng).pooler_output for _ in range(2))
    assert not np.array_equal(one, other)


def test_the_classifiers_dropout_leaves_the_mean_and_has_the_variance_of_its_rate(tmp_path):
    """Dropout at the input of a linear layer alone: the mean is inference's, exactly."""
    rates = NO_DROPOUT | {"classifier_dropout_rate": 0.3}
    path = make_folder(tmp_path, "for_token_classification")
    model = CLASSES["for_token_classification"].from_pretrained(path, **rates, **FLOAT64)
    output = model(IDS[:1], output_hidden_states=True)
    rng = np.random.default_rng(1)
    draws = [model(IDS[:1], training=True, rng=rng).logits for _ in range(DRAWS)]
    x, weight = output.hidden_states[-1], Plain(model).read("classifier.weight")
    variance = (x**2) @ (weight**2).T * 0.3 / 0.7
    assert_mean(np.array(draws), output.logits, variance)


def test_the_classifiers_rate_is_the_common_one_where_it_is_none(tmp_path):
    path = make_folder(tmp_path, "for_token_classification")
    draws = []
    for rate in (None, 0.4):
        options = {"dropout_rate": 0.4, "classifier_dropout_rate": rate, **FLOAT64}
        model = CLASSES["for_token_classification"].from_pretrained(path, **options)
        draws.append(model(IDS, training=True, rng=np.random.default_rng(2)).logits)
    assert np.array_equal(*draws)


def test_dropped_attention_weights_have_the_mean_over_all_outcomes(tmp_path):
    """Two tokens: a token's result depends on which of its two weights were dropped."""
    rate = 0.4
    rates = NO_DROPOUT | {"attention_dropout_rate": rate}
    path = make_folder(tmp_path, "base", **SMALL)
    model = CLASSES["base"].from_pretrained(path, **rates, **FLOAT64)
    ids = [[5, 7]]
    plain, at = Plain(model), "encoder.layer.0.attention.self"
    x = model(ids, output_hidden_states=True).hidden_states[0][0]
    q, k, v = (plain.linear(x, f"{at}.{name}") for name in ("query", "key", "value"))
    scores = np.exp(q @ k.T / math.sqrt(4))
    weights = scores / scores.sum(axis=-1, keepdims=True)
    values, chances = [], []
    for factors, chance in outcomes(rate, 2):
        values.append(plain.rest_of_block(x, (weights * factors) @ v))
        chances.append(chance)
    # Each token draws for itself, so that the moments of both can be taken at once.
    mean, variance = moments(values, chances)
    rng = np.random.default_rng(3)
    draws = [model(ids, training=True, rng=rng).last_hidden_state[0] for _ in range(DRAWS)]
    assert_mean(np.array(draws), mean, variance)


def test_dropped_embeddings_and_sub_layers_have_the_mean_over_all_outcomes(tmp_path):
    """One token, which attends to itself alone: 4 + 4 + 4 entries, 4,096 outcomes."""
    rate = 0.25
    rates = NO_DROPOUT | {"dropout_rate": rate}
    path = make_folder(tmp_path, "base", **SMALL)
    model = CLASSES["base"].from_pretrained(path, **rates, **FLOAT64)
    ids = [[5]]
    plain = Plain(model)
    embedded = model(ids, output_hidden_states=True).hidden_states[0][0, 0]
    values, chances = [], []
    for factors, chance in outcomes(rate, 12):
        x = embedded * factors[:4]
        v = plain.linear(x, "encoder.layer.0.attention.self.value")
        values.append(plain.rest_of_block(x, v, factors[4:8], factors[8:]))
        chances.append(chance)
    mean, variance = moments(values, chances)
    rng = np.random.default_rng(4)
    draws = [model(ids, training=True, rng=rng).last_hidden_state[0, 0] for _ in range(DRAWS)]
    assert_mean(np.array(draws), mean, variance)
    # It is not inference's result: the layer norms are not linear.
    assert np.abs(mean - model(ids).last_hidden_state[0, 0]).max() > 0.01


def test_training_needs_a_generator_and_a_generator_needs_training(tmp_path):
    model = CLASSES["base"].from_pretrained(make_folder(tmp_path, "base"), **FLOAT64)
    for rng in (None, 1, np.random.RandomState(0)):
        message = f"rng must be a numpy.random.Generator for training, not {rng!r}"
        with pytest.raises(InputError, match=re.escape(message)):
            model(IDS, training=True, rng=rng)
    with pytest.raises(InputError, match="rng must be given with training=True, not without"):
        model(IDS, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="training must be True or False, not 'yes'"):
        model(IDS, training="yes", rng=np.random.default_rng(0))
