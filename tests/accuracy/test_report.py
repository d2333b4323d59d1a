"""The accuracy report as an object: thresholds and what they say, JSON."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from pyroberta import InputError
from pyroberta.accuracy import AccuracyReport, Difference, Thresholds, TypeAccuracy


def difference(name="block 0", **values):
    return Difference(**({"name": name, "max_error": 0.5, "mean_error": 0.1} | values))


def type_accuracy(**values):
    hidden = (difference("embeddings", mean_cosine=0.999), difference(mean_cosine=0.9))
    return TypeAccuracy(**({"compute_type": "int8", "hidden_states": hidden} | values))


def test_broken_thresholds_are_told_with_type_limit_and_place():
    accuracy = type_accuracy(
        logits=difference("logits", max_error=0.75), agreement=0.8, score=0.5, score_change=-0.25
    )
    strict = Thresholds(max_error=0.5, min_cosine=0.95, min_agreement=0.9, max_score_drop=0.2)
    assert strict.broken_by(accuracy, "accuracy") == [
        "error of int8 must be at most 0.5 (max_error), not 0.75 (logits)",
        "mean cosine of int8 must be at least 0.95 (min_cosine), not 0.9 (block 0)",
        "agreement of int8 must be at least 0.9 (min_agreement), not 0.8",
        "drop of accuracy of int8 must be at most 0.2 (max_score_drop), not 0.25",
    ]
    just = Thresholds(max_error=0.75, min_cosine=0.9, min_agreement=0.8, max_score_drop=0.25)
    assert just.broken_by(accuracy) == []
    assert Thresholds().broken_by(accuracy) == []
    assert (
        Thresholds(max_error=1).broken_by(
            type_accuracy(hidden_states=(difference(max_error=math.nan, mean_cosine=1.0),))
        )
        != []
    )
    assert Thresholds(max_score_drop=0).broken_by(type_accuracy(score_change=0.1)) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_error": -1}, r"max_error must be a number of at least 0, not -1"),
        ({"max_error": math.nan}, r"max_error must be a number of at least 0, not nan"),
        ({"min_cosine": 1.5}, r"min_cosine must be a number in \[-1, 1\], not 1.5"),
        ({"min_agreement": 99}, r"min_agreement must be a number in \[0, 1\], not 99"),
        ({"min_agreement": True}, r"min_agreement must be a number in \[0, 1\], not True"),
        ({"max_score_drop": "1"}, r"max_score_drop must be a number of at least 0, not '1'"),
    ],
)
def test_thresholds_out_of_range_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Thresholds(**values)


def test_a_report_is_frozen_and_as_json_holds_it():
    one = type_accuracy(logits=difference("logits", max_error=math.inf), score=0.5)
    report = AccuracyReport(
        model="m",
        model_class="c",
        against="float64",
        embedding_type=None,
        kernels="avx2",
        version="0",
        texts=1,
        tokens=2,
        score_name="accuracy",
        score=0.75,
        types=(one,),
        broken=("x",),
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.texts = 2
    plain = report.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["types"][0]["logits"]["max_error"] is None
    assert plain["types"][0]["hidden_states"][1] == {
        "name": "block 0",
        "max_error": 0.5,
        "mean_error": 0.1,
        "mean_cosine": 0.9,
    }
    assert list(plain) == [field.name for field in dataclasses.fields(AccuracyReport)]
