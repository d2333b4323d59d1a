"""A comparison as a picture: each step's error over what rounding does."""

from __future__ import annotations

from typing import IO

from ..accuracy.plot import import_matplotlib
from .comparison import Comparison

_WITHIN, _BEYOND = "#2e86ab", "#d1495b"


def draw(report: Comparison, out: IO[bytes], file_format: str) -> None:
    """Write a plot: a bar for each step, those beyond rounding in red.

    Args:
        report: what is drawn.
        out: the file.
        file_format: ``"png"`` or ``"svg"``.

    Raises:
        ImportError: the ``matplotlib`` library is missing.
    """
    names = [step.name for step in report.steps]
    ratios = [min(max(step.mean_ratio, 1e-4), 1e12) for step in report.steps]
    colours = [_BEYOND if step.is_beyond else _WITHIN for step in report.steps]
    figure = import_matplotlib()(figsize=(9, 1.5 + 0.16 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(names)), ratios, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="#222222", linewidth=0.8)
    axes.set_xlabel(f"error of the step over what rounding of {report.number_type} does")
    first = report.first
    said = "rounding alone" if first is None else f"first beyond rounding: {first.name}"
    axes.set_title(said, fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(out, format=file_format, dpi=120)
