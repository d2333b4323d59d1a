"""zero-shot-classification: labels that a model of entailment never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import excerpt, pick_flag
from ..errors import InputError
from ..logits import softmax
from ..models import RobertaForSequenceClassification
from .encoding import Encoding
from .text_classification import AGGREGATIONS, check_aggregation
from .text_inputs import Answer, Job, TextOptions
from .text_task import TextTask
from .tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZeroShotOptions(TextOptions):
    """What can be chosen for zero-shot-classification.

    Attributes:
        candidate_labels: what a text may be: a list of labels, or a ``str`` with commas between.
        hypothesis_template: what is made of a label, in the place of ``{}``.
        multi_label: each label is judged by itself, entailed or contradicted, and several may be
            right; else one is, and the scores sum to 1.
        window_aggregation: what the scores of a long text are of its windows': ``"mean"``,
            ``"max"`` or ``"first"``.
    """

    candidate_labels: Sequence[str] | str | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False
    window_aggregation: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        template = self.hypothesis_template
        if not isinstance(template, str) or _filled(template, "a") == _filled(template, "b"):
            raise InputError(
                "hypothesis_template must be a str with {} for the label, "
                f"not {excerpt(template)}"
            )
        if self.candidate_labels is not None:
            object.__setattr__(self, "candidate_labels", _read_labels(self.candidate_labels))
        multi = pick_flag("multi_label", self.multi_label, False)
        object.__setattr__(self, "multi_label", multi)
        check_aggregation(self.window_aggregation)


class ZeroShotClassification(TextTask):
    """Which of some labels fits each text, by a model that was trained on entailment.

    See ``TextTask`` for what all tasks take and ``ZeroShotOptions`` for the options. The label of
    the model whose name begins with "entail" is the entailment, else its last.

    A call gives for each text ``sequence``, the text; ``labels``, the most probable first; and
    ``scores``, theirs. Only the text is cut where the pair is too long, never the label.

    Example:
        >>> guess = pipeline("zero-shot-classification", path)  # doctest: +SKIP
        >>> guess("It rains.", candidate_labels=["weather", "sport"])  # doctest: +SKIP
        {'sequence': 'It rains.', 'labels': ['weather', 'sport'], 'scores': [0.97, 0.03]}
    """

    model_class = RobertaForSequenceClassification
    options_class = ZeroShotOptions

    def __init__(
        self, model: RobertaForSequenceClassification, tokenizer: Tokenizer, **options: Any
    ) -> None:
        super().__init__(model, tokenizer, **options)
        if model.config.num_labels < 2:
            raise InputError(
                "model must have a label for entailment and one for contradiction, not "
                f"{model.config.num_labels}"
            )
        names = [label.lower().startswith("entail") for label in model.config.labels]
        self.entailment_id = names.index(True) if any(names) else len(names) - 1
        self.contradiction_id = len(names) - 1 if self.entailment_id == 0 else 0

    def __call__(self, inputs: Any, candidate_labels: Any = None, **options: Any) -> Any:
        """The labels of one text, or a list of them for several; see ``TextTask``."""
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(inputs, **options)

    def encode_all(self, items: Sequence[tuple[int, str]], options: Any) -> list[Job]:
        if options.candidate_labels is None:
            raise InputError("candidate_labels must be given, not left out")
        texts = [_filled(options.hypothesis_template, label) for label in options.candidate_labels]
        # Each hypothesis is encoded once, and each premise once.
        hypotheses = [self.tokenizer.encode_with_offsets(("", text)) for text in texts]
        return [
            Job(index, item, self._rows(item, index, hypotheses, options)) for index, item in items
        ]

    def _rows(
        self, premise: str, index: int, hypotheses: list[Encoding], options: Any
    ) -> list[Encoding]:
        """All labels' rows of the first window, then of the next."""
        longest = max(map(len, hypotheses))
        whole: list[Encoding] = []
        for other in hypotheses:
            if not whole or not whole[0].places_of(1) or not other.places_of(1):
                pair = (premise, other.texts[1])
                whole.append(self.tokenizer.encode_with_offsets(pair, index))
            else:
                whole.append(whole[0].with_second(other))
        by_label = [
            # As many tokens of the text for every label, so that the windows are the same.
            self.fit(
                pair,
                index,
                options,
                sequence=0,
                reserved=self._reserved(pair, other, longest, options),
            )
            for pair, other in zip(whole, hypotheses, strict=True)
        ]
        return [row for window in zip(*by_label, strict=True) for row in window]

    def _reserved(self, pair: Encoding, other: Encoding, longest: int, options: Any) -> int:
        return 0 if options.stride is None else longest - len(other)

    def answer(self, job: Job, outputs: list[Array], options: Any) -> Answer:
        labels = options.candidate_labels
        logits = np.stack(outputs).reshape(-1, len(labels), self.model.config.num_labels)
        if options.multi_label or len(labels) == 1:
            both = logits[..., [self.contradiction_id, self.entailment_id]]
            of_windows = softmax(both)[..., 1]
        else:
            of_windows = softmax(logits[..., self.entailment_id])
        scores = AGGREGATIONS[options.window_aggregation](of_windows)
        order = np.argsort(-scores, kind="stable").tolist()
        return Answer(
            sequence=job.item,
            labels=[labels[i] for i in order],
            scores=[float(scores[i]) for i in order],
        )


def _filled(template: str, label: str) -> str:
    """The template with the label in it. Raises InputError for one that cannot be filled."""
    try:
        return template.format(label)
    except (IndexError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f"hypothesis_template must be a str with {{}} for the label, not {excerpt(template)}: "
            f"{error!r}"
        ) from None


def _read_labels(labels: Any) -> tuple[str, ...]:
    if isinstance(labels, str):
        found = [label.strip() for label in labels.split(",") if label.strip()]
    elif isinstance(labels, Iterable):
        found = list(labels)
    else:
        raise InputError(f"candidate_labels must be a list of str, not {excerpt(labels)}")
    if not found:
        raise InputError("candidate_labels must hold at least one label, not none")
    for i, label in enumerate(found):
        if not isinstance(label, str) or not label.strip():
            raise InputError(f"candidate_labels[{i}] must be a label, not {excerpt(label)}")
    return tuple(map(str, found))
