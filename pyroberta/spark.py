"""Tasks over data frames of Spark: needs the extra ``pyroberta[spark]``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from .tables import TableTask


def map_texts(
    frame: Any,
    task: str,
    path: str | os.PathLike[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    prefix: str = "",
    threads: int = 1,
    **options: Any,
) -> Any:
    """A data frame with the columns of a task's answers beside its own.

    Each of Spark's Python workers opens the model once, and keeps it for the tasks that come after.
    Give a packed folder, at a path that every machine has: the workers of a machine then share its
    memory. Columns go through Arrow (``mapInArrow``), so that the frame's own stay what they are.

    Args:
        frame: a ``pyspark.sql.DataFrame``.
        task, path, columns, prefix, **options: as for ``pyroberta.tables.TableTask``.
        threads: of each worker's kernels: what ``spark.task.cpus`` gives it.

    Returns:
        A ``pyspark.sql.DataFrame``, which is computed once it is read or written.

    Raises:
        ConfigError, InputError: as ``TableTask``, and for a column that is not there.

    Example:
        >>> texts = spark.read.parquet("texts/")  # doctest: +SKIP
        >>> map_texts(texts, "ner", "packed/").write.parquet("names/")  # doctest: +SKIP
    """
    work = TableTask(task, path, columns=columns, prefix=prefix, threads=threads, **options)
    schema = work.schema(to_arrow_schema(frame.schema))

    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from work(pa.Table.from_batches([batch])).to_batches()

    return frame.mapInArrow(answer, from_arrow_schema(schema))
