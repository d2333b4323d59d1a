"""Tasks over tables of Arrow: needs the extra ``pyroberta[parquet]``."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from .checks import check_count, excerpt
from .columns import Kind, TaskColumns, columns_of
from .errors import ConfigError, InputError
from .kernels import set_num_threads
from .text.batching import BATCH_TOKENS

# A worker of one thread is as fast with 512 tokens as with 2,048 (base size, float32: 4.38 and
# 4.35 s of its time for 256 texts, AMD EPYC); two of them held 621 and 705 MiB.
_TOKENS_A_THREAD = 512


class TableTask:
    """A task over tables: a table in, the same with the columns of the task's answers out.

    It pickles as its arguments. Each process opens the model once, whoever calls there; processes
    on one machine share the memory of a packed folder.

    Args:
        task: of ``pyroberta.pipeline``, one that reads and writes columns: text-classification,
            token-classification, question-answering, zero-shot-classification, text-ranking,
            multiple-choice or sentence-embedding.
        path: the checkpoint's folder or Hub name; ``None``: the one that comes with the package.
        columns: what the task reads and the table's name of it, as ``{"text": "body"}``; what is
            left out has its own name (``text``; ``question`` and ``context``; ``query`` and
            ``document``; ``context`` and ``choices``). ``{"pair": NAME}``: the second texts of
            text-classification.
        prefix: stands before the name of each column that is written.
        threads: of the kernels in this process; ``None``: as they are.
        **options: of ``pyroberta.pipeline``; ``batch_tokens`` is lower where ``threads`` are few.

    Raises:
        ConfigError: a task without columns; a name in ``columns`` that the task does not read.

    Example:
        >>> import pyarrow as pa
        >>> from pyroberta.tables import TableTask
        >>> embed = TableTask("sentence-embedding", columns={"text": "body"})
        >>> embed(pa.table({"id": [7], "body": ["A text."]})).column_names
        ['id', 'body', 'embedding']
    """

    def __init__(
        self,
        task: str,
        path: str | os.PathLike[str] | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        prefix: str = "",
        threads: int | None = None,
        **options: Any,
    ) -> None:
        self._task = task
        of_task = self._columns
        self._writes = of_task.writes(options)
        self._prefix = prefix
        self._threads = None if threads is None else check_count("threads", threads, 1)
        if threads is not None:
            options = {"batch_tokens": min(_TOKENS_A_THREAD * threads, BATCH_TOKENS), **options}
        self._options = options
        self._model = pickle.dumps((task, path, options))
        named = dict(columns or {})
        known = [*of_task.reads, *of_task.optional]
        if unknown := named.keys() - set(known):
            raise ConfigError(f"columns must be of {', '.join(known)}, not {excerpt(unknown)}")
        needed = dict.fromkeys(of_task.reads) | named
        self._reads = [named.get(name, name) for name in known if name in needed]

    @property
    def _columns(self) -> TaskColumns:
        return columns_of(self._task)

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The schema of what a table of this one becomes.

        Raises:
            InputError: it lacks a column, or has one of the name of a column that is written.
        """
        for name in self._reads:
            if name not in schema.names:
                raise InputError(
                    f"table must have a column {name!r}, not only {excerpt(schema.names)}; "
                    "columns={...} names another"
                )
        for name, kind in self._writes.items():
            if self._prefix + name in schema.names:
                raise InputError(
                    f"table must have no column {self._prefix + name!r}, which is to be written; "
                    "prefix=... gives it another name"
                )
            schema = schema.append(pa.field(self._prefix + name, _arrow_type(kind)))
        return schema

    def __call__(self, table: pa.Table) -> pa.Table:
        """The table with the answers' columns.

        Raises:
            InputError: as ``schema``; a row that the task cannot read, by its number in the table.
        """
        schema = self.schema(table.schema)
        if self._threads is not None:
            set_num_threads(self._threads)
        rows = zip(*(table.column(name).to_pylist() for name in self._reads), strict=True)
        items = [self._columns.item(values) for values in rows]
        written: dict[str, list[Any]] = {name: [] for name in self._writes}
        for answer in _open(self._model).stream(items):
            for name, value in self._columns.fields(answer, self._options).items():
                written[name].append(value)
        for name, values in written.items():
            field = schema.field(self._prefix + name)
            table = table.append_column(field, pa.array(values, field.type))
        return table


# By its pickle, since a worker is handed another object with each part of its work.
@functools.lru_cache(maxsize=2)
def _open(pickled: bytes) -> Any:
    from .text import pipeline

    task, path, options = pickle.loads(pickled)
    return pipeline(task, path, **options)


def _arrow_type(kind: Kind) -> pa.DataType:
    if isinstance(kind, dict):
        return pa.struct([pa.field(name, _arrow_type(of)) for name, of in kind.items()])
    if isinstance(kind, list):
        return pa.list_(_arrow_type(kind[0]))
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), np.float32: pa.float32()}[kind]
