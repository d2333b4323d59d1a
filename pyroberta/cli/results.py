"""Where results go, row by row: JSON lines, CSV and arrays, that a broken run can go on with."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from ..errors import InputError
from .files import open_bytes

if TYPE_CHECKING:
    import numpy as np

ENDINGS = (".jsonl", ".csv", ".tsv")


class Results(Protocol):
    """What takes the results, in the order of the rows."""

    done: int  # rows that were there before

    def write(self, values: dict[str, Any]) -> None:
        """One row's."""

    def flush(self) -> None:
        """Hand what was written to the system: a run that is killed keeps it."""


@contextlib.contextmanager
def open_results(name: str, fields: Sequence[str], resume: bool) -> Iterator[Results]:
    """Results to write into a file, or as JSON lines to stdout for ``-``.

    Args:
        name: its ending says the format.
        fields: what each result has beside the row's own columns.
        resume: keep what an earlier run wrote, but for what it had not written whole.
    """
    if name == "-":
        import sys

        yield _JsonLines(sys.stdout, 0)
        return
    kind = _KINDS[os.path.splitext(name)[1]]
    with _opened(name, resume) as file:
        results = kind(file, fields, resume and file.seekable())
        yield results
        results.close()


@contextlib.contextmanager
def _opened(name: str, resume: bool) -> Iterator[IO[bytes]]:
    if not resume:
        with open_bytes(name) as file:
            yield file
        return
    if Path(name).exists() and not Path(name).is_file():
        raise InputError(f"--output must be a file that can grow with --resume, not {name!r}")
    with open(name, "r+b" if Path(name).exists() else "w+b") as file:
        yield file


class _JsonLines:
    def __init__(self, out: IO[str], done: int) -> None:
        self._out = out
        self.done = done

    @classmethod
    def into(cls, file: IO[bytes], fields: Sequence[str], resume: bool) -> _JsonLines:
        done = 0
        if resume:
            end = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                done, end = done + 1, end + len(line)
            file.seek(end)
            file.truncate()
        return cls(io.TextIOWrapper(file, encoding="utf-8", newline="\n"), done)

    def write(self, values: dict[str, Any]) -> None:
        line = _as_json(values)
        if not line.isascii() and any("\ud800" <= c <= "\udfff" for c in line):
            line = _as_json(values, ascii=True)  # a lone surrogate, which UTF-8 cannot hold
        self._out.write(line + "\n")

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self._out.flush()
        if isinstance(self._out, io.TextIOWrapper):
            self._out.detach()  # whoever opened the file closes it


class _Table:
    """CSV or TSV; its columns are those of the first row and the fields."""

    def __init__(self, file: IO[bytes], fields: Sequence[str], resume: bool, mark: str) -> None:
        self._fields = list(fields)
        self._header: list[str] | None = None
        self.done = 0
        if resume:
            # The last record may have been cut within a cell of several lines: it is made anew.
            ends, header = [], None
            lines = _Counted(file)
            for record in csv.reader(lines, delimiter=mark):
                header = record if header is None else header
                ends.append(lines.read)
            kept = ends[:-1]
            if kept:
                self._header = header
                self.done = len(kept) - 1
            file.seek(kept[-1] if kept else 0)
            file.truncate()
        self._out = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
        self._writer = csv.writer(self._out, delimiter=mark, lineterminator="\n")

    def write(self, values: dict[str, Any]) -> None:
        if self._header is None:
            own = [name for name in values if name not in self._fields]
            self._header = [*own, *self._fields]
            self._writer.writerow(self._header)
        self._writer.writerow([_cell(values.get(name)) for name in self._header])

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self._out.flush()
        self._out.detach()


class _Counted:
    """The lines of a file, and how many bytes they had so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.read += len(line)
            yield line.decode("utf-8", "replace")


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _as_json(value) if isinstance(value, (list, dict)) else str(value)


def _as_json(value: Any, ascii: bool = False) -> str:
    # Parquet's dates and decimals as they are written.
    return json.dumps(value, ensure_ascii=ascii, default=str)


class ArrayResults:
    """A float32 array ``[rows, width]`` that grows in its ``.npy`` file.

    Its header has room for any number of rows, and is written again with each ``flush``: what
    there is of the file can be read at any time.
    """

    _HEADER = 128

    def __init__(self, file: IO[bytes], fields: Sequence[str], resume: bool) -> None:
        self._file = file
        self._width: int | None = None
        self._rows = 0
        self.done = 0
        if resume:
            self._read_header()

    def _read_header(self) -> None:
        import numpy as np

        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        if size == 0:
            return
        try:
            version = np.lib.format.read_magic(self._file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(self._file)
        except ValueError:
            self._file.seek(0)
            self._file.truncate()
            return
        if version != (1, 0) or len(shape) != 2 or dtype != np.float32:
            raise InputError(
                f"--output must be an array that this command began, not {dtype} {list(shape)}"
            )
        self._width = int(shape[1])
        bytes_a_row = 4 * self._width
        whole = (size - self._HEADER) // bytes_a_row if bytes_a_row else 0
        self._rows = self.done = min(whole, int(shape[0]))
        self._file.seek(self._HEADER + self._rows * bytes_a_row)
        self._file.truncate()

    def write(self, values: dict[str, Any]) -> None:
        vector: np.ndarray[Any, Any] = values["embedding"]
        if self._width is None:
            self.begin(len(vector))
        if len(vector) != self._width:
            raise InputError(
                f"--output must be of vectors as wide as these ({len(vector)}), not {self._width}"
            )
        self._file.write(vector.astype("<f4").tobytes())
        self._rows += 1

    def begin(self, width: int) -> None:
        """Say how wide the vectors are, where there may be none."""
        if self._width is None:
            self._width = width
            self._write_header()

    def _write_header(self) -> None:
        said = (
            f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({self._rows}, {self._width}), }}"
        )
        text = said.ljust(self._HEADER - 11) + "\n"
        place = self._file.tell()
        if self._file.seekable():
            self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + (self._HEADER - 10).to_bytes(2, "little"))
        self._file.write(text.encode("latin1"))
        if place > self._HEADER:
            self._file.seek(place)

    def flush(self) -> None:
        # First the rows, then their number: a run that is killed between leaves a whole array.
        self._file.flush()
        if self._width is not None and self._file.seekable():
            self._write_header()
            self._file.flush()

    def close(self) -> None:
        self.flush()


_KINDS: dict[str, Any] = {
    ".jsonl": _JsonLines.into,
    ".csv": lambda file, fields, resume: _Table(file, fields, resume, ","),
    ".tsv": lambda file, fields, resume: _Table(file, fields, resume, "\t"),
    ".npy": ArrayResults,
}
