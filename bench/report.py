"""From a run's JSON to its tables and plots.

``python -m bench.report results/NAME.json`` writes them again. Every figure of the tables comes
from the JSON file, which holds each turn's seconds.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from .engines import ENGINES
from .plots import write_plots

Spread = tuple[float, float, float]  # 10th percentile, median, 90th percentile


def spread(values: list[float]) -> Spread:
    """The median and where the middle four fifths lie."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    return float(low), float(middle), float(high)


def ratios(run: dict[str, Any], ours: str) -> dict[str, Spread]:
    """Each peer's time over ours, turn by turn of one round: above 1, ours is faster."""
    own = run["engines"].get(ours)
    if own is None:
        return {}
    return {
        name: spread([p / o for p, o in zip(peer["seconds"], own["seconds"], strict=True)])
        for name, peer in run["engines"].items()
        if name != ours
    }


def best_peer(run: dict[str, Any], ours: str) -> tuple[str, Spread] | None:
    """The peer with the lowest median ratio: the one that is hardest to beat."""
    found = ratios(run, ours)
    return min(found.items(), key=lambda item: item[1][1]) if found else None


def limit(run: dict[str, Any], name: str) -> float | None:
    """A limit's median over the rounds."""
    values = run["limits"].get(name)
    return float(np.median(values)) if values else None


def fma_limit(run: dict[str, Any], engine: str) -> float | None:
    """The multiply-add peak of the widest vectors that this engine may use."""
    wide = None if engine.endswith("-avx2") else limit(run, "fma_avx512")
    return wide or limit(run, "fma_avx2")


def fractions(run: dict[str, Any], engine: str) -> tuple[float | None, float | None]:
    """An engine's median call as fractions of the multiply-add peak and of memory bandwidth."""
    seconds = spread(run["engines"][engine]["seconds"])[1]
    fma, read = fma_limit(run, engine), limit(run, "read")
    return (
        run["flops"] / seconds / fma if fma else None,
        run["weight_bytes"] / seconds / read if read else None,
    )


def write_report(results: dict[str, Any], output: Path) -> None:
    """Write NAME.json, NAME.md and the plots."""
    name = output.name.removesuffix(".json")
    output.with_name(f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    plots = write_plots(results, output.with_name(name))
    output.with_name(f"{name}.md").write_text(markdown(results, name, plots))


def markdown(results: dict[str, Any], name: str, plots: list[str]) -> str:
    """The whole report."""
    engines = results["arguments"]["engines"]
    ours = engines[0]
    lines = [f"# {name}", ""]
    if results["trial"]:
        rounds = results["arguments"]["rounds"]
        lines += [f"**A trial: {rounds} rounds. Too few to conclude anything from.**", ""]
    lines += _about(results)
    for threads in dict.fromkeys(run["threads"] for run in results["runs"]):
        runs = [run for run in results["runs"] if run["threads"] == threads]
        lines += ["", f"## {threads} thread{'s' * (threads > 1)}", ""]
        lines += ["Milliseconds a call, median [10th-90th percentile] over the rounds:", ""]
        lines += _table(
            ["size", "tokens (padded)", "rounds", *engines],
            [_times_row(run, engines) for run in runs],
        )
        lines += ["", f"The peer's time over {ours}'s in the same round, median [10-90 %]:", ""]
        lines += _table(
            ["size", "best peer", "best that pads", *engines[1:]],
            [_ratios_row(run, engines) for run in runs] + [_mean_row(runs, engines)],
        )
        lines += ["", "Fractions of this run's limits, medians:", ""]
        lines += _table(
            ["size", "FMA peak, Gop/s", "memory, GB/s", *engines],
            [_limits_row(run, engines) for run in runs],
        )
        lines += ["", "Error of the hidden states against float64, max (mean):", ""]
        lines += _table(
            ["size", "tokens judged", *engines], [_errors_row(run, engines) for run in runs]
        )
    if results["failures"]:
        lines += ["", "## What failed", "", *(f"- {failure}" for failure in results["failures"])]
    lines += ["", *(f"![{plot}]({plot})" for plot in plots), ""]
    return "\n".join(lines)


def _about(results: dict[str, Any]) -> list[str]:
    machine, code, arguments = results["machine"], results["code"], results["arguments"]
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    state = " and uncommitted changes" if code["changed"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [
        f"- CPU: {machine['cpu']} ({machine['family']}), hypervisor {machine['hypervisor']}",
        f"- {machine['cpus']} CPUs, {machine['threads_per_core']} thread(s) a core; {caches}",
        f"- Flags that matter: {' '.join(machine['flags'])}",
        f"- Memory {machine['memory_gb']} GB; {machine['system']}; Python {machine['python']}",
        f"- Versions: {versions}",
        f"- Commit {code['commit']}{state}; {code['date']}",
        f"- Model: {arguments['model']} size, {arguments['compute_type']}",
    ]
    busy = [value for value in results["busy"] if value is not None]
    if busy:
        shares = " and ".join(f"{value:.0%}" for value in busy)
        loud = "; **it was not quiet, do not trust the figures**" if max(busy) > 0.05 else ""
        lines.append(f"- CPU time that others used before and after the run: {shares}{loud}")
    unsettled = {
        name
        for run in results["runs"]
        for name, engine in run["engines"].items()
        if max(engine["settled"], default=0) > 1
    }
    if unsettled:
        lines.append(f"- Threads still busy a second after a turn: {', '.join(sorted(unsettled))}")
    return lines


def _times_row(run: dict[str, Any], engines: list[str]) -> list[str]:
    cells = [run["size"], f"{run['tokens']} ({run['padded_tokens']})", str(run["rounds"])]
    for name in engines:
        engine = run["engines"].get(name)
        cells.append(_spread([1e3 * s for s in engine["seconds"]], "ms") if engine else "-")
    return cells


def _ratios_row(run: dict[str, Any], engines: list[str]) -> list[str]:
    found, best = ratios(run, engines[0]), best_peer(run, engines[0])
    pads = [(x, name) for name, x in found.items() if not ENGINES[name].drops_padding]
    padding = min(pads, key=lambda pair: pair[0][1], default=None)
    cells = [
        run["size"],
        f"**{best[1][1]:.2f}** {best[0]}" if best else "-",
        f"{padding[0][1]:.2f} {padding[1]}" if padding else "-",
    ]
    for name in engines[1:]:
        cells.append(_format(found[name], "ratio") if name in found else "-")
    return cells


def _mean_row(runs: list[dict[str, Any]], engines: list[str]) -> list[str]:
    cells = ["geometric mean", "", ""]
    for name in engines[1:]:
        medians = [r[name][1] for run in runs if name in (r := ratios(run, engines[0]))]
        whole = len(medians) == len(runs) and medians
        cells.append(f"{math.exp(np.mean(np.log(medians))):.2f}" if whole else "-")
    return cells


def _limits_row(run: dict[str, Any], engines: list[str]) -> list[str]:
    fma, read = fma_limit(run, engines[0]), limit(run, "read")
    cells = [
        run["size"],
        f"{fma / 1e9:.0f}" if fma else "-",
        f"{read / 1e9:.1f}" if read else "-",
    ]
    for name in engines:
        if name not in run["engines"]:
            cells.append("-")
            continue
        of_fma, of_read = fractions(run, name)
        # Only one of the two can bind; the other one is noise in a table.
        if of_fma is None or of_read is None:
            cells.append("-")
        elif of_fma > of_read:
            cells.append(f"{of_fma:.0%} of FMA")
        else:
            cells.append(f"{of_read:.0%} of memory")
    return cells


def _errors_row(run: dict[str, Any], engines: list[str]) -> list[str]:
    cells = [run["size"], str(run["judged_tokens"])]
    for name in engines:
        found = run["engines"].get(name, {}).get("errors")
        cells.append(f"{found['max']:.1e} ({found['mean']:.1e})" if found else "-")
    return cells


def _spread(values: list[float], kind: str) -> str:
    return _format(spread(values), kind)


def _format(values: Spread, kind: str) -> str:
    low, middle, high = values
    digits = 2 if kind == "ratio" or middle < 10 else 1 if middle < 100 else 0
    return f"{middle:.{digits}f} [{low:.{digits}f}-{high:.{digits}f}]"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def main() -> None:
    """Write the report of a JSON file again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    args = parser.parse_args()
    write_report(json.loads(args.results.read_text()), args.results.with_suffix(""))


if __name__ == "__main__":
    main()
