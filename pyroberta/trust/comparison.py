"""What a comparison of two traces found, as a table, as JSON, and as an exit status."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepComparison:
    """One step of theirs beside mine.

    Attributes:
        name: of the step.
        theirs: what theirs calls it.
        formula: what it computes.
        reads: the steps that feed it.
        max_error, mean_error: of theirs against mine, absolute: all differences before are in it.
        relative_error: the largest over the root mean square of mine.
        cosine: of theirs and mine.
        ulps: the largest error in float32's units in the last place of that root mean square.
        mean_ratio: how far theirs is from what the step exactly gives of theirs before it, as root
            mean square, over what rounding is expected to do.
        single_ratio: the same of the number that is farthest off.
        is_beyond: the step differs by more than rounding.
        layout: how theirs was laid out; empty: as a trace is.
    """

    name: str
    theirs: str
    formula: str
    reads: tuple[str, ...]
    max_error: float
    mean_error: float
    relative_error: float
    cosine: float
    ulps: float
    mean_ratio: float
    single_ratio: float
    is_beyond: bool
    layout: str


def plain_numbers(said: dict[str, Any]) -> dict[str, Any]:
    """With texts for numbers that are not finite, which JSON does not have."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in said.items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What ``pyroberta.trust.compare`` found.

    Attributes:
        steps: those that theirs has, in the order of the graph.
        number_type: what theirs was taken to compute in.
        missing: the steps that theirs lacks.
        causes: guesses at the first difference, the nearest first; none where none fits.
        mine, theirs: what was compared.
    """

    steps: tuple[StepComparison, ...]
    number_type: str
    missing: tuple[str, ...]
    causes: tuple[str, ...]
    mine: str
    theirs: str

    @property
    def first(self) -> StepComparison | None:
        """The first step that differs by more than rounding, or ``None``."""
        return next((step for step in self.steps if step.is_beyond), None)

    @property
    def beyond(self) -> tuple[StepComparison, ...]:
        """All steps that do so by themselves: not those that only follow from one before."""
        return tuple(step for step in self.steps if step.is_beyond)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        first = self.first
        return {
            "mine": self.mine,
            "theirs": self.theirs,
            "number_type": self.number_type,
            "first": None if first is None else first.name,
            "causes": list(self.causes),
            "missing": list(self.missing),
            "steps": [plain_numbers(dataclasses.asdict(step)) for step in self.steps],
        }

    def verdict(self) -> str:
        """A few lines: the first difference, what feeds it, and what may be its cause."""
        first = self.first
        if first is None:
            return f"All {len(self.steps)} steps differ by rounding alone, of {self.number_type}."
        lines = [
            f"First step that differs by more than rounding: {first.name} ({first.theirs})",
            f"  computes  {first.formula}",
            f"  reads     {', '.join(first.reads)}",
            f"  is off by {first.mean_ratio:.3g} times what rounding of {self.number_type} does",
            f"  one number by {first.single_ratio:.3g} times",
        ]
        lines += [f"  perhaps   {cause}" for cause in self.causes]
        others = [step.name for step in self.beyond[1:]]
        if others:
            more = f" and {len(others) - 5} more" if len(others) > 5 else ""
            lines.append(f"Others by themselves: {', '.join(others[:5])}{more}")
        return "\n".join(lines)

    def __str__(self) -> str:
        wide = max([4, *(len(step.name) for step in self.steps)])
        columns = ("max error", 9), ("mean", 8), ("relative", 8), ("cosine", 9), ("ulps", 8)
        heads = [f"{head:>{width}}" for head, width in (*columns, ("rounding", 8))]
        lines = ["  ".join([f"{'step':{wide}}", *heads])]
        for step in self.steps:
            mark = "  <- more than rounding" if step.is_beyond else ""
            layout = f"  ({step.layout})" if step.layout else ""
            lines.append(
                f"{step.name:{wide}}  {step.max_error:9.2e}  {step.mean_error:8.1e}  "
                f"{step.relative_error:8.1e}  {step.cosine:9.6f}  {step.ulps:8.3g}  "
                f"{step.mean_ratio:8.2g}{mark}{layout}"
            )
        lines += ["", self.verdict()]
        return "\n".join(lines)
