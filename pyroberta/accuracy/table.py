"""A report as text: each type's numbers from block to block, then one line for each type."""

from __future__ import annotations

from .report import AccuracyReport, TypeAccuracy


def table(report: AccuracyReport) -> str:
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
