"""text-classification: the labels of a text or of a pair, and how probable each is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import check_count, excerpt, is_name_of
from ..errors import InputError
from ..logits import sigmoid, softmax
from ..models import RobertaForSequenceClassification
from .encoding import Encoding
from .text_inputs import Answer, Answers, Job, TextOptions
from .text_task import TextTask
from .tokenizer import Text

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda logits: logits.astype(np.float64),
}
AGGREGATIONS: dict[str, Callable[[Array], Array]] = {
    "mean": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores.max(axis=0),
    "first": lambda scores: scores[0],
}


def check_aggregation(name: Any) -> None:
    """Refuse a ``window_aggregation`` that is none. Raises InputError."""
    if not is_name_of(name, AGGREGATIONS):
        raise InputError(
            f"window_aggregation must be one of {', '.join(AGGREGATIONS)}, not {excerpt(name)}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextClassificationOptions(TextOptions):
    """What can be chosen for text-classification.

    Attributes:
        top_k: how many labels to give, the most probable first; ``None``: all. ``"best"``: the
            best one alone, not in a list.
        function_to_apply: what makes scores of logits: ``"sigmoid"``, ``"softmax"`` or
            ``"none"``; ``None``: what the configuration says, that is none for regression, sigmoid
            for several labels at once or a single one, else softmax.
        window_aggregation: what the scores of a text are of its windows': their ``"mean"``, their
            ``"max"``, or the ``"first"``.
    """

    top_k: int | str | None = "best"
    function_to_apply: str | None = None
    window_aggregation: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k is not None and self.top_k != "best":
            object.__setattr__(self, "top_k", check_count("top_k", self.top_k, 1))
        name = self.function_to_apply
        if name is not None:
            name = name.lower() if isinstance(name, str) else name
            if not is_name_of(name, FUNCTIONS):
                raise InputError(
                    f"function_to_apply must be None or one of {', '.join(FUNCTIONS)}, "
                    f"not {excerpt(self.function_to_apply)}"
                )
            object.__setattr__(self, "function_to_apply", name)
        check_aggregation(self.window_aggregation)


class TextClassification(TextTask):
    """The labels of each text, or of each pair of texts.

    Each input is a ``str``, or a pair: ``{"text": ..., "text_pair": ...}`` or a tuple. See
    ``TextTask`` for what all tasks take and ``TextClassificationOptions`` for the options.

    A call gives ``{"label", "score"}`` for each input, in a list also for one; with ``top_k`` a
    list of them for each, as Hugging Face's pipeline does.

    Example:
        >>> classify = pipeline("text-classification", path)  # doctest: +SKIP
        >>> classify("I like it.")  # doctest: +SKIP
        [{'label': 'positive', 'score': 0.98}]
    """

    model_class = RobertaForSequenceClassification
    options_class = TextClassificationOptions

    def is_one(self, inputs: Any, options: Any) -> bool:
        return isinstance(inputs, (str, Mapping))

    def of_call(self, answers: list[Any], item: Any, given: dict[str, Any]) -> Any:
        # As Hugging Face's: a list for a text, but not for a pair, nor where the call says top_k.
        return answers if isinstance(item, str) and "top_k" not in given else answers[0]

    def read(self, item: Any, index: int, options: Any) -> Text:
        return read_pair(item, index)

    def encode(self, item: Text, index: int, options: Any) -> list[Encoding]:
        return self.encode_text(item, index, options)

    def answer(self, job: Job, outputs: list[Array], options: Any) -> Any:
        function = FUNCTIONS[options.function_to_apply or self._function()]
        scores = AGGREGATIONS[options.window_aggregation](function(np.stack(outputs)))
        labels = self.model.config.labels
        if options.top_k == "best":
            best = int(scores.argmax())
            return Answer(label=labels[best], score=float(scores[best]))
        order = np.argsort(-scores, kind="stable")[: options.top_k]
        return Answers({"label": labels[i], "score": float(scores[i])} for i in order)

    def _function(self) -> str:
        """What the configuration says that its logits are."""
        config = self.model.config
        if config.problem_type == "regression":
            return "none"
        if config.problem_type == "multi_label_classification" or config.num_labels == 1:
            return "sigmoid"
        return "softmax"


def read_pair(item: Any, index: int, noun: str = "texts") -> Text:
    """A text, or a pair as a tuple; of a dictionary ``text`` and ``text_pair``."""
    if isinstance(item, Mapping):
        extra = sorted(map(str, item.keys() - {"text", "text_pair"}))
        if "text" not in item or extra:
            raise InputError(
                f"{noun}[{index}] must have the keys text and text_pair, not {excerpt(list(item))}"
            )
        pair = item.get("text_pair")
        item = item["text"] if pair is None else (item["text"], pair)
    if isinstance(item, (list, tuple)) and len(item) == 2:
        item = tuple(item)
    parts = item if isinstance(item, tuple) else (item,)
    if len(parts) != 1 + isinstance(item, tuple) or not all(
        isinstance(part, str) for part in parts
    ):
        raise InputError(
            f"{noun}[{index}] must be a str, a pair of them or a dictionary with text and "
            f"text_pair, not {excerpt(item)}"
        )
    text: Text = item
    return text
