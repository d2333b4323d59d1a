"""question-answering: answers are parts of the context, windows, forms of a call, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text.models import save

from pyroberta import InputError, RobertaForQuestionAnswering, pipeline

pytest.importorskip("tokenizers")

SENTENCE = "The king of Norway lived in Oslo, by the sea; naïve café 東京 🙂 a<mask>b"
CONTEXT = "The king lived in a large house by the sea. " * 30
contexts = st.lists(st.sampled_from([*SENTENCE.split(), " ", "\t"]), min_size=1, max_size=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(RobertaForQuestionAnswering, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ask(folder):
    return pipeline("question-answering", folder)


def as_list(answers):
    return answers if isinstance(answers, list) else [answers]


@settings(max_examples=40)
@given(
    context=contexts.map(" ".join) | st.text(min_size=1, max_size=80),
    top_k=st.integers(1, 6),
    aligned=st.booleans(),
    impossible=st.booleans(),
)
def test_an_answer_is_a_part_of_the_context(ask, context, top_k, aligned, impossible):
    answers = as_list(
        ask(
            question="Who lived?",
            context=context,
            top_k=top_k,
            align_to_words=aligned,
            handle_impossible_answer=impossible,
        )
    )
    assert len(answers) <= top_k
    assert [one["score"] for one in answers] == sorted(
        (one["score"] for one in answers), reverse=True
    )
    for one in answers:
        assert one["answer"] == context[one["start"] : one["end"]]
        assert 0 <= one["score"] <= 1
        assert type(one["score"]) is float


def test_no_score_of_many_windows_is_above_one(ask):
    answers = ask(
        question="Who?", context=CONTEXT, max_seq_len=24, doc_stride=12, top_k=20, max_answer_len=3
    )
    assert len(answers) == 20
    assert max(one["score"] for one in answers) <= 1
    assert len({one["answer"].lower() for one in answers}) == 20


def test_every_window_is_read(ask):
    """What stands at the end of a long context can be the answer as well as at its beginning."""
    whole = ask.tokenizer.encode_with_offsets(("Who?", CONTEXT))
    rows = ask.encode(("Who?", CONTEXT), 0, ask.options)
    seen = {place for row in rows for place in row.places}
    assert seen == set(range(len(whole)))
    assert max(map(len, rows)) <= 96


@pytest.mark.parametrize("options", [{}, {"top_k": 3}])
def test_forms_of_a_call(options, ask):
    contexts = ["Ann sang.", "It rained in Oslo."]
    one = ask(question="Who?", context=contexts[0], **options)
    assert ask("Who?", contexts[0], **options) == one
    assert ask({"question": "Who?", "context": contexts[0]}, **options) == one
    both = [one, ask(question="Who?", context=contexts[1], **options)]
    assert ask(question=["Who?", "Who?"], context=contexts, **options) == both
    pairs = [{"question": "Who?", "context": c} for c in contexts]
    assert ask(pairs, **options) == both
    assert list(ask.stream(iter(pairs), **options)) == both
    again = ask(question=["Where?", "Who?"], context=contexts[0], **options)
    assert again[1] == one


def test_answers_do_not_depend_on_the_company(folder, ask):
    pairs = [{"question": "Who?", "context": f"{'word ' * (i % 40)}{i}"} for i in range(60)]
    alone = [ask(pair) for pair in pairs]
    for batch_tokens in (50, 400, 4000):
        other = pipeline("question-answering", folder, batch_tokens=batch_tokens)
        assert other(pairs) == alone
        assert other(pairs[::-1]) == alone[::-1]


REFUSED = [
    ({"question": "", "context": "a"}, {}, "question of questions.0. must be a text that is not"),
    ({"question": "a", "context": ""}, {}, "context of questions.0. must be a text that is not"),
    ({"question": "a"}, {}, "must have the keys question and context, not ..question"),
    ({"question": "a", "context": 3}, {}, "context of questions.0. must be a text"),
    ({"question": "why " * 70, "context": "a"}, {}, r"at most max_question_len \(64\) tokens, not"),
    ({"question": "a b c", "context": "a"}, {"max_question_len": 2}, r"max_question_len \(2\)"),
    ({"question": "a", "context": CONTEXT}, {"max_seq_len": 5}, "must leave room for a token"),
    ({"question": "a", "context": CONTEXT}, {"doc_stride": 91}, "stride must be below the"),
    ({"question": "a", "context": "b"}, {"top_k": 0}, "top_k must be"),
    ({"question": "a", "context": "b"}, {"max_answer_len": 0}, "max_answer_len must be"),
    (["a"], {"context": ["b", "c"]}, "context must be one text or as many as the 1 questions"),
    (None, {"context": "b"}, "question must be given"),
]


@pytest.mark.parametrize(("inputs", "options", "message"), REFUSED)
def test_refusals(inputs, options, message, ask):
    with pytest.raises(InputError, match=message):
        ask(inputs, **options)
