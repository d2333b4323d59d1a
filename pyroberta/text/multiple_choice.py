"""multiple-choice: which of some texts goes on best with a context."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import excerpt
from ..errors import InputError
from ..logits import softmax
from ..models import RobertaForMultipleChoice
from .encoding import Encoding
from .text_classification import AGGREGATIONS, check_aggregation
from .text_inputs import Answers, Job, TextOptions
from .text_task import TextTask

Question = tuple[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultipleChoiceOptions(TextOptions):
    """What can be chosen for multiple-choice.

    Attributes:
        window_aggregation: with ``stride``, what a choice's logit is of those of the context's
            windows: their ``"max"``, their ``"mean"``, or the ``"first"``.
    """

    window_aggregation: str = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_aggregation(self.window_aggregation)


class MultipleChoice(TextTask):
    """A score for each of the choices that a context has; a context's scores sum to 1.

    Called as ``task(context, choices)``, or with a list of such pairs, each a tuple or a dictionary
    with ``context`` and ``choices``. Any number of choices may be given, another for each context.
    Where a context and a choice are too long together the longer one is cut, or with ``stride`` the
    context is read by windows, the same ones for every choice. See ``TextTask`` for what all tasks
    take, and ``MultipleChoiceOptions``.

    Example:
        >>> choose = pipeline("multiple-choice", path)  # doctest: +SKIP
        >>> choose("She opened the", ["door.", "sea.", "idea."])  # doctest: +SKIP
        [0.91, 0.04, 0.05]
    """

    model_class = RobertaForMultipleChoice
    options_class = MultipleChoiceOptions
    noun = "questions"

    def __call__(self, inputs: Any, choices: Any = None, **options: Any) -> Any:
        """The scores of each choice, in the order given; see ``TextTask``.

        Args:
            inputs: a context, or several with their choices.
            choices: of the one context.
            **options: those of ``MultipleChoiceOptions``.
        """
        return super().__call__(
            inputs if choices is None else {"context": inputs, "choices": choices}, **options
        )

    def is_one(self, inputs: Any, options: Any) -> bool:
        return isinstance(inputs, (str, Mapping))

    def read(self, item: Any, index: int, options: Any) -> Question:
        if isinstance(item, Mapping):
            if set(item) != {"context", "choices"}:
                raise InputError(
                    f"{self.noun}[{index}] must have the keys context and choices, "
                    f"not {excerpt(list(item))}"
                )
            item = item["context"], item["choices"]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise InputError(
                f"{self.noun}[{index}] must be a context and its choices, not {excerpt(item)}"
            )
        context, choices = item
        if isinstance(choices, np.ndarray):
            choices = choices.tolist()
        if not isinstance(context, str):
            raise InputError(
                f"context of {self.noun}[{index}] must be a str, not {excerpt(context)}"
            )
        if not isinstance(choices, (list, tuple)) or not choices:
            raise InputError(
                f"choices of {self.noun}[{index}] must be a list of texts, not {excerpt(choices)}"
            )
        for number, choice in enumerate(choices):
            if not isinstance(choice, str):
                raise InputError(
                    f"choices[{number}] of {self.noun}[{index}] must be a str, "
                    f"not {excerpt(choice)}"
                )
        return context, tuple(choices)

    def encode(self, item: Question, index: int, options: Any) -> list[Encoding]:
        context, choices = item
        pairs = [self.tokenizer.encode_with_offsets((context, one), index) for one in choices]
        if options.stride is None:
            return [row for pair in pairs for row in self.fit(pair, index, options)]
        # As many tokens of the context for every choice, so that the windows are the same.
        lengths = [len(pair.places_of(1)) for pair in pairs]
        by_choice = [
            self.fit(pair, index, options, sequence=0, reserved=max(lengths) - length)
            for pair, length in zip(pairs, lengths, strict=True)
        ]
        return [row for window in zip(*by_choice, strict=True) for row in window]

    def run(self, rows: Sequence[Sequence[int]], types: Any) -> Any:
        # Each choice is a row by itself: its logit does not depend on the others.
        one_each = None if types is None else [[row] for row in types]
        return self.model.encode_rows([[row] for row in rows], one_each)

    def of_batch(self, output: Any, options: Any) -> list[Array]:
        return list(output.logits[:, 0])

    def answer(self, job: Job, outputs: list[Any], options: Any) -> Answers:
        by_window = np.array(outputs).reshape(-1, len(job.item[1]))
        return Answers(map(float, softmax(AGGREGATIONS[options.window_aggregation](by_window))))
