"""``SentenceVectorizer`` in scikit-learn: its own checks, clones, pickles, workers, searches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import pyroberta
from pyroberta.shipped import SHIPPED

pytestmark = pytest.mark.parity
pytest.importorskip("tokenizers")

clone = pytest.importorskip("sklearn.base").clone
LogisticRegression = pytest.importorskip("sklearn.linear_model").LogisticRegression
GridSearchCV = pytest.importorskip("sklearn.model_selection").GridSearchCV
make_pipeline = pytest.importorskip("sklearn.pipeline").make_pipeline
estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks")
SentenceVectorizer = pytest.importorskip("pyroberta.sklearn").SentenceVectorizer

TEXTS = [f"{word} {i}" for i in range(12) for word in ("A dog runs", "The sea is cold")]
LABELS = [0, 1] * 12


# Those that need no numbers: for an estimator of texts check_estimator itself runs one alone.
CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("options", [{}, {"path": SHIPPED, "truncate_dim": 9}])
def test_the_checks_of_scikit_learn_for_texts(options, check):
    getattr(estimator_checks, check)("SentenceVectorizer", SentenceVectorizer(**options))


@pytest.mark.filterwarnings("ignore")  # that the other checks are not for texts
def test_check_estimator():
    results = estimator_checks.check_estimator(SentenceVectorizer(), on_fail=None)
    assert {one["status"] for one in results} == {"passed"}


@pytest.mark.parametrize("options", [{}, {"normalize": False}, {"truncate_dim": 9}])
def test_vectors_are_those_of_the_encoder(options):
    made = SentenceVectorizer(**options)
    want = pyroberta.SentenceEncoder().encode(
        TEXTS,
        normalize_embeddings=options.get("normalize", True),
        truncate_dim=options.get("truncate_dim"),
    )
    for texts in (TEXTS, np.array(TEXTS), np.array(TEXTS, object)[:, None], tuple(TEXTS)):
        np.testing.assert_array_equal(made.fit_transform(texts), want)
    data = pickle.dumps(made)
    assert len(data) < 5000
    for other in (pickle.loads(data), clone(made)):
        assert other.get_params() == made.get_params()
        np.testing.assert_array_equal(other.transform(TEXTS), want)
    assert len(made.get_feature_names_out()) == want.shape[1]


def test_in_a_search_with_workers():
    search = GridSearchCV(
        make_pipeline(SentenceVectorizer(), LogisticRegression()),
        {"sentencevectorizer__truncate_dim": [None, 32], "logisticregression__C": [1, 10]},
        cv=3,
        n_jobs=2,
        error_score="raise",
    )
    assert search.fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1


@pytest.mark.parametrize("X", [[1, 2], ["a", None], np.zeros((2, 2)), "text"])
def test_what_is_no_text_is_refused(X):
    with pytest.raises(pyroberta.InputError, match=r"X(\[\d\])? must be"):
        SentenceVectorizer().fit(X)
