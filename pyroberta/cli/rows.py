"""Rows of a file by their columns: lines, JSON lines, CSV, TSV, Parquet; and parts of them."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from ..checks import excerpt
from ..errors import InputError
from . import parquet
from .files import open_input

ENDINGS = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
FORMATS = ("lines", *ENDINGS.values())
# The longest cell that is read; the module's own limit of 131,072 is less than some documents.
_MAX_CELL = 2**28


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the input.

    Attributes:
        where: the file and the row's line, for errors.
        values: what it holds by its columns.
        error: why nothing can be computed of it; ``None``: nothing is wrong.
    """

    where: str
    values: dict[str, Any]
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A file of rows.

    Attributes:
        name: its name, or ``-`` for stdin.
        format: one of ``FORMATS``.
        columns: those that each row must have; of lines the first is the line.
    """

    name: str
    format: str
    columns: Sequence[str]

    def rows(self, part: tuple[int, int] | None = None, done: int = 0) -> Iterator[Row]:
        """The rows, or those of part ``i`` of ``n``, from 1: neighbours, in order; but the first.

        Args:
            part: ``i`` and ``n``; ``None``: the whole.
            done: how many of the first rows are left out.

        Raises:
            InputError: the file is not what its format says, or lacks a column.
        """
        start, stop = 0, None
        if part is not None:
            total = self.count()
            start, stop = (total * (part[0] - 1)) // part[1], (total * part[0]) // part[1]
        start += done
        if self.format == "parquet":
            count = None if stop is None else max(stop - start, 0)
            yield from itertools.islice(self._of_parquet(start), count)
            return
        with self._open() as lines:
            yield from itertools.islice(self._read(lines), start, stop)

    def count(self) -> int:
        """How many rows there are; but for Parquet the file is read once for it."""
        if self.format == "parquet":
            return parquet.count_rows(self.name)
        with self._open() as lines:
            return sum(1 for _ in self._read(lines))

    def is_known(self) -> bool:
        """Whether it can be read twice."""
        return self.name != "-" and os.path.isfile(self.name)

    def _open(self) -> contextlib.AbstractContextManager[IO[str]]:
        return open_input(self.name, newline="" if self.format in ("csv", "tsv") else None)

    def _read(self, lines: IO[str]) -> Iterator[Row]:
        read = {"lines": self._of_lines, "jsonl": self._of_json}.get(self.format, self._of_table)
        try:
            yield from read(lines)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.name} must be text in UTF-8, not what it holds: {error}"
            ) from None

    def _of_lines(self, lines: Iterable[str]) -> Iterator[Row]:
        if len(self.columns) > 1:
            raise InputError(
                f"{self.name} must be JSON lines, CSV or TSV with the columns "
                f"{', '.join(self.columns)}, not lines; --format says which"
            )
        for number, line in enumerate(lines, 1):
            yield Row(f"{self.name}, line {number},", {self.columns[0]: line.rstrip("\n")})

    def _of_json(self, lines: Iterable[str]) -> Iterator[Row]:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{self.name}, line {number},"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Row(where, {}, f"must be JSON, not what it holds: {error}")
                continue
            if not isinstance(value, dict):
                yield Row(where, {}, f"must be an object, not {excerpt(value)}")
                continue
            missing = [name for name in self.columns if name not in value]
            said = f"must have the keys {', '.join(missing)}" if missing else None
            yield Row(where, value, said)

    def _of_parquet(self, start: int) -> Iterator[Row]:
        self._check_header(parquet.column_names(self.name))
        for number, values in enumerate(parquet.read_rows(self.name, start), start + 1):
            yield Row(f"{self.name}, row {number},", values)

    def _check_header(self, header: Sequence[str]) -> None:
        for name in self.columns:
            if name not in header:
                raise InputError(
                    f"{self.name} must have a column {name!r}, not only {excerpt(header)}; "
                    "--text-column and its like name another"
                )

    def _of_table(self, lines: Iterable[str]) -> Iterator[Row]:
        csv.field_size_limit(_MAX_CELL)
        reader = csv.reader(lines, delimiter="\t" if self.format == "tsv" else ",")
        try:
            header = next(reader, None)
            if header is None:
                raise InputError(f"{self.name} must begin with a row of column names, not be empty")
            self._check_header(header)
            for cells in reader:
                if not cells:
                    continue
                wrong = None
                if len(cells) != len(header):
                    wrong = f"must have {len(header)} cells as its header, not {len(cells)}"
                values = dict(zip(header, cells, strict=False))
                yield Row(f"{self.name}, line {reader.line_num},", values, wrong)
        except csv.Error as error:
            raise InputError(
                f"{self.name}, line {reader.line_num}, must be {self.format.upper()}: {error}"
            ) from None


def format_of(name: str, said: str | None) -> str:
    """The format of a file: what was said, or what its name ends with."""
    return said or ENDINGS.get(os.path.splitext(name)[1], "lines")


def read_part(text: str | None) -> tuple[int, int] | None:
    """``"2/3"``: the second of three parts. Raises InputError."""
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not number.isdecimal() or not count.isdecimal() or not 1 <= int(number) <= int(count):
        raise InputError(f"--shard must be a part of how many, from 1/n to n/n, not {text!r}")
    return int(number), int(count)
