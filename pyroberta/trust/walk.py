"""``compare``: two traces, and the first step of the second that is off by more than rounding."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..architectures import from_pretrained
from ..arrays import Array
from ..checkpoint import Source
from ..checks import check_count, excerpt
from ..errors import CheckpointError, InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..models import Model
from .arithmetic import Arithmetic
from .causes import guess
from .comparison import Comparison, StepComparison
from .expected import Expected
from .judge import judge
from .layouts import Matched, match_layout
from .names import find_names, read_map, take
from .others import Arrays, read_arrays
from .rounding import find_number_type, narrowest, widest
from .steps import Step
from .trace_file import FORMAT, Trace
from .tracing import last_readers, weights_checksum

# How many steps before it are computed anew where a step does not follow from theirs: kernels of
# attention compute scores, weights and context as one, and any step may be fused with the last.
_FUSED = {"context": 2}


@in_usual_arithmetic
def compare(
    mine: Trace | str | os.PathLike[str],
    theirs: str | os.PathLike[str] | Mapping[str, Any],
    *,
    model: Model[Any] | str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | Mapping[str, str | Sequence[str]] | None = None,
    number_type: str | None = None,
    runs: int = 4,
    seed: int = 0,
) -> Comparison:
    """Compare another implementation's steps with a trace, step by step.

    Each step is computed in float64 from what *theirs* has before it, so that one difference is not
    counted again in all that follow; and again ``runs`` times with every operation's result
    perturbed by one rounding of their type, which says how far rounding alone can take the step
    (Monte Carlo arithmetic: see ``rounding.py``). Where ``theirs`` lacks a step, the ones that read
    it are computed from the nearest steps before it that are there.

    Args:
        mine: a trace that ``pyroberta.trace`` made, or its file.
        theirs: a ``.npz`` or safetensors file, a folder of ``.npy`` files, or a mapping of names
            to arrays (NumPy's, PyTorch's, JAX's): steps of the same inputs, any part of them, of
            any layout that the shapes tell.
        model: the model, or its folder or Hub name; ``None``: the checkpoint that the trace names.
        names: what theirs calls the steps: the path of a JSON file, or a mapping of steps to names
            (``{n}`` for a block's number); ``None``: the trace's own names, or those of
            transformers, fairseq, Bumblebee or an ONNX export.
        number_type: what theirs computes in (a key of ``NUMBER_TYPES``); ``None``: the narrowest
            that holds the most precise of its arrays.
        runs: perturbed runs of each step.
        seed: of their draws.

    Raises:
        FileNotFoundError: a file that is not there.
        InputError: no trace, arrays of another model or of other ids, an array of integers or of
            another shape: each by name.
        CheckpointError: the model's weights are not those of the trace.

    Example:
        >>> report = pyroberta.trust.compare("mine.safetensors", "theirs.npz")  # doctest: +SKIP
        >>> report.first.name, report.causes  # doctest: +SKIP
        ('block.0.attention.scores', ('multiplied by 0.177: scaled twice',))
    """
    mine = mine if isinstance(mine, Trace) else Trace.open(mine)
    runs, seed = check_count("runs", runs, 2), check_count("seed", seed, 0)
    arrays = read_arrays(theirs)
    _check_same_inputs(mine, arrays)
    source = _open_source(mine, model)
    known = None if names is None else read_map(names, mine.graph)
    found = find_names(mine.graph, arrays, known)
    claimed = number_type or _type_of(arrays, mine.graph, found)
    expected = Expected(Arithmetic(source, mine.case), find_number_type(claimed), runs, seed)
    walk = _Walk(mine, arrays, found, expected)
    steps = tuple(walk.steps())
    return Comparison(
        steps=steps,
        number_type=claimed,
        missing=tuple(step.name for step in mine.graph if step.name not in found),
        causes=walk.causes,
        mine=repr(mine),
        theirs=arrays.source,
    )


class _Walk:
    """Goes through the steps in order; what no later step reads is forgotten."""

    def __init__(
        self, mine: Trace, arrays: Arrays, found: Mapping[str, list[str]], expected: Expected
    ) -> None:
        self._mine = mine
        self._arrays = arrays
        self._found = found
        self._expected = expected
        self._by_name = {step.name: step for step in mine.graph}
        self._readers = self._last_readers()
        self._is_found = False
        self.causes: tuple[str, ...] = ()

    def steps(self) -> list[StepComparison]:
        """The comparison of each step that theirs has."""
        reports = []
        for name, values in self._mine.case.inputs().items():
            self._expected.put(name, values)
        for step in self._mine.graph:
            if step.name in self._found:
                reports.append(self._step(step))
            else:
                self._expected.compose(step)
            self._expected.forget(step.name, self._readers)
        return reports

    def _step(self, step: Step) -> StepComparison:
        mine = self._mine.attended(step) if step.name in self._mine else None
        name, matched = self._match(step, mine)
        values, note, leak = matched.values, matched.layout, matched.leak
        seen = _seen(self._mine, step)
        exact, error = self._expected.of(step)
        report = judge(step, name, values, exact, error, seen, mine, leak, note)
        for fused in self._fused(step) if report.is_beyond else ():
            whole = self._expected.of(step, fused)
            again = judge(step, name, values, *whole, seen, mine, leak, note)
            if not again.is_beyond:
                report = again
                break
        if report.is_beyond and not self._is_found:
            self._is_found = True
            feeds = self._expected.feeds(step)
            self.causes = guess(
                self._expected.arithmetic, step, feeds, values, exact, error, seen, leak
            )
        self._expected.put(step.name, values)
        return report

    def _match(self, step: Step, mine: Array | None) -> tuple[str, Matched]:
        """Theirs, by the first of its names whose array can be the step's."""
        names = self._found[step.name]
        for name in names[:-1]:
            with contextlib.suppress(InputError):
                return name, match_layout(self._mine.case, step, take(self._arrays, name), mine)
        name = names[-1]
        return name, match_layout(self._mine.case, step, take(self._arrays, name), mine)

    def _fused(self, step: Step) -> list[list[Step]]:
        """The steps that one implementation may compute together with a step: ever more of them."""
        found: list[list[Step]] = []
        last = [step]
        for _ in range(_FUSED.get(step.kind, 1)):
            names = {name for one in last for name in one.feeds} & self._by_name.keys()
            last = [one for one in self._mine.graph if one.name in names]
            if last:
                found.append([*last, *(found[-1] if found else [])])
        return found

    def _last_readers(self) -> dict[str, str]:
        """For each step the last that is judged by it, alone or with those it may be fused with."""
        readers = last_readers(self._mine.graph)
        for step in self._mine.graph:
            for one in self._fused(step):
                readers |= {name: step.name for each in one for name in each.feeds}
        return readers


def _seen(mine: Trace, step: Step) -> Array | None:
    """Of scores: those of keys that their query attends to, of the flat array."""
    if step.kind != "scores":
        return None
    heads = mine.case.config.num_attention_heads
    flat = np.empty(mine.case.size(step))
    rows = [seen for _, seen in mine.case.attentions(step, flat)]
    masks = [np.broadcast_to(seen, (heads, *seen.shape)).ravel() for seen in rows]
    return np.concatenate(masks) if masks else np.empty(0, bool)


def _type_of(arrays: Arrays, steps: Sequence[Step], found: Mapping[str, list[str]]) -> str:
    """The number type of theirs: that of the most of its steps; of equally many the more precise.

    The narrowest type that holds a step's numbers is the step's.
    """
    counts: Counter[str] = Counter()
    for step in steps:
        if step.name in found and step.kind not in ("table", "first"):
            array = take(arrays, found[step.name][0])
            if array.dtype.kind != "f":
                raise InputError(f"{step.name} must be floats, not {array.dtype}")
            flat = np.ravel(array)
            # Zeros, as masked tokens have them, are numbers of every type.
            some = flat[np.flatnonzero(flat)[: 1 << 16]]
            if some.size:
                counts[narrowest(some)] += 1
    most = max(counts.values(), default=0)
    return widest({name for name, count in counts.items() if count == most} or {"float32"})


def _check_same_inputs(mine: Trace, arrays: Arrays) -> None:
    """Raise InputError where theirs is a trace of this format of other inputs or weights."""
    theirs = arrays.metadata
    if theirs.get("format") != FORMAT:
        return
    for key, what in (
        ("architecture", "architecture"),
        ("config", "configuration"),
        ("inputs", "ids, mask, types and positions"),
    ):
        if _parsed(theirs.get(key, "")) != _parsed(mine.metadata[key]):
            raise InputError(
                f"theirs must be a trace of the same {what} as mine, not of others: {arrays.source}"
            )


def _parsed(text: str) -> Any:
    """What a text of metadata says: other writers space JSON in other ways."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _open_source(mine: Trace, model: Model[Any] | str | os.PathLike[str] | None) -> Source:
    """The weights that the trace was made with."""
    if model is None:
        model = mine.metadata["checkpoint"]
        if not model:
            raise InputError(
                "model must be given: the trace is of one that came from no checkpoint's folder"
            )
        model = Path(model)  # a name on the Hub is asked for by the caller alone
    if not isinstance(model, Model):
        try:
            model = from_pretrained(model, architecture=mine.metadata["architecture"])
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"model must be the checkpoint of the trace, to be found: {error}"
            ) from None
    found = weights_checksum(model._source)
    if found != mine.metadata["checksum"]:
        raise CheckpointError(
            f"model must have the weights of the trace (SHA-256 "
            f"{excerpt(mine.metadata['checksum'])}), not others ({excerpt(found)})"
        )
    return model._source
