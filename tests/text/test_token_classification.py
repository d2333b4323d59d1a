"""token-classification: entities cut the text, words are whole, and no window shows in them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text.models import TAGS, save

from pyroberta import InputError, RobertaForTokenClassification, pipeline
from pyroberta.logits import softmax
from pyroberta.text.entities import STRATEGIES, Token, find_entities, goes_on

pytest.importorskip("tokenizers")

SENTENCE = "The king of Norway lived in Oslo, by the sea; naïve café 東京 🙂 a<mask>b"
WORDS = SENTENCE.split()
TEXTS = st.lists(st.sampled_from([*WORDS, " ", "\t", "\n", "\u3000"]), max_size=20).map(" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    labels = dict(enumerate(TAGS))
    return save(RobertaForTokenClassification, path, num_labels=5, id_to_label=labels)


@pytest.fixture(scope="module")
def names(folder):
    return pipeline("ner", folder)


@given(text=TEXTS | st.text(max_size=20), strategy=st.sampled_from(STRATEGIES))
def test_offsets_cut_the_text_to_the_word(names, text, strategy):
    end = 0
    for one in names(text, aggregation_strategy=strategy, ignore_labels=[]):
        assert one["word"] == text[one["start"] : one["end"]]
        assert 0 < one["score"] <= 1
        assert one["end"] >= end
        end = one["end"]


@given(text=TEXTS, strategy=st.sampled_from(("first", "average", "max")))
def test_no_word_is_parted(names, text, strategy):
    for one in names(text, aggregation_strategy=strategy, ignore_labels=[]):
        assert one["start"] == 0 or any(map(str.isspace, text[one["start"] - 1 : one["start"] + 1]))
        ends = text[one["end"] - 1 : one["end"] + 1]
        assert one["end"] == len(text) or any(map(str.isspace, ends))


@settings(max_examples=30)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=30, max_size=90),
    length=st.integers(12, 40),
    stride=st.integers(0, 9),
    strategy=st.sampled_from(STRATEGIES),
)
def test_windows_give_the_entities_of_their_union(names, words, length, stride, strategy):
    """Each token's scores are those of the window where it stands furthest from an edge."""
    text = " ".join(words)
    encoding = names.tokenizer.encode_with_offsets(text)
    parts = encoding.windows(length, stride)
    n = len(encoding)
    depth = np.full(n, -1.0)
    scores = np.zeros((n, len(TAGS)))
    for i, places in enumerate(parts):
        found = softmax(names.model.encode_rows([encoding.take(places).ids]).logits)
        inner = places[1:-1]
        for at, place in enumerate(inner):
            left = np.inf if i == 0 else at
            right = np.inf if i == len(parts) - 1 else len(inner) - 1 - at
            if min(left, right) > depth[place]:
                depth[place], scores[place] = min(left, right), found[at + 1]
    tokens, end = [], 0
    for place in range(1, n - 1):
        start, stop = encoding.offsets[place]
        tokens.append(Token(scores[place], start, stop, place, goes_on(text, start, end)))
        end = stop
    want = find_entities(text, tokens, TAGS, strategy, ["O"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = names(text, max_length=length, stride=stride, aggregation_strategy=strategy)
    assert got == want


def tokens_of(text, tags, labels):
    """One token a word, surely of the tag given."""
    found, start = [], 0
    for i, (word, tag) in enumerate(zip(text.split(), tags, strict=True)):
        start = text.index(word, start)
        scores = np.full(len(labels), 0.01)
        scores[labels.index(tag)] = 0.9
        found.append(Token(scores, start, start + len(word), i + 1))
        start += len(word)
    return found


GROUPS = [
    # IOB2
    ("B-P I-P O B-L", ["P:a b", "L:d"]),
    ("B-P B-P I-P O", ["P:a", "P:b c"]),
    ("I-P I-L O O", ["P:a", "L:b"]),
    # BILOU
    ("B-P L-P U-P U-P", ["P:a b", "P:c", "P:d"]),
    ("B-P I-P L-P B-P", ["P:a b c", "P:d"]),
    ("U-P I-P O U-L", ["P:a", "P:b", "L:d"]),
    # IOBES
    ("B-P E-P S-P O", ["P:a b", "P:c"]),
    ("S-P S-L B-L E-L", ["P:a", "L:b", "L:c d"]),
]


@pytest.mark.parametrize(("tags", "want"), GROUPS)
def test_schemes_of_tags(tags, want):
    used = {tag for tag in tags.split() if tag != "O"}
    labels = ["O", *sorted(used | {f"{mark}-{tag}" for mark in "BI" for tag in "PL"})]
    text = "a b c d"
    found = find_entities(text, tokens_of(text, tags.split(), labels), labels, "simple", ["O"])
    assert [f"{one['entity_group']}:{one['word']}" for one in found] == want


@pytest.mark.parametrize("label", ["E-mail", "non-human", "S-Bahn"])
def test_a_label_without_a_mark_is_named_as_it_is(label):
    labels = ["O", label, "B-PER"]
    found = find_entities("a b", tokens_of("a b", [label, label], labels), labels, "simple", ["O"])
    assert [(one["entity_group"], one["word"]) for one in found] == [(label, "a b")]


def test_words_given_one_by_one(names):
    words = ["The", "king", "of", "Norway"]
    options = {"is_split_into_words": True, "aggregation_strategy": "first", "ignore_labels": []}
    text = names(" ".join(words), aggregation_strategy="first", ignore_labels=[])
    assert names(words, **options) == text
    assert names([words, words], **options) == [text, text]
    joined = names("The\nking\nof\nNorway", aggregation_strategy="first", ignore_labels=[])
    assert names(words, delimiter="\n", **options) == joined


def test_what_is_cut_is_told(names):
    text = "The king lived in Oslo. " * 40
    with pytest.warns(UserWarning, match="1 text was cut"):
        found = names(text)
    assert found.truncation == len(names.tokenizer.encode_with_offsets(text)) - 96
    assert names("The king").truncation == 0
    assert names("") == []


REFUSED = [
    ("a", {"aggregation_strategy": "last"}, "aggregation_strategy must be one of none, simple"),
    ("a", {"ignore_labels": "O"}, "ignore_labels must be a list of labels"),
    ("a", {"is_split_into_words": True}, "texts must be one input or a list"),
    ([["a", 1]], {"is_split_into_words": True}, r"texts\[0\] must be a list of words"),
    ([["a"]], {}, r"texts\[0\] must be a str, not \['a'\]"),
    ("a", {"delimiter": 1}, "delimiter must be a str"),
]


@pytest.mark.parametrize(("inputs", "options", "message"), REFUSED)
def test_refusals(inputs, options, message, names):
    with pytest.raises(InputError, match=message):
        names(inputs, **options)
