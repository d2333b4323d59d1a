"""What a comparison gives: frozen dataclasses of numbers, and their table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


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
        embedding_type: of the types' word tables, or ``None``: as the file has it.
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
    embedding_type: str | None
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
        return _table(self)


def _table(report: AccuracyReport) -> str:
    """The report for a terminal or a log, without an end of line.

    The last part has for each type what the thresholds look at: the largest error and the lowest
    mean cosine anywhere, the agreement, the score and its change.
    """
    head = {
        "model": f"{report.model} ({report.model_class})",
        "texts": f"{report.texts:,} ({report.tokens:,} tokens)",
        "against": report.against,
        "kernels": report.kernels,
    }
    if report.embedding_type is not None:
        head["words in"] = report.embedding_type
    parts = ["\n".join(f"{name:9}{value}" for name, value in head.items())]
    parts += ["\n".join(_lines(_blocks(one))) for one in report.types]
    parts.append("\n".join(_lines(_summary(report))))
    return "\n\n".join(parts)


def _blocks(one: TypeAccuracy) -> list[list[str]]:
    rows = [[one.compute_type, "max error", "mean error", "mean cosine"]]
    for d in one.differences:
        cosine = "" if d.mean_cosine is None else _cosine(d.mean_cosine)
        rows.append([d.name, f"{d.max_error:.2e}", f"{d.mean_error:.2e}", cosine])
    return rows


def _summary(report: AccuracyReport) -> list[list[str]]:
    header = ["all in all", "max error", "mean cosine"]
    exact = [report.against, "", ""]
    rows = []
    for one in report.types:
        cosine = one.worst_cosine.mean_cosine
        rows.append([one.compute_type, f"{one.worst_error.max_error:.2e}", _cosine(cosine or 0.0)])
    if any(one.agreement is not None for one in report.types):
        header.append("agreement")
        exact.append("")
        for row, one in zip(rows, report.types, strict=True):
            row.append(f"{100 * (one.agreement or 0.0):.3f} %")
    if report.score is not None:
        header += [str(report.score_name), "change"]
        exact += [f"{report.score:.6f}", ""]
        for row, one in zip(rows, report.types, strict=True):
            row += [f"{one.score:.6f}", f"{one.score_change:+.6f}"]
        rows.insert(0, exact)
    return [header, *rows]


def _lines(rows: list[list[str]]) -> list[str]:
    """Columns of one width: the first begins on the left, the others end on the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cosine(value: float) -> str:
    """Cut and not rounded: 1 is 1 and nothing less."""
    return f"{int(value * 10**9) / 10**9:.9f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
