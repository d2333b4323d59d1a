"""What every compute type is held to, and a sentence for each threshold that one breaks."""

from __future__ import annotations

import dataclasses
import math

from ..errors import InputError
from .report import TypeAccuracy


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
