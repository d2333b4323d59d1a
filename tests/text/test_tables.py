"""Tasks over tables of Arrow, and columns of Arrow where texts are given."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from text.models import TAGS, save

import pyroberta
from pyroberta.columns import TASK_COLUMNS

pytest.importorskip("tokenizers")
pa = pytest.importorskip("pyarrow")

TEXTS = ["The king lived.", "", "naïve 東京 🙂", "It rained in a house"]
QUESTIONS = ["Who?", "What is it?", "Where", "And when?"]
CONTEXTS = ["The king lived in a house.", "It is a door.", "In the sea.", "It rained."]
CHOICES = [["a", "b"], ["The sea.", "a house", "one"], ["x"], ["it", "he"]]
TABLE = {
    "id": [7, None, 9, 10],
    "text": TEXTS,
    "question": QUESTIONS,
    "query": QUESTIONS,
    "context": CONTEXTS,
    "document": CONTEXTS,
    "choices": CHOICES,
}
LABELS = {"candidate_labels": ["sea", "house"]}

# The task, the model's class and configuration, the options, and what is asked of the pipeline.
CASES = [
    ("text-classification", pyroberta.RobertaForSequenceClassification, {"num_labels": 3}, {}),
    ("sentiment-analysis", pyroberta.RobertaForSequenceClassification, {}, {"top_k": 2}),
    ("text-classification", pyroberta.RobertaForSequenceClassification, {}, {"top_k": None}),
    ("ner", pyroberta.RobertaForTokenClassification, {}, {"aggregation_strategy": "simple"}),
    ("token-classification", pyroberta.RobertaForTokenClassification, {}, {}),
    ("question-answering", pyroberta.RobertaForQuestionAnswering, {}, {}),
    ("question-answering", pyroberta.RobertaForQuestionAnswering, {}, {"top_k": 3}),
    ("question-answering", pyroberta.RobertaForQuestionAnswering, {}, {"top_k": 1}),
    (
        "zero-shot-classification",
        pyroberta.RobertaForSequenceClassification,
        {"num_labels": 2, "id_to_label": {0: "contradiction", 1: "entailment"}},
        LABELS,
    ),
    ("text-ranking", pyroberta.RobertaForSequenceClassification, {"num_labels": 1}, {}),
    ("multiple-choice", pyroberta.RobertaForMultipleChoice, {}, {}),
    ("sentence-embedding", None, {}, {"truncate_dim": 8}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Gives a folder for a case."""
    path = tmp_path_factory.mktemp("models")

    def make(model_class, config):
        if model_class is None:
            return None
        if model_class is pyroberta.RobertaForTokenClassification:
            config = {"num_labels": 5, "id_to_label": dict(enumerate(TAGS))}
        name = path / f"{model_class.__name__}{len(config)}{config.get('num_labels')}"
        return name if name.exists() else save(model_class, name, **config)

    return make


def expected(task, path, options):
    """The written columns by the pipeline itself."""
    run = pyroberta.pipeline(task, path, **options)
    many = options.get("top_k", 1) != 1
    if task == "question-answering":
        answers = [run(question=q, context=c) for q, c in zip(QUESTIONS, CONTEXTS, strict=True)]
        if many:
            return {"answers": [a if isinstance(a, list) else [a] for a in answers]}
        return {name: [a[name] for a in answers] for name in ("answer", "score", "start", "end")}
    if task == "text-ranking":
        return {"score": run.predict(list(zip(QUESTIONS, CONTEXTS, strict=True))).tolist()}
    if task == "multiple-choice":
        scores = [run(c, choices) for c, choices in zip(CONTEXTS, CHOICES, strict=True)]
        return {"choice": [s.index(max(s)) for s in scores], "scores": scores}
    answers = run(TEXTS)
    if task == "sentence-embedding":
        return {"embedding": answers.tolist()}
    if task == "zero-shot-classification":
        return {name: [a[name] for a in answers] for name in ("labels", "scores")}
    if task in ("ner", "token-classification"):
        return {"entities": answers}
    if "top_k" in options:
        return {"labels": answers}
    return {name: [a[name] for a in answers] for name in ("label", "score")}


@pytest.mark.parametrize(("task", "model_class", "config", "options"), CASES)
def test_a_table_gets_the_pipelines_answers(folder, task, model_class, config, options):
    from pyroberta.tables import TableTask

    path = folder(model_class, config)
    work = pickle.loads(pickle.dumps(TableTask(task, path, threads=1, **options)))
    table = pa.table(TABLE)
    made = work(table)
    assert made.select(table.column_names) == table
    want = expected(task, path, options)
    assert made.column_names == [*table.column_names, *want]
    assert {name: made.column(name).to_pylist() for name in want} == want
    assert made.schema == work.schema(table.schema)
    # A part without rows has the same types, or a run's parts could not be joined.
    assert work(table.slice(0, 0)).schema == made.schema


def test_columns_and_a_prefix_are_chosen(folder):
    from pyroberta.tables import TableTask

    path = folder(pyroberta.RobertaForSequenceClassification, {})
    table = pa.table({"label": ["own"] * 4, "body": TEXTS, "other": CONTEXTS})
    columns = {"text": "body", "pair": "other"}
    made = TableTask("text-classification", path, columns=columns, prefix="our_")(table)
    pairs = list(zip(TEXTS, CONTEXTS, strict=True))
    want = pyroberta.pipeline("text-classification", path)(pairs)
    assert made.column_names == ["label", "body", "other", "our_label", "our_score"]
    assert made.column("our_score").to_pylist() == [one["score"] for one in want]


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ({"body": TEXTS}, {}, "table must have a column 'text', not only"),
        ({"text": TEXTS, "score": [1] * 4}, {}, "table must have no column 'score', which is"),
        ({"text": ["a", None]}, {}, r"texts\[1\] must be a str"),
        ({"text": [1, 2]}, {}, r"texts\[0\] must be a str"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(folder, table, options, said):
    from pyroberta.tables import TableTask

    path = folder(pyroberta.RobertaForSequenceClassification, {})
    with pytest.raises(pyroberta.InputError, match=said):
        TableTask("text-classification", path, **options)(pa.table(table))


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (["fill-mask"], {}, "task must be one of text-classification, .*, ner, not 'fill-mask'"),
        ([["ner"]], {}, r"task must be one of .*, not \['ner'\]"),
        (["ner"], {"columns": {"question": "q"}}, "columns must be of text, not {'question'}"),
        (["ner"], {"threads": 0}, "threads must be"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, options, said):
    from pyroberta.tables import TableTask

    with pytest.raises((pyroberta.ConfigError, pyroberta.InputError), match=said):
        TableTask(*arguments, **options)


def test_a_model_of_several_labels_ranks_nothing(folder):
    from pyroberta.tables import TableTask

    path = folder(pyroberta.RobertaForSequenceClassification, {"num_labels": 3})
    with pytest.raises(pyroberta.InputError, match="model must have one label to rank by, not 3"):
        TableTask("text-ranking", path)(pa.table(TABLE))


@pytest.mark.parametrize(
    "make", [pa.array, lambda texts: pa.chunked_array([texts[:1], texts[1:]]), np.array]
)
def test_columns_are_texts_like_a_list(folder, make):
    column = make(TEXTS)
    path = folder(pyroberta.RobertaForSequenceClassification, {})
    classify, embed = (
        pyroberta.pipeline("text-classification", path),
        pyroberta.pipeline("sentence-embedding"),
    )
    assert classify(column) == classify(TEXTS)
    assert list(classify.stream(column)) == classify(TEXTS)
    np.testing.assert_array_equal(embed(column), embed(TEXTS))
    fill = pyroberta.pipeline("fill-mask")
    masked = [f"{text}<mask>" for text in TEXTS]
    assert fill(make(masked)) == fill(masked)


def test_a_stream_of_pairs_gives_the_scores_that_predict_gives(folder):
    path = folder(pyroberta.RobertaForSequenceClassification, {"num_labels": 1})
    ranking = pyroberta.pipeline("text-ranking", path)
    pairs = list(zip(QUESTIONS, CONTEXTS, strict=True))
    found = list(ranking.stream(pairs))
    assert found == ranking.predict(pairs).tolist()
    assert all(isinstance(one, float) for one in found)
    assert json.dumps(found) == json.dumps(ranking.predict(pairs).tolist())
    several = pyroberta.pipeline(
        "text-ranking", folder(pyroberta.RobertaForSequenceClassification, {"num_labels": 3})
    )
    np.testing.assert_array_equal(list(several.stream(pairs)), several.predict(pairs))
    long = [("Who?", "a house " * 200)]
    with pytest.warns(UserWarning, match="1 text was cut"):
        assert next(iter(list(ranking.stream(long)))).truncation > 0


def test_every_tasks_answer_has_the_columns_that_it_says():
    # By name; the values are compared above.
    assert {task for task, *_ in CASES} - {"ner", "sentiment-analysis"} == set(TASK_COLUMNS)
