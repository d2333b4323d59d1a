"""The plots of a run: ratios to each peer, and how near each engine comes to the limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .figures import fractions, ratios

# One colour for each engine in all plots; ours is the dark one.
_COLOURS = (
    *("#222222", "#d1495b", "#7fb7be", "#2e86ab", "#edae49", "#66a182", "#9d79bc", "#a3a3a3"),
    *("#8c2f39", "#1b5e6b", "#b5651d", "#3d5a40", "#c9a0dc", "#f4a6a6", "#5c6bc0", "#c0ca33"),
)


def write_plots(results: dict[str, Any], stem: Path) -> list[str]:
    """Write the plots beside ``stem``; their file names. None where matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    names = []
    for threads in dict.fromkeys(run["threads"] for run in results["runs"]):
        runs = [run for run in results["runs"] if run["threads"] == threads]
        for kind, draw in (("ratios", _draw_ratios), ("limits", _draw_limits)):
            names.append(f"{stem.name}-{kind}-{threads}.png")
            draw(results, runs, threads, stem.with_name(names[-1]))
    return names


def _draw_ratios(
    results: dict[str, Any], runs: list[dict[str, Any]], threads: int, path: Path
) -> None:
    engines = results["arguments"]["engines"]
    ours, peers = engines[0], engines[1:]
    figure, axes = _figure(results, f"time over {ours}'s, {threads} threads (bars: 10-90 %)")
    width = 0.8 / max(1, len(peers))
    for n, peer in enumerate(peers):
        label: str | None = peer
        for place, run in enumerate(runs):
            found = ratios(run, ours).get(peer)
            if found is None:
                continue
            low, middle, high = found
            axes.bar(
                place + (n - (len(peers) - 1) / 2) * width,
                middle,
                width * 0.95,
                yerr=[[middle - low], [high - middle]],
                color=_colour(n + 1),
                ecolor="#555555",
                label=label,
            )
            label = None
    axes.axhline(1, color=_COLOURS[0], linewidth=1)
    _finish(figure, axes, runs, "ratio (above 1: slower than ours)", path)


def _draw_limits(
    results: dict[str, Any], runs: list[dict[str, Any]], threads: int, path: Path
) -> None:
    engines = results["arguments"]["engines"]
    figure, axes = _figure(results, f"fraction of the nearer limit, {threads} threads")
    for n, engine in enumerate(engines):
        places, heights = [], []
        for place, run in enumerate(runs):
            if engine in run["engines"]:
                known = [x for x in fractions(run, engine) if x is not None]
                if known:
                    places.append(place)
                    heights.append(max(known))
        style = "o-" if n == 0 else "o--"
        axes.plot(places, heights, style, color=_colour(n), label=engine)
    axes.set_ylim(0, 1.05)
    _finish(figure, axes, runs, "of its type's peak or of memory bandwidth", path)


def _colour(n: int) -> str:
    """The n-th engine's; where there are more engines than colours, none gets ours again."""
    return _COLOURS[(n - 1) % (len(_COLOURS) - 1) + 1] if n else _COLOURS[0]


def _figure(results: dict[str, Any], title: str) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 4.5))
    trial = "TRIAL, " if results["trial"] else ""
    code = results["code"]["commit"][:10]
    axes.set_title(f"{trial}{title}\n{results['machine']['cpu']}, commit {code}", fontsize=10)
    return figure, axes


def _finish(figure: Any, axes: Any, runs: list[dict[str, Any]], label: str, path: Path) -> None:
    import matplotlib.pyplot as plt

    axes.set_xticks(range(len(runs)), [run["size"] for run in runs])
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
