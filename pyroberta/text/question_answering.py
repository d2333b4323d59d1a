"""question-answering: where in a text the answer to a question stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import check_count, excerpt, pick_flag
from ..errors import InputError
from ..logits import highest, softmax
from ..models import RobertaForQuestionAnswering
from .encoding import Encoding
from .text_inputs import Answer, Answers, Job
from .text_task import TextTask

# Defaults of transformers: no windows beyond these, and neighbours that share so much.
_MAX_SEQ_LEN = 384
_DOC_STRIDE = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionAnsweringOptions:
    """What can be chosen for question-answering.

    Attributes:
        top_k: how many answers to give, the most probable first.
        doc_stride: how many tokens two windows of a long context share; ``None``: 128, or half a
            window where that is less.
        max_answer_len: the most tokens of an answer.
        max_seq_len: the most tokens of a question with a window; ``None``: 384, or the model's
            limit.
        max_question_len: the most tokens of a question.
        handle_impossible_answer: also give "", the answer of a text that holds none.
        align_to_words: answers begin and end where words do.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_len", "max_question_len"):
            object.__setattr__(self, name, check_count(name, getattr(self, name), 1))
        for name, low in (("doc_stride", 0), ("max_seq_len", 1)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_count(name, value, low))
        for name, default in (("handle_impossible_answer", False), ("align_to_words", True)):
            object.__setattr__(self, name, pick_flag(name, getattr(self, name), default))


class QuestionAnswering(TextTask):
    """The answers to questions: parts of the text that is asked about.

    Called as ``task(question=..., context=...)`` with one of each, with a list of questions to one
    context or of as many contexts; or with dictionaries of ``question`` and ``context``. See
    ``TextTask`` for what all tasks take and ``QuestionAnsweringOptions`` for the options.

    A call gives for each question ``score``, ``start``, ``end`` and ``answer``, which is
    ``context[start:end]``; with several answers a list of such dictionaries. A context of any
    length is read, by windows. Spans of one wording within a window add up to one answer; of
    several windows' the most probable counts, so that no score is above 1.

    Example:
        >>> ask = pipeline("question-answering", path)  # doctest: +SKIP
        >>> ask(question="Who sang?", context="Ann sang of the sea.")  # doctest: +SKIP
        {'score': 0.98, 'start': 0, 'end': 3, 'answer': 'Ann'}
    """

    model_class = RobertaForQuestionAnswering
    options_class = QuestionAnsweringOptions
    noun = "questions"

    def __call__(
        self, inputs: Any = None, context: Any = None, *, question: Any = None, **options: Any
    ) -> Any:
        """The answer or answers to one question, or a list of them for several.

        Args:
            inputs: a question, or dictionaries; see the class.
            context: the text that is asked about.
            question: in place of ``inputs``.
            **options: fields of ``QuestionAnsweringOptions``.

        Raises:
            InputError: a question or context that is no text or empty; a question beyond
                ``max_question_len``; no room for a window beside it.
        """
        asked = inputs if question is None else question
        if context is not None:
            asked = _paired(asked, context)
        return super().__call__(asked, **options)

    def is_one(self, inputs: Any, options: Any) -> bool:
        return isinstance(inputs, Mapping)

    def read(self, item: Any, index: int, options: Any) -> tuple[str, str]:
        if isinstance(item, (tuple, list)) and len(item) == 2:
            item = {"question": item[0], "context": item[1]}
        if not isinstance(item, Mapping) or not {"question", "context"} <= set(item):
            shown = list(item) if isinstance(item, Mapping) else item
            raise InputError(
                f"{self.noun}[{index}] must have the keys question and context, "
                f"not {excerpt(shown)}"
            )
        for name in ("question", "context"):
            if not isinstance(item[name], str) or not item[name]:
                raise InputError(
                    f"{name} of {self.noun}[{index}] must be a text that is not empty, "
                    f"not {excerpt(item[name])}"
                )
        return item["question"], item["context"]

    def encode(self, item: tuple[str, str], index: int, options: Any) -> list[Encoding]:
        whole = self.tokenizer.encode_with_offsets(item, index)
        asked = len(whole.places_of(0))
        if asked > options.max_question_len:
            raise InputError(
                f"question of {self.noun}[{index}] must have at most max_question_len "
                f"({options.max_question_len}) tokens, not {asked}"
            )
        limit = self.tokenizer.limit(None)
        length = options.max_seq_len or _MAX_SEQ_LEN
        length = length if limit is None else min(length, limit)
        stride = options.doc_stride
        if stride is None:
            room = length - (len(whole) - len(whole.places_of(1)))
            stride = min(length // 2, _DOC_STRIDE)
            stride = stride if stride < room else max(room // 2, 0)
        parts = whole.windows(length, stride, sequence=1)
        return [dataclasses.replace(whole.take(places), n_cut=0) for places in parts]

    def of_batch(self, output: Any, options: Any) -> Sequence[tuple[Array, Array]]:
        starts, ends = output.of_rows(output.start_logits), output.of_rows(output.end_logits)
        return list(zip(starts, ends, strict=True))

    def answer(self, job: Job, outputs: list[Any], options: Any) -> Answer | Answers:
        context = job.item[1]
        words = _word_bounds(job.rows)
        best: dict[str, Answer] = {}
        null_score = 1.0
        for row, (start_logits, end_logits) in zip(job.rows, outputs, strict=True):
            found, null = _find_spans(row, start_logits, end_logits, options)
            null_score = min(null_score, null)
            of_window: dict[str, Answer] = {}
            for first, last, score in found:
                start, end = row.offsets[first][0], row.offsets[last][1]
                if options.align_to_words:
                    start = words.get(row.word_ids[first], (start, end))[0]
                    end = words.get(row.word_ids[last], (start, end))[1]
                text = context[start:end]
                one = Answer(score=0.0, start=start, end=end, answer=text)
                of_window.setdefault(text.lower(), one)["score"] += score
            for key, one in of_window.items():
                if key not in best or one["score"] > best[key]["score"]:
                    best[key] = one
        answers = list(best.values())
        if options.handle_impossible_answer:
            answers.append(Answer(score=null_score, start=0, end=0, answer=""))
        answers.sort(key=lambda one: -float(one["score"]))
        answers = answers[: options.top_k]
        return answers[0] if len(answers) == 1 else Answers(answers)


def _paired(questions: Any, contexts: Any) -> Any:
    """Questions with their contexts, as dictionaries."""
    if isinstance(questions, str):
        return {"question": questions, "context": contexts}
    if questions is None:
        raise InputError("question must be given beside context, not left out")
    asked = list(questions)
    read = [contexts] * len(asked) if isinstance(contexts, str) else list(contexts)
    if len(asked) != len(read):
        raise InputError(
            f"context must be one text or as many as the {len(asked)} questions, not {len(read)}"
        )
    return [{"question": q, "context": c} for q, c in zip(asked, read, strict=True)]


def _word_bounds(rows: Sequence[Encoding]) -> dict[int | None, tuple[int, int]]:
    """Where each word of the context begins and ends, of all windows that hold a part of it."""
    bounds: dict[int | None, tuple[int, int]] = {}
    for row in rows:
        for place in row.places_of(1):
            word, (start, end) = row.word_ids[place], row.offsets[place]
            if word is not None:
                before = bounds.get(word, (start, end))
                bounds[word] = min(before[0], start), max(before[1], end)
    return bounds


def _find_spans(
    row: Encoding, start_logits: Array, end_logits: Array, options: Any
) -> tuple[list[tuple[int, int, float]], float]:
    """The most probable spans of a window (first token, last token, score), and no answer's score.

    The probabilities are over the context's tokens and the first one, ``<s>``, which stands for
    no answer and is no part of any.
    """
    places = row.places_of(1)
    asked = [0, *places] if row.sequences[0] is None else places
    starts, ends = softmax(start_logits[asked]), softmax(end_logits[asked])
    null = float(starts[0] * ends[0]) if len(asked) > len(places) else 0.0
    starts, ends = starts[len(asked) - len(places) :], ends[len(asked) - len(places) :]
    if not places:
        return [], null
    # Span (i, j) of the context's tokens has the score of start i and end i + j.
    length = min(options.max_answer_len, len(places))
    last = np.concatenate([ends, np.zeros(length - 1)])
    scores = starts[:, None] * np.lib.stride_tricks.sliding_window_view(last, length)
    # More than are asked for, as several may be one after they are aligned to words.
    count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
    spans = []
    for flat in highest(scores.reshape(-1), count).tolist():
        first, more = divmod(flat, length)
        if first + more < len(places):
            score = float(scores[first, more])
            spans.append((places[first], places[first + more], score))
    return spans, null
