"""``digits``: how many digits each step of a model has, in each compute type, on texts."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import check_count, excerpt
from ..compute_types import COMPUTE_TYPES
from ..errors import InputError
from ..kernels.arithmetic import in_usual_arithmetic
from ..models import Model
from ..text.batching import plan_batches
from .case import Case
from .kernel_steps import KernelSteps
from .of_texts import Row, open_model, read_rows
from .steps import Step, graph
from .tracing import last_readers

# Tokens of texts that are computed together: each step's arrays of every type stand side by side.
_BATCH_TOKENS = 512
# Digits of an error that is 0.
_ALL = 17.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitsReport:
    """Digits of each step, and the texts that have the fewest.

    Digits are ``-log10(|x - exact| / |exact|)`` in Euclidean norms, over all texts, against the
    same step in float64: what is lost before a step is lost in it.

    Attributes:
        texts: how many there were.
        steps: the names, in the order of the graph.
        digits: of each compute type, for each step.
        worst: of each compute type the texts whose last step has the fewest digits: the text's
            number from 0, and its digits.
    """

    texts: int
    steps: tuple[str, ...]
    digits: dict[str, tuple[float, ...]]
    worst: dict[str, tuple[tuple[int, float], ...]]

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        wide = max(len(step) for step in self.steps)
        types = list(self.digits)
        lines = ["  ".join([f"{'digits':{wide}}", *(f"{name:>10}" for name in types)])]
        for n, step in enumerate(self.steps):
            numbers = (f"{self.digits[name][n]:10.1f}" for name in types)
            lines.append("  ".join([f"{step:{wide}}", *numbers]))
        lines.append("")
        for name in types:
            texts = ", ".join(f"{number} ({digits:.1f})" for number, digits in self.worst[name])
            lines.append(f"Fewest digits in {name}: text {texts}")
        return "\n".join(lines)


@in_usual_arithmetic
def digits(
    path: str | os.PathLike[str] | None,
    texts: Sequence[str | Mapping[str, Any]],
    *,
    compute_types: Sequence[str] | None = None,
    revision: str | None = None,
    architecture: str | None = None,
    worst: int = 5,
    progress: Callable[[int, int], object] | None = None,
) -> DigitsReport:
    """How many digits each step has in each compute type.

    Args:
        path: a checkpoint's folder or Hub name; ``None``: the shipped one.
        texts: each a str, or an object with "text" and, for a pair, "text_pair".
        compute_types: of the native backend; ``None``: all.
        revision: of a Hub name.
        architecture: as for ``from_pretrained``.
        worst: how many of the texts with the fewest digits to name.
        progress: called with the number of texts done and that of all.

    Raises:
        InputError: an argument or a text that is not as it should be.
        ConfigError: a model that reads more than a text.
        ImportError: the ``tokenizers`` library is missing.

    Example:
        >>> report = pyroberta.trust.digits(None, ["The king lived in a tower."])
        >>> report.digits["float32"][-1] > report.digits["bfloat16"][-1]
        True
    """
    types = list(COMPUTE_TYPES if compute_types is None else compute_types)
    for name in types:
        if name not in COMPUTE_TYPES:
            known = ", ".join(COMPUTE_TYPES)
            raise InputError(f"compute_types must be of {known}, not {excerpt(name)}")
    worst = check_count("worst", worst, 1)
    _, rows = read_rows(path, texts, revision=revision)
    options = {"revision": revision, "architecture": architecture}
    models = [open_model(path, name, **options) for name in ("float64", *types)]
    sums = _Sums(models[0], types, len(rows))
    done = 0
    for batch in plan_batches([len(row) for row in rows], _BATCH_TOKENS):
        sums.add(models, [rows[i] for i in batch], batch)
        done += len(batch)
        if progress is not None:
            progress(done, len(rows))
    return sums.report(worst)


class _Sums:
    """Squares of errors and of exact numbers, of each step and of each text's last."""

    def __init__(self, exact: Model[Any], types: Sequence[str], texts: int) -> None:
        names = sorted(exact._source.names())
        self._steps = graph(exact.config, exact.architecture, names, cross=False)
        self._types = types
        self._errors = np.zeros((len(types), len(self._steps)))
        self._exact = np.zeros(len(self._steps))
        self._of_text = np.zeros((len(types), texts))
        self._texts = texts

    def add(self, models: Sequence[Model[Any]], rows: list[Row], numbers: Sequence[int]) -> None:
        """Take in a batch of rows, each the text with its number."""
        runs = [self._run(model, rows) for model in models]
        for n, (step, exact, *others) in enumerate(
            (step, *(values for _, values in rest))
            for step, rest in ((group[0][0], group) for group in zip(*runs, strict=True))
        ):
            with np.errstate(invalid="ignore"):
                finite = np.isfinite(exact)
            self._exact[n] += _square(exact[finite])
            for which, values in enumerate(others):
                self._errors[which, n] += _square(values[finite] - exact[finite])
            if n == len(self._steps) - 1:
                self._last(step, exact, others, rows, numbers)

    def _run(self, model: Model[Any], rows: list[Row]) -> Iterator[tuple[Step, Array]]:
        call = model._read_rows(rows, None, None, None)
        case = Case(config=model.config, causal=model._is_causal, ragged=call.ragged)
        kernels = KernelSteps(model._parts.kernels, model._source, case)
        arrays, readers = case.inputs(), last_readers(self._steps)
        for step in self._steps:
            values = arrays[step.name] = kernels.compute(step, arrays)
            yield step, values
            for name in [n for n in arrays if readers.get(n, step.name) == step.name]:
                del arrays[name]

    def _last(
        self,
        step: Step,
        exact: Array,
        others: Sequence[Array],
        rows: list[Row],
        numbers: Sequence[int],
    ) -> None:
        lengths = [1 if step.form == "rows" else len(row) for row in rows]
        ends = np.cumsum(lengths)
        for number, begin, end in zip(numbers, ends - lengths, ends, strict=True):
            for which, values in enumerate(others):
                off = values[begin:end] - exact[begin:end]
                self._of_text[which, number] = _digits(_square(off), _square(exact[begin:end]))

    def report(self, worst: int) -> DigitsReport:
        found = {}
        for which, name in enumerate(self._types):
            order = np.argsort(self._of_text[which], kind="stable")[:worst]
            found[name] = tuple((int(i), float(self._of_text[which, i])) for i in order)
        return DigitsReport(
            texts=self._texts,
            steps=tuple(step.name for step in self._steps),
            digits={
                name: tuple(map(_digits, self._errors[which], self._exact))
                for which, name in enumerate(self._types)
            },
            worst=found,
        )


def _square(x: Array) -> float:
    return float((x.astype(np.float64) ** 2).sum())


def _digits(error: float, exact: float) -> float:
    if error == 0:
        return _ALL
    if not math.isfinite(error) or exact == 0:
        return 0.0
    return max(0.0, min(_ALL, -math.log10(error / exact) / 2))
