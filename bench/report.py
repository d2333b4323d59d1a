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

from .amx import CLASSES, by_class
from .engines import find_engine
from .figures import Spread, best_peer, fractions, limit, ratios, spread
from .plots import write_plots


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
        lines += _table(
            ["size", "tokens (padded)", "rounds", "engine", "best peer", "best that pads"],
            [row for run in runs for row in _best_rows(run, engines)],
        )
        lines += ["", f"Time a call, the same over {ours}'s, error against float64:", ""]
        lines += _table(
            ["size", "engine", "milliseconds", "ratio", "error, max (mean)", "of its limit"],
            [row for run in runs for row in _engine_rows(run, engines)] + _mean_rows(runs, engines),
        )
        lines += ["", "The limits, Gop/s and GB/s, medians:", ""]
        lines += _limits_table(runs)
        if any("calls" in engine for run in runs for engine in run["engines"].values()):
            lines += ["", "Calls by the state of AMX, medians:", ""]
            lines += _table(
                ["size", "engine"]
                + [f"{x}: calls" if x == "mixed" else f"{x}: calls, ms, ratio" for x in CLASSES],
                [row for run in runs for row in _amx_rows(run, engines)],
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


def _best_rows(run: dict[str, Any], engines: list[str]) -> list[list[str]]:
    """A row for each of ours: the first engine, and the same on other ISAs and in other types."""
    rows = []
    for name in engines:
        if find_engine(name).base == find_engine(engines[0]).base and name in run["engines"]:
            best, pads = best_peer(run, name), best_peer(run, name, pads=True)
            rows.append(
                [
                    run["size"],
                    f"{run['tokens']} ({run['padded_tokens']})",
                    str(run["rounds"]),
                    name,
                    f"{best[0]} **{_format(best[1], 'ratio')}**" if best else "-",
                    f"{pads[0]} {_format(pads[1], 'ratio')}" if pads else "-",
                ]
            )
    return rows


def _engine_rows(run: dict[str, Any], engines: list[str]) -> list[list[str]]:
    found = ratios(run, engines[0])
    rows = []
    for name in engines:
        engine = run["engines"].get(name)
        if engine is None:
            continue
        error = engine["errors"]
        rows.append(
            [
                run["size"],
                name,
                _format(spread([1e3 * s for s in engine["seconds"]]), "ms"),
                _format(found[name], "ratio") if name in found else "1" if found else "-",
                f"{error['max']:.1e} ({error['mean']:.1e})" if error else "-",
                _nearer_limit(run, name),
            ]
        )
    return rows


def _nearer_limit(run: dict[str, Any], engine: str) -> str:
    """Only one of the two can bind; the other one is noise in a table."""
    of_peak, of_read = fractions(run, engine)
    if of_peak is None or of_read is None:
        return "-"
    return f"{of_peak:.0%} of peak" if of_peak > of_read else f"{of_read:.0%} of memory"


def _mean_rows(runs: list[dict[str, Any]], engines: list[str]) -> list[list[str]]:
    """The geometric mean over the sizes, of engines that have all of them."""
    rows = []
    for name in engines[1:]:
        medians = [r[name][1] for run in runs if name in (r := ratios(run, engines[0]))]
        if len(medians) == len(runs) > 1:
            mean = math.exp(np.mean(np.log(medians)))
            rows.append(["geometric mean", name, "", f"{mean:.2f}", "", ""])
    return rows


def _limits_table(runs: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for run in runs for name in run["limits"]))
    rows = [
        [run["size"]]
        + [
            f"{x / 1e9:.{int(name == 'read')}f}" if (x := limit(run, name)) else "-"
            for name in names
        ]
        for run in runs
    ]
    return _table(["size", *names], rows)


def _amx_rows(run: dict[str, Any], engines: list[str]) -> list[list[str]]:
    """Each engine's calls in AMX's slow and in its fast state, against ours in the same state."""
    found = {
        name: by_class(run["engines"][name]["calls"])
        for name in engines
        if "calls" in run["engines"].get(name, {})
    }
    rows = []
    for name, classes in found.items():
        cells = [run["size"], name]
        for state in ("slow", "fast"):
            own, seconds = found.get(engines[0], {}).get(state), classes[state]
            middle = float(np.median(seconds)) if seconds else 0.0
            ratio = f"{middle / np.median(own):.2f}" if own and seconds else "-"
            cells.append(f"{len(seconds)}, {1e3 * middle:.2f}, {ratio}" if seconds else "0")
        rows.append([*cells, str(len(classes["mixed"]))])
    return rows


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
