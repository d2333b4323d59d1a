"""A report as a picture: the errors from block to block, a line for each compute type."""

from __future__ import annotations

from typing import IO, Any

from .report import AccuracyReport

# Far apart in lightness too, for those who see no colours.
_COLOURS = ("#222222", "#d1495b", "#2e86ab", "#edae49", "#66a182")


def import_matplotlib() -> Any:
    """The class of a figure. Raises ImportError that says how to install it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f'a plot needs the matplotlib library: pip install "pyroberta[plot]" ({error})'
        ) from None
    return Figure


def draw(report: AccuracyReport, out: IO[bytes], file_format: str) -> None:
    """Write a plot.

    Args:
        report: whose hidden states are drawn: the largest error after the embeddings and each
            block as a line, the mean error as a dashed one.
        out: the file.
        file_format: ``"png"`` or ``"svg"``.

    Raises:
        ImportError: the ``matplotlib`` library is missing.
    """
    # A figure of its own, and none of pyplot's: no state of the process is read or changed.
    figure = import_matplotlib()(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for n, one in enumerate(report.types):
        colour = _COLOURS[n % len(_COLOURS)]
        for style, kind, errors in (
            ("o-", "max", [d.max_error for d in one.hidden_states]),
            (".--", "mean", [d.mean_error for d in one.hidden_states]),
        ):
            label = f"{one.compute_type}, {kind}"
            axes.plot(range(len(errors)), errors, style, color=colour, label=label)
    names = [d.name.removeprefix("block ") for d in report.types[0].hidden_states]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("after block")
    axes.set_ylabel(f"error of the hidden states against {report.against}")
    if any(d.mean_error > 0 for one in report.types for d in one.hidden_states):
        axes.set_yscale("log", nonpositive="mask")  # an error of 0 leaves a gap
    axes.set_title(f"{report.model_class}, {report.texts:,} texts, {report.kernels}", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(fontsize=8, loc="outside right upper")
    figure.savefig(out, format=file_format, dpi=120)
