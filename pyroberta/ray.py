"""Tasks over datasets of Ray: needs the extra ``pyroberta[ray]``.

``ray.data.read_parquet`` before and ``write_parquet`` after make a run of files out of files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import ray

from .checks import check_count
from .tables import TableTask


def map_texts(
    dataset: Any,
    task: str,
    path: str | os.PathLike[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    prefix: str = "",
    workers: int | None = None,
    threads: int = 1,
    batch_size: int = 1024,
    **options: Any,
) -> Any:
    """A dataset with the columns of a task's answers beside its own.

    Each worker is an actor that opens the model by itself. Give a packed folder, at a path that
    every machine has: the workers of a machine then share its memory.

    Args:
        dataset: a ``ray.data.Dataset``.
        task, path, columns, prefix, **options: as for ``pyroberta.tables.TableTask``.
        workers: how many; ``None``: as many as the cluster has CPUs for, but for one that reads.
        threads: of each worker's kernels, and so its CPUs.
        batch_size: the rows that are sent to a worker together, and the blocks of the result. It
            changes no answer.

    Returns:
        A ``ray.data.Dataset``, which is computed once it is read or written.

    Raises:
        ConfigError, InputError: as ``TableTask``, and for a column that is not there.

    Example:
        >>> texts = ray.data.read_parquet("texts/")  # doctest: +SKIP
        >>> made = map_texts(texts, "ner", "packed/")  # doctest: +SKIP
        >>> made.write_parquet("names/")  # doctest: +SKIP
    """
    check_count("threads", threads, 1)
    given: dict[str, Any] = {"columns": columns, "prefix": prefix, "threads": threads, **options}
    schema = dataset.schema()
    if schema is not None and hasattr(schema.base_schema, "names"):
        TableTask(task, path, **given).schema(schema.base_schema)  # refuses what cannot be done
    if not ray.is_initialized():
        ray.init()
    cpus = int(ray.cluster_resources().get("CPU", 1))
    if workers is None:
        workers = max(1, (cpus - 1) // threads)
    check_count("workers", workers, 1)
    # Few files may make fewer blocks than there are workers, of which most would then wait.
    dataset = dataset.repartition(target_num_rows_per_block=batch_size)
    return dataset.map_batches(
        TableTask,
        fn_constructor_args=(task, path),
        fn_constructor_kwargs=given,
        batch_format="pyarrow",
        batch_size=batch_size,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(size=workers),
        # Never all of them: with none left to read by, nothing would move.
        num_cpus=min(threads, max(cpus - 1, 0) / workers),
    )
