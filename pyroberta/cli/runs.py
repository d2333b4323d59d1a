"""A task over rows: read, computed and written some at a time, whatever one of them holds."""

from __future__ import annotations

import dataclasses
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import InputError
from .files import progress
from .results import Results
from .rows import Row, Source

# So many letters for each token of a batch are computed before their results are written: some
# batches, which is what a killed run loses.
_LETTERS_A_TOKEN = 64


@dataclasses.dataclass(frozen=True)
class Work:
    """What is done with each row.

    Attributes:
        task: the pipeline.
        item: a row's values as the task takes them.
        fields: an answer as columns of the result.
        skips_errors: a row that cannot be computed is told in its result, and the run goes on.
    """

    task: Any
    item: Callable[[dict[str, Any]], Any]
    fields: Callable[[Any], dict[str, Any]]
    skips_errors: bool = False


def run(work: Work, source: Source, part: tuple[int, int] | None, results: Results) -> int:
    """Compute the rows that are not done yet; gives the exit status.

    Raises:
        InputError: a row that cannot be computed, by its line, unless errors are skipped.
    """
    rows = source.rows(part, results.done)
    skipped = n_cut = 0
    with progress() as advance:
        total = _total(source, part)
        advance(results.done, total)
        for chunk in _chunks(rows, work):
            for row, answer in zip(chunk, _answers(work, chunk, results), strict=True):
                n_cut += getattr(answer, "truncation", 0) > 0
                if isinstance(answer, InputError):
                    skipped += 1
                    print(f"pyroberta: {answer}", file=sys.stderr)
                    results.write({**row.values, "error": str(answer)})
                else:
                    results.write({**row.values, **work.fields(answer)})
                advance(1, total)
            results.flush()
    if n_cut:
        texts = "1 text was" if n_cut == 1 else f"{n_cut} texts were"
        print(f"pyroberta: {texts} cut to the model's limit", file=sys.stderr)
    return 1 if skipped else 0


def _total(source: Source, part: tuple[int, int] | None) -> int | None:
    if not sys.stderr.isatty() or not source.is_known():
        return None
    total = source.count()
    return total if part is None else total * part[0] // part[1] - total * (part[0] - 1) // part[1]


def _chunks(rows: Iterator[Row], work: Work) -> Iterator[list[Row]]:
    """Rows to compute together; those before a place that cannot be read come before its error."""
    chunk: list[Row] = []
    letters = 0
    try:
        for row in rows:
            chunk.append(row)
            letters += sum(len(str(value)) for value in row.values.values())
            if letters >= _LETTERS_A_TOKEN * work.task.batch_tokens:
                yield chunk
                chunk, letters = [], 0
    except InputError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _answers(work: Work, chunk: Sequence[Row], results: Results) -> Iterator[Any]:
    """The answers to some rows; of one that has none the error where these are skipped."""
    sound = [row for row in chunk if row.error is None]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*cut to the most tokens", category=UserWarning)
        try:
            found = iter(list(work.task.stream([work.item(row.values) for row in sound])))
            together = True
        except InputError:
            together = False  # one of them: which is found one by one
        for row in chunk:
            try:
                if row.error is not None:
                    raise InputError(row.error)
                if together:
                    answer = next(found)
                else:
                    answer = next(iter(work.task.stream([work.item(row.values)])))
            except InputError as error:
                said = re.sub(r"^(\w+)\[0\] ", r"", str(error)).replace("[0]", "")
                told = InputError(f"{row.where} {said}")
                if not work.skips_errors:
                    results.flush()
                    raise told from None
                yield told
            else:
                yield answer
