"""Rows of a Parquet file: needs the extra ``pyroberta[parquet]``."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

from ..errors import InputError

# Rows that are made Python values at a time.
_ROWS = 1024


def count_rows(name: str) -> int:
    """How many rows the file says that it has. Raises as ``read_rows``."""
    number: int = _open(name).metadata.num_rows
    return number


def read_rows(name: str, skipped: int) -> Iterator[dict[str, Any]]:
    """The rows by their columns, but for the first ones; row groups before them are not read.

    Raises:
        InputError: the file is none of Parquet.
        ImportError: pyarrow is missing.
        FileNotFoundError: there is no such file.
    """
    file = _open(name)
    groups: list[int] = []
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if groups or skipped < rows:
            groups.append(group)
        else:
            skipped -= rows
    try:
        for batch in file.iter_batches(_ROWS, row_groups=groups):
            yield from batch.slice(skipped).to_pylist()
            skipped = max(skipped - batch.num_rows, 0)
    except (_pyarrow().ArrowException, OSError, UnicodeDecodeError) as error:
        raise _said(name, error) from None


def column_names(name: str) -> list[str]:
    """The file's columns. Raises as ``read_rows``."""
    names: list[str] = _open(name).schema_arrow.names
    return names


def _open(name: str) -> Any:
    pyarrow = _pyarrow()
    if name == "-":
        raise InputError("FILE must be a file for Parquet, whose end is read first, not stdin")
    if not os.path.exists(name):
        raise FileNotFoundError(f"FILE must be a file or -, not {name!r}")
    try:
        return importlib.import_module("pyarrow.parquet").ParquetFile(name)
    except (pyarrow.ArrowException, OSError) as error:
        raise _said(name, error) from None


def _said(name: str, error: Exception) -> InputError:
    return InputError(f"{name} must be Parquet, not what it holds: {str(error)[:200]}")


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ImportError(
            "FILE must be lines, JSON lines, CSV or TSV without the extra that reads Parquet: "
            "pip install 'pyroberta[parquet]'"
        ) from None
