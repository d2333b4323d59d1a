"""What the commands read and write: files, stdin and stdout, the terminal."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ..checkpoint.whole_files import new_files
from ..errors import InputError


def printable(text: str) -> str:
    """``text`` with what would move the cursor or change the terminal written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_objects(lines: IO[str], name: str, jsonl: bool) -> Iterator[dict[str, Any]]:
    """An object for each line, with a str under "text". Raises InputError that numbers it."""
    try:
        for number, line in enumerate(lines, 1):
            if not jsonl:
                yield {"text": line.rstrip("\n")}
            elif line.strip():
                yield _read_json(line, f"{name}, line {number},")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} must be text in UTF-8, not what it holds: {error}") from None


def _read_json(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} must be JSON, not what it holds: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise InputError(f'{where} must be an object with a str under "text"')
    return value


@contextlib.contextmanager
def open_input(
    name: str, option: str = "FILE", *, stdin: bool = True, newline: str | None = None
) -> Iterator[IO[str]]:
    """The file's text, or that of stdin for ``-``; a byte-order mark is no part of it.

    ``option`` is what the command line calls the name; ``stdin``: whether ``-`` may be one;
    ``newline``: as for ``open``.
    """
    if name != "-" or not stdin:
        if not os.path.exists(name):
            wanted = "a file or -" if stdin else "a file"
            raise FileNotFoundError(f"{option} must be {wanted}, not {name!r}")
        with open(name, encoding="utf-8-sig", newline=newline) as file:
            yield file
        return
    # A file object of its own, since that of stdin has the locale's encoding. (SIM115: a generator
    # has to open it before the `with`, which then closes it.)
    file = open(sys.stdin.fileno(), encoding="utf-8-sig", closefd=False, newline=newline)  # noqa: SIM115
    with file:
        yield file


@contextlib.contextmanager
def open_output(name: str) -> Iterator[IO[str]]:
    """A file to write, as ``open_bytes`` gives it, or stdout for ``-``."""
    if name == "-":
        yield sys.stdout
        return
    with open_bytes(name) as out:
        text = io.TextIOWrapper(out, encoding="utf-8")
        try:
            yield text
        finally:
            text.detach()  # which writes what is left, and leaves the file open


@contextlib.contextmanager
def open_bytes(name: str) -> Iterator[IO[bytes]]:
    """A file to write: an older one stays as it was until all is written.

    A new one grows as it is written, so that what there is of it can be read where a run ends
    early; so does what is no regular file (a pipe, a device).
    """
    file = Path(os.path.realpath(name))
    if not file.is_file():
        with open(name, "wb") as out:
            yield out
        return
    with new_files(file) as (out,):
        os.fchmod(out.fileno(), stat.S_IMODE(file.stat().st_mode))
        yield out


def check_output(
    name: str | None, endings: tuple[str, ...], option: str = "--output", *, stdout: bool = True
) -> None:
    """Refuse an output that cannot be written before anything is computed.

    ``option`` is what the command line calls the name; ``stdout``: whether it may be ``-``.
    """
    if name is None or (name == "-" and stdout):
        return
    if not name.endswith(endings):
        wanted = f"{'be - or ' if stdout else ''}end in {' or '.join(endings)}"
        raise InputError(f"{option} must {wanted}, not {name!r}")
    if not Path(name).parent.is_dir():
        raise FileNotFoundError(f"{option} must be in a folder that exists, not {name!r}")


@contextlib.contextmanager
def progress_of_all() -> Iterator[Callable[[int, int], object]]:
    """``progress`` for those who tell how many are done of how many: ``show(done, total)``."""
    before = 0
    with progress() as advance:

        def show(done: int, total: int) -> None:
            nonlocal before
            advance(done - before, total)
            before = done

        yield show


@contextlib.contextmanager
def progress() -> Iterator[Any]:
    """What counts texts done, of a total if that is known: ``advance(n=1, total=None)``.

    It draws a progress bar where somebody looks, else nothing.
    """
    tqdm: Any = None
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            tqdm = importlib.import_module("tqdm").tqdm
    if tqdm is None:
        yield lambda n=1, total=None: None
        return
    with tqdm(unit=" texts", file=sys.stderr) as bar:

        def advance(n: int = 1, total: int | None = None) -> None:
            bar.total = total
            bar.update(n)

        yield advance
