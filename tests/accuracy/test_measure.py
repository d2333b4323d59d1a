"""Accuracy of compute types on rows of ids: against the same numbers computed row by row here."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from support import FLOAT64, TINY, draw_tensors, make_folder, needs_core, write_folder

import pyroberta
from pyroberta import CheckpointError, ConfigError, InputError
from pyroberta.accuracy import (
    Measurement,
    Row,
    Thresholds,
    measure,
)
from pyroberta.accuracy.scores import spearman
from pyroberta.accuracy.sums import cosines

HEADS = [
    "base",
    "for_masked_language_modeling",
    "for_causal_language_modeling",
    "for_sequence_classification",
    "for_token_classification",
    "for_question_answering",
]
IDS = [[0, 5, 6, 7, 2], [0, 2], [0, 30, 31, 8, 9, 10, 11, 2], [0, 7, 7, 2], [0, 36, 5, 2], [4]]


def checkpoint(path, head, noise=0.0, **changes):
    """A tiny checkpoint; ``noise`` is what its weights are off by."""
    written = "for_masked_language_modeling" if "language" in head else head
    folder = make_folder(path / "exact", written, **changes)
    if noise:
        tensors = draw_tensors(TINY | changes, written)
        rng = np.random.default_rng(6)
        for name, array in tensors.items():
            tensors[name] = array + (noise * rng.standard_normal(array.shape)).astype(np.float32)
        folder = write_folder(
            path / "noisy", json.loads((folder / "config.json").read_text()), tensors
        )
    return folder


def open_models(path, head, **changes):
    """The exact model and two others: the same in float32, and one that is far off."""
    load = {"architecture": head, "output_attentions": True}
    exact = pyroberta.from_pretrained(checkpoint(path, head, **changes), **load, **FLOAT64)
    good = pyroberta.from_pretrained(checkpoint(path, head, **changes), **load)
    rough = pyroberta.from_pretrained(checkpoint(path, head, 0.8, **changes), **load)
    return exact, {"good": good, "rough": rough}


def row_arrays(model, row):
    """Hidden states ``[tokens, hidden]`` of one row and its logits ``[decisions, choices]``."""
    output = model([row.ids], output_hidden_states=True)
    hidden = [one[0].astype(np.float64) for one in output.hidden_states]
    if hasattr(output, "start_logits"):
        logits = np.stack([output.start_logits[0], output.end_logits[0]])
    elif not hasattr(output, "logits"):
        logits = np.empty((0, 1))
    else:
        logits = output.logits[0] if output.logits.ndim == 3 else output.logits
        if row.places is not None:
            logits = logits[row.places]
    return hidden, logits.astype(np.float64)


def check(found, exact, model, rows):
    """``found`` is what NumPy says of the rows, each computed alone."""
    pairs = [(row_arrays(model, row), row_arrays(exact, row)) for row in rows]
    for n, one in enumerate(found.hidden_states):
        got = np.concatenate([g[0][n] for g, _ in pairs])
        want = np.concatenate([w[0][n] for _, w in pairs])
        assert one.name == (f"block {n - 1}" if n else "embeddings")
        assert one.max_error == pytest.approx(np.abs(got - want).max(), rel=1e-6)
        assert one.mean_error == pytest.approx(np.abs(got - want).mean(), rel=1e-6)
        norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
        assert one.mean_cosine == pytest.approx(((got * want).sum(1) / norms).mean(), abs=1e-12)
    if isinstance(exact, pyroberta.RobertaModel):
        assert found.logits is found.agreement is None
        assert found.decisions == 0
        return
    errors = np.concatenate([np.abs(g[1] - w[1]).ravel() for g, w in pairs])
    assert found.logits.max_error == pytest.approx(errors.max(), rel=1e-6)
    assert found.logits.mean_error == pytest.approx(errors.mean(), rel=1e-6)
    assert found.logits.mean_cosine is None
    same = np.concatenate([g[1].argmax(1) == w[1].argmax(1) for g, w in pairs])
    assert found.decisions == len(same)
    assert found.agreement == same.mean()


@needs_core
@pytest.mark.parametrize("batch_tokens", [1, 9, 4096])
@pytest.mark.parametrize("head", HEADS)
def test_numbers_are_those_of_each_row_alone(tmp_path, head, batch_tokens):
    exact, models = open_models(tmp_path, head)
    rows = [Row(ids) for ids in IDS]
    done = []
    measurement = Measurement(exact, models, batch_tokens=batch_tokens, progress=done.append)
    measurement.add(rows[:4])
    measurement.add(rows[4:])
    good, rough = measurement.results()
    check(good, exact, models["good"], rows)
    check(rough, exact, models["rough"], rows)
    assert [good.compute_type, rough.compute_type] == ["good", "rough"]
    assert good.worst_error.max_error < 1e-4 < 0.1 < rough.worst_error.max_error
    if head != "base":
        assert good.agreement == 1 > rough.agreement
    assert measurement.rows == sum(done) == len(IDS)
    assert measurement.tokens == sum(map(len, IDS))
    assert good.score is good.score_change is good.vectors is None


@needs_core
@pytest.mark.parametrize("head", HEADS[1:3])
def test_a_language_model_is_compared_at_the_places_asked_for(tmp_path, head):
    exact, models = open_models(tmp_path, head)
    places = [[1, 3], [], None, [0], [2], None]
    rows = [Row(ids, of_row) for ids, of_row in zip(IDS, places, strict=True)]
    measurement = Measurement(exact, models)
    measurement.add(rows)
    check(measurement.results()[1], exact, models["rough"], rows)
    assert measurement.results()[0].decisions == 2 + 0 + 8 + 1 + 1 + 1


@needs_core
@pytest.mark.parametrize("head", HEADS)
def test_bounds_of_memory_change_no_number(tmp_path, monkeypatch, head):
    exact, models = open_models(tmp_path, head)
    monkeypatch.setattr(measure, "_MAX_LOGITS_BYTES", 8 * TINY["vocab_size"] * 3)
    monkeypatch.setattr(measure, "_MAX_HIDDEN_BYTES", 8 * TINY["hidden_size"] * 3 * 9)
    measurement = Measurement(exact, models)
    assert measurement._batch_tokens == 9
    rows = [Row(ids) for ids in IDS]
    measurement.add(rows)
    check(measurement.results()[1], exact, models["rough"], rows)


def test_the_score_is_the_part_of_the_known_decisions_that_is_right(tmp_path):
    head = "for_token_classification"
    exact, models = open_models(tmp_path, head)
    rng = np.random.default_rng(0)
    rows = [Row(ids, gold=rng.integers(-1, 4, len(ids)).tolist()) for ids in IDS]
    measurement = Measurement(exact, models, batch_tokens=8)
    measurement.add(rows)
    gold = np.concatenate([row.gold for row in rows])
    right = []
    for model in (exact, *models.values()):
        chosen = np.concatenate([row_arrays(model, row)[1].argmax(1) for row in rows])
        right.append(int((chosen == gold)[gold >= 0].sum()))
    known = int((gold >= 0).sum())
    assert 0 < known < len(gold)
    assert right[2] != right[0]
    assert measurement.scores() == [n / known for n in right]
    assert measurement.results()[1].score == right[2] / known
    # A quotient of whole numbers, rounded once.
    assert measurement.results()[1].score_change == (right[2] - right[0]) / known


def test_gold_goes_with_logits_in_several_pieces(tmp_path, monkeypatch):
    exact, models = open_models(tmp_path, "for_masked_language_modeling")
    chosen = [row_arrays(exact, Row(ids))[1].argmax(1) for ids in IDS]
    gold = [choice.tolist() for choice in chosen]
    gold[2][5] = (gold[2][5] + 1) % TINY["vocab_size"]
    monkeypatch.setattr(measure, "_MAX_LOGITS_BYTES", 8 * TINY["vocab_size"] * 3)
    measurement = Measurement(exact, models)
    measurement.add([Row(ids, gold=of_row) for ids, of_row in zip(IDS, gold, strict=True)])
    total = sum(map(len, IDS))
    assert measurement.scores()[0] == (total - 1) / total


def test_each_label_of_a_multi_label_model_is_a_decision(tmp_path):
    changes = {"problem_type": "multi_label_classification"}
    exact, models = open_models(tmp_path, "for_sequence_classification", **changes)
    gold = [[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]]
    rows = [Row(ids, gold=labels) for ids, labels in zip(IDS, gold, strict=True)]
    measurement = Measurement(exact, models)
    measurement.add(rows)
    chosen = [
        np.concatenate([row_arrays(model, row)[1] > 0 for row in rows])
        for model in (exact, *models.values())
    ]
    rough = measurement.results()[1]
    assert rough.decisions == 4 * len(IDS)
    assert rough.agreement == (chosen[2] == chosen[0]).mean() < 1
    assert measurement.scores() == [(one == gold).mean() for one in chosen]


def test_the_logit_of_a_regression_model_is_ranked(tmp_path):
    exact, models = open_models(tmp_path, "for_sequence_classification", num_labels=1)
    rows = [Row(ids) for ids in IDS]
    wanted = [3.0, 1.0, 2.0, 2.0, 5.0, 0.5]
    measurement = Measurement(exact, models, batch_tokens=8)
    measurement.add(rows)
    values = [
        [float(row_arrays(model, row)[1][0, 0]) for row in rows]
        for model in (exact, *models.values())
    ]
    assert measurement.scores(wanted) == [ranked(x, wanted) for x in values]
    rough = measurement.results(wanted)[1]
    assert rough.decisions == 0
    assert rough.agreement is None
    assert rough.logits.max_error > 0
    assert rough.score_change == rough.score - measurement.scores(wanted)[0]


def test_regression_with_several_numbers_has_no_decisions(tmp_path):
    changes = {"problem_type": "regression"}
    exact, models = open_models(tmp_path, "for_sequence_classification", **changes)
    measurement = Measurement(exact, models)
    measurement.add([Row(ids) for ids in IDS])
    assert measurement.results()[1].agreement is None


@needs_core
@pytest.mark.parametrize("batch_tokens", [8, 4096])
@pytest.mark.parametrize("head", HEADS[:3])
def test_vectors_of_rows_and_cosines_of_pairs(tmp_path, head, batch_tokens):
    exact, models = open_models(tmp_path, head)
    rows = [Row(ids) for ids in IDS]
    vector = lambda hidden: hidden.astype(np.float64).mean(axis=0)  # noqa: E731
    measurement = Measurement(
        exact, models, batch_tokens=batch_tokens, to_vector=vector, pairs=True
    )
    measurement.add(rows[:2])
    measurement.add(rows[2:])
    vectors = [
        np.stack([vector(row_arrays(model, row)[0][-1]) for row in rows])
        for model in (exact, *models.values())
    ]
    found = measurement.results()[1].vectors
    assert found.name == "vectors"
    assert found.max_error == pytest.approx(np.abs(vectors[2] - vectors[0]).max(), rel=1e-6)
    assert found.mean_error == pytest.approx(np.abs(vectors[2] - vectors[0]).mean(), rel=1e-6)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors]
    assert found.mean_cosine == pytest.approx((unit[2] * unit[0]).sum(1).mean(), abs=1e-9)
    wanted = [2.0, 1.0, 3.0]
    likeness = [(u[::2] * u[1::2]).sum(1) for u in unit]
    assert measurement.scores(wanted) == pytest.approx([ranked(x, wanted) for x in likeness])


def ranked(values, wanted):
    """Spearman's correlation from ranks counted one by one."""

    def ranks(x):
        return np.array([sum(b < a for b in x) + sum(b == a for b in x) / 2 for a in x])

    return pytest.approx(float(np.corrcoef(ranks(values), ranks(wanted))[0, 1]), abs=1e-12)


def test_spearman_shares_ranks_among_ties():
    rng = np.random.default_rng(2)
    for _ in range(20):
        x, y = rng.integers(0, 5, 12).tolist(), rng.integers(0, 5, 12).tolist()
        assert spearman(x, y) == ranked(x, y)
    assert spearman([1, 2, 3], [10, 20, 400]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0


def test_cosines_of_rows_of_zeros_and_of_what_is_not_finite():
    x = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [np.inf, 1.0], [np.nan, 1.0], [1.0, 0.0]])
    y = np.array([[0.0, 0.0], [1.0, 0.0], [6.0, 8.0], [1.0, 1.0], [1.0, 1.0], [-2.0, 0.0]])
    assert cosines(x, y).tolist() == [1.0, 0.0, 1.0, 0.0, 0.0, -1.0]


@needs_core
def test_a_type_that_overflows_is_infinitely_far(tmp_path):
    head = "for_token_classification"
    tensors = draw_tensors(TINY, head)
    tensors["roberta.encoder.layer.1.output.LayerNorm.weight"][:] = 3e38  # float32 ends at 3.4e38
    hf = json.loads((checkpoint(tmp_path, head) / "config.json").read_text())
    folder = write_folder(tmp_path / "huge", hf, tensors)
    exact = pyroberta.from_pretrained(folder, **FLOAT64)
    measurement = Measurement(exact, {"float32": pyroberta.from_pretrained(folder)})
    measurement.add([Row(ids, gold=[0] * len(ids)) for ids in IDS])
    (found,) = measurement.results()
    assert found.hidden_states[1].max_error < 1e-4
    assert found.hidden_states[2].max_error == found.logits.mean_error == math.inf
    assert found.worst_error is found.hidden_states[2]
    assert found.hidden_states[2].mean_cosine == found.agreement == found.score == 0
    broken = Thresholds(max_error=1e9, min_cosine=0.5).broken_by(found)
    assert [line.split(" must")[0] for line in broken] == [
        "error of float32",
        "mean cosine of float32",
    ]


def test_an_exact_model_that_is_not_finite_is_refused(tmp_path):
    tensors = draw_tensors(TINY, "base")
    tensors["roberta.encoder.layer.0.output.dense.bias"][3] = np.nan
    hf = json.loads((checkpoint(tmp_path, "base") / "config.json").read_text())
    exact = pyroberta.from_pretrained(write_folder(tmp_path / "nan", hf, tensors), **FLOAT64)
    with pytest.raises(
        CheckpointError,
        match="checkpoint must give finite numbers in float64, not inf or nan after block 0",
    ):
        Measurement(exact, {}).add([Row([0, 5, 2])])


def test_models_that_do_not_go_together_are_refused(tmp_path):
    exact, models = open_models(tmp_path, "for_token_classification")
    base = pyroberta.from_pretrained(
        tmp_path / "exact", architecture="for_token_classification", layer_norm_epsilon=1e-3
    )
    with pytest.raises(ConfigError, match="models must have the class and configuration of the"):
        Measurement(exact, models | {"other": base})
    folder = make_folder(tmp_path / "choice", "for_multiple_choice")
    with pytest.raises(
        ConfigError,
        match="model must read one text at a time, not several choices for each text, as this "
        "RobertaForMultipleChoice does",
    ):
        Measurement(pyroberta.from_pretrained(folder), {})
    config = pyroberta.RobertaConfig(
        vocab_size=9, hidden_size=8, num_blocks=1, num_attention_heads=2, use_cross_attention=True
    )
    with pytest.raises(ConfigError, match="not an encoder's output too, as this RobertaForCausal"):
        Measurement(pyroberta.RobertaForCausalLM.from_config(config, seed=0), {})
    with pytest.raises(InputError, match="batch_tokens must be a whole number of at least 1"):
        Measurement(exact, models, batch_tokens=0)


def test_gold_that_does_not_fit_is_refused(tmp_path):
    exact, models = open_models(tmp_path, "for_token_classification")
    with pytest.raises(InputError, match="gold must be given for every row or for none, not for"):
        Measurement(exact, models).add([Row([0, 5], gold=[0, 0]), Row([0, 6])])
    with pytest.raises(InputError, match="gold must have a number for each decision of its row"):
        Measurement(exact, models).add([Row([0, 5], gold=[0])])
    with pytest.raises(InputError, match="rows must be in"):
        Measurement(exact, models).add([Row([0, 37])])
