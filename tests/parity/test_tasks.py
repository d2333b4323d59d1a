"""Tasks from text give what transformers' pipelines give, for each kind of tokenizer.

Where they differ on purpose the difference is a part of the test, and says who is right.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pyroberta import pipeline
from pyroberta.text.entities import goes_on

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# Not before the skips above: it needs both libraries.
from parity.text_models import KINDS, TEXTS, make_folder, same  # noqa: E402

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


PROBLEMS = [
    {"num_labels": 3},
    {"num_labels": 1, "problem_type": "regression"},
    {"num_labels": 1},
    {"num_labels": 4, "problem_type": "multi_label_classification"},
    {"num_labels": 2, "id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}},
]


@pytest.fixture(scope="module", params=range(len(PROBLEMS)))
def classifiers(request, kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_folder(folder, kind, "ForSequenceClassification", **PROBLEMS[request.param])
    return (
        pipeline("text-classification", folder),
        transformers.pipeline("text-classification", str(folder), device="cpu"),
    )


def test_text_classification(classifiers):
    ours, theirs = classifiers
    same(ours(TEXTS), theirs(TEXTS, truncation=True))
    pairs = [{"text": a, "text_pair": b} for a, b in zip(TEXTS, TEXTS[7:], strict=False)]
    same(ours(pairs), theirs(pairs, truncation=True))
    same(ours("Ann"), theirs("Ann"))
    same(ours(pairs[6]), theirs(pairs[6]))
    for options in (
        {"top_k": None},
        {"top_k": 1},
        {"top_k": 2, "function_to_apply": "sigmoid"},
        {"top_k": None, "function_to_apply": "NONE"},
        {"function_to_apply": "softmax"},
    ):
        same(ours(TEXTS[:12], **options), theirs(TEXTS[:12], **options))
        same(ours("Ann lives", **options), theirs("Ann lives", **options))


@pytest.mark.parametrize("top_k", [None, 1, 2])
def test_top_k_of_the_pipeline(top_k, tmp_path):
    folder = make_folder(tmp_path, "byte-level", "ForSequenceClassification", num_labels=3)
    ours = pipeline("sentiment-analysis", folder, top_k=top_k)
    theirs = transformers.pipeline("sentiment-analysis", str(folder), top_k=top_k, device="cpu")
    for inputs in ("Ann", ["Ann"], ["Ann", "Oslo"], {"text": "Ann", "text_pair": "Oslo"}):
        same(ours(inputs), theirs(inputs))


@pytest.fixture(scope="module")
def taggers(kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    labels = dict(enumerate(TAGS))
    label2id = {name: i for i, name in labels.items()}
    make_folder(folder, kind, "ForTokenClassification", id2label=labels, label2id=label2id)
    return (
        pipeline("token-classification", folder),
        transformers.pipeline("token-classification", str(folder), device="cpu"),
    )


class WholeWords(transformers.TokenClassificationPipeline):
    """Theirs with words parted as ours: by white space of any kind, before or in the token.

    Theirs parts a word at a token of the unknown, at every byte of a character after a space, at
    all that begins at 0 (a Unigram's lone space), and at no white space but the space itself.
    """

    def gather_pre_entities(self, sentence, *args, **options):
        found = super().gather_pre_entities(sentence, *args, **options)
        end = 0
        for one in found:
            one["is_subword"] = goes_on(sentence, one["start"], end)
            end = one["end"]
        return found


@pytest.mark.parametrize("ignored", [["O"], [], ["B-LOC", "LOC"]])
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_token_classification(strategy, ignored, kind, taggers):
    ours, theirs = taggers
    if kind != "wordpiece" and strategy not in ("none", "simple"):
        theirs = WholeWords(model=theirs.model, tokenizer=theirs.tokenizer, device="cpu")
    options = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    for text in TEXTS:
        got, want = ours(text, **options), theirs(text, **options)
        # Their word is the token's spelling, or tokens decoded; ours is the text's own.
        same(got, [{**one, "word": text[one["start"] : one["end"]]} for one in want])
    same(ours(TEXTS, **options), [ours(text, **options) for text in TEXTS], 0)


def test_words_given_one_by_one(kind, taggers):
    ours, theirs = taggers
    words = ["Ann", "lives", "in", "Oslo", "."]
    if kind == "byte-level":  # whose tokenizer theirs refuses here, as its words have no spaces
        assert ours(words, is_split_into_words=True) == ours(" ".join(words))
        return
    got = ours(words, is_split_into_words=True, aggregation_strategy="simple")
    want = theirs([words], is_split_into_words=True, aggregation_strategy="simple")[0]
    text = " ".join(words)
    same(got, [{**one, "word": text[one["start"] : one["end"]]} for one in want])


PREMISES = [text for text in TEXTS if text and text.strip()]


@pytest.mark.parametrize("labels", [["entailment", "neutral", "contradiction"], ["no", "yes"]])
def test_zero_shot(labels, kind, tmp_path):
    names = dict(enumerate(labels))
    label2id = {name: i for i, name in names.items()}
    make_folder(tmp_path, kind, "ForSequenceClassification", id2label=names, label2id=label2id)
    ours = pipeline("zero-shot-classification", tmp_path)
    theirs = transformers.pipeline("zero-shot-classification", str(tmp_path), device="cpu")
    for options in (
        {"candidate_labels": ["good", "bad", "a city by the sea"]},
        {"candidate_labels": "good, bad,dog", "multi_label": True},
        {"candidate_labels": ["good"]},
        {"candidate_labels": ["good", "bad"], "hypothesis_template": "{} it is"},
    ):
        same(ours(PREMISES, **options), theirs(PREMISES, **options))
        same(ours("Ann", **options), theirs("Ann", **options))


@pytest.mark.parametrize("activation", [None, "Identity", "Sigmoid", "Tanh"])
@pytest.mark.parametrize("count", [1, 3])
def test_text_ranking(count, activation, kind, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    made = make_folder(tmp_path / "a", kind, "ForSequenceClassification", num_labels=count)
    function = activation and getattr(torch.nn, activation)()
    theirs = sentence_transformers.CrossEncoder(
        str(made), activation_fn=function, device="cpu", local_files_only=True
    )
    theirs.save_pretrained(str(tmp_path / "b"))
    ours = pipeline("text-ranking", tmp_path / "b")
    pairs = [[a, b] for a, b in zip(TEXTS, TEXTS[5:], strict=False)]
    for inputs, options in ((pairs, {}), (pairs[6], {}), (pairs, {"apply_softmax": True})):
        got, want = ours.predict(inputs, **options), theirs.predict(inputs, **options)
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, atol=1e-5)
    if count == 1:
        for options in ({}, {"top_k": 5}, {"top_k": 3, "return_documents": True}):
            same(
                ours.rank("Ann in Oslo", TEXTS, **options),
                theirs.rank("Ann in Oslo", TEXTS, **options),
            )


def test_multiple_choice(kind, tmp_path):
    make_folder(tmp_path, kind, "ForMultipleChoice")
    ours = pipeline("multiple-choice", tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    model = transformers.RobertaForMultipleChoice.from_pretrained(tmp_path).eval()
    for text in PREMISES:
        choices = ["the sea", "a house", "🙂 it is"]
        read = tokenizer([text] * 3, choices, return_tensors="pt", padding=True, truncation=True)
        read = {name: array[None] for name, array in read.items() if name != "token_type_ids"}
        with torch.no_grad():
            want = model(**read).logits.softmax(-1)[0].tolist()
        same(ours(text, choices), want)
