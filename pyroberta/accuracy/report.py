"""What a comparison gives: frozen dataclasses of numbers, and the thresholds to hold them to."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """How far the arrays of one compute type are from the exact ones.

    Attributes:
        name: which arrays: ``"embeddings"``, ``"block 0"`` and so on (as ``encoder.layer.0`` in
            the checkpoint), ``"logits"``, ``"vectors"``.
        max_error: the largest absolute difference; infinite where a number is not finite.
        mean_error: the mean of the absolute differences.
        mean_cosine: the cosine between the exact vector and the type's, mean over the tokens (or
            over the texts); ``None`` for logits.
    """

    name: str
    max_error: float
    mean_error: float
    mean_cosine: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TypeAccuracy:
    """One compute type against the exact model.

    Attributes:
        compute_type: its name.
        hidden_states: after the embeddings and after each block.
        logits: of the head; of a language model at each mask, or at each token of a text without
            one. ``None`` for a base model.
        vectors: of whole texts, as ``pipeline("sentence-embedding")`` gives them; ``None`` where
            the model is not used so.
        decisions: how often the logits choose something: each label of a row; each word or label
            of a token; the start and the end of an answer.
        agreement: in which part of them the type chooses what the exact model does; ``None``
            where there are none.
        score: the task's, ``None`` where the texts have neither labels nor scores.
        score_change: the score less the exact model's.
    """

    compute_type: str
    hidden_states: tuple[Difference, ...]
    logits: Difference | None = None
    vectors: Difference | None = None
    decisions: int = 0
    agreement: float | None = None
    score: float | None = None
    score_change: float | None = None

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All that was compared, in the order of the model."""
        last = (self.logits, self.vectors)
        return (*self.hidden_states, *(one for one in last if one is not None))

    @property
    def worst_error(self) -> Difference:
        """Where the largest error is."""
        return max(self.differences, key=lambda one: one.max_error)

    @property
    def worst_cosine(self) -> Difference:
        """Where the mean cosine is lowest."""
        have = [one for one in self.differences if one.mean_cosine is not None]
        return min(have, key=lambda one: one.mean_cosine or 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccuracyReport:
    """Each compute type against the exact model, on the same texts.

    ``print(report)`` shows it as a table.

    Attributes:
        model: the folder.
        model_class: what it was opened as.
        against: the exact model's compute type: ``"float64"`` (on the reference backend) or
            ``"float32"`` (native).
        kernels: the build that the types ran on, as ``PYROBERTA_ISA`` names it, or
            ``"reference"``.
        version: of this package.
        texts, tokens: how many were compared; both texts of a pair that are encoded apart count.
        score_name: ``"accuracy"``, ``"spearman"`` or ``None``.
        score: the exact model's, or ``None``.
        types: the compute types in the order in which they were asked for.
        broken: a sentence for each threshold that a type broke.
    """

    model: str
    model_class: str
    against: str
    kernels: str
    version: str
    texts: int
    tokens: int
    score_name: str | None
    score: float | None
    types: tuple[TypeAccuracy, ...]
    broken: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON holds it: a number that is not finite becomes ``None``."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    def __str__(self) -> str:
        from .table import table

        return table(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What every compute type is held to; ``None``: not held.

    Args:
        max_error: the most that any hidden state, logit or vector may differ by.
        min_cosine: the least mean cosine after the embeddings, after any block and of vectors.
        min_agreement: the least part of the decisions that are the exact model's, in [0, 1].
        max_score_drop: the most that the score may be below the exact model's.

    Raises:
        InputError: a value that is not a number in its range.
    """

    max_error: float | None = None
    min_cosine: float | None = None
    min_agreement: float | None = None
    max_score_drop: float | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_error", 0.0, math.inf),
            ("min_cosine", -1.0, 1.0),
            ("min_agreement", 0.0, 1.0),
            ("max_score_drop", 0.0, math.inf),
        ):
            value = getattr(self, name)
            if value is None:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            # The comparison is false for NaN, by which nothing could be broken.
            if not number or not low <= value <= high:
                wanted = f"in [{low:g}, {high:g}]" if high < math.inf else f"of at least {low:g}"
                raise InputError(f"{name} must be a number {wanted}, not {value!r}")

    def check(self, model: str, *, decides: bool, scored: bool) -> None:
        """Refuse a threshold for what is not there. Raises InputError.

        Args:
            model: the name of the model's class.
            decides: its logits choose something.
            scored: the texts have labels or scores.
        """
        if self.min_agreement is not None and not decides:
            raise InputError(
                f"min_agreement must be left out for this {model}, whose result is no choice "
                f"between labels or words, not {self.min_agreement!r}"
            )
        if self.max_score_drop is not None and not scored:
            raise InputError(
                "max_score_drop must be left out where the texts have neither labels nor scores, "
                f"not {self.max_score_drop!r}"
            )

    def broken_by(self, accuracy: TypeAccuracy, score_name: str | None = None) -> list[str]:
        """A sentence for each threshold that a compute type breaks; ``score_name``: for those."""
        error, cosine = accuracy.worst_error, accuracy.worst_cosine
        drop = None if accuracy.score_change is None else -accuracy.score_change
        share = accuracy.agreement
        broken = []
        for what, threshold, limit, value, at_least, where in (
            ("error", "max_error", self.max_error, error.max_error, False, error.name),
            ("mean cosine", "min_cosine", self.min_cosine, cosine.mean_cosine, True, cosine.name),
            ("agreement", "min_agreement", self.min_agreement, share, True, None),
            (f"drop of {score_name}", "max_score_drop", self.max_score_drop, drop, False, None),
        ):
            if limit is None or value is None:
                continue
            # Written so that a NaN breaks it.
            held = value >= limit if at_least else value <= limit
            if not held:
                bound = f"at {'least' if at_least else 'most'} {limit!r} ({threshold})"
                broken.append(
                    f"{what} of {accuracy.compute_type} must be {bound}, not {value!r}"
                    + (f" ({where})" if where else "")
                )
        return broken


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
