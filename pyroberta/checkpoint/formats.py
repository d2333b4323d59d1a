"""The formats of weights that a folder may hold: one row each, in the order they are looked for."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..errors import CheckpointError
from ..opening import what_it_is
from ..opening.files import INDEX_FILE, SINGLE_FILE, TORCH_FILE, TORCH_INDEX_FILE
from ..small_json import read_json_object
from .open_file import OpenFile
from .pair import check_pair
from .reader import Tensor, read_header, read_header_of


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a folder, by name."""

    path: Path
    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The tensors of the first of ``FORMATS`` that the folder holds.

    Raises:
        FileNotFoundError: no such folder, or no such file in it.
        CheckpointError: a file that is cut, malformed, or not what the index says.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"path must be a checkpoint's folder, not {str(path)!r}")
    name = find_weights(folder)
    if name is not None:
        return Checkpoint(folder, FORMATS[name](folder / name))
    raise FileNotFoundError(f"{folder} must hold {' or '.join(FORMATS)}{what_it_is(folder)}")


def find_weights(path: str | os.PathLike[str]) -> str | None:
    """The file of a checkpoint's weights that stands in the folder, if one does."""
    return next((name for name in FORMATS if (Path(path) / name).exists()), None)


def read_index(file: Path, read_shard: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of the shards that an index names, which must list all of them.

    Args:
        file: the index.
        read_shard: reads one of them.

    Raises:
        CheckpointError: no index, a shard that stands elsewhere or nowhere, or one that holds other
            tensors than the index says; or what ``read_shard`` raises.
    """
    folder = file.parent
    try:
        weight_map = read_json_object(file)["weight_map"]
        shards = {str(name): str(shard) for name, shard in weight_map.items()}
    except (CheckpointError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{file} must be an index with a weight_map: {error}") from None
    headers: dict[str, dict[str, Tensor]] = {}
    for shard in sorted(set(shards.values())):
        # A path would let an index name any file of the machine. (A plain name may be a link: the
        # Hub's cache is made of them.)
        if shard in ("", ".", "..") or Path(shard).name != shard:
            raise CheckpointError(f"{file} must name shards that stand beside it, not {shard!r}")
        if not os.path.exists(folder / shard):  # False too where the name is no file name at all
            raise CheckpointError(f"{file} must name shards that exist, not {shard!r}")
        headers[shard] = read_shard(folder / shard)
    tensors: dict[str, Tensor] = {}
    for name, shard in shards.items():
        if name not in headers[shard]:
            raise CheckpointError(
                f"{folder / shard} must hold {name}, which {file.name} says of it"
            )
        tensors[name] = headers[shard][name]
    for shard, header in headers.items():
        for name in header:
            if shards.get(name) != shard:
                raise CheckpointError(f"{file} must list all of {shard}, not leave out {name}")
    return tensors


def _read_single(file: Path) -> dict[str, Tensor]:
    """The tensors of a file that has all of them, and its ``config.json`` beside it."""
    tensors, metadata = read_header_of(OpenFile(file))
    check_pair(file, metadata)
    return tensors


def _read_torch_file(file: Path) -> dict[str, Tensor]:
    from .torch_file import read_torch_file  # five modules that most folders do not need

    return read_torch_file(file)


# The file that stands for a format, and what reads its tensors.
FORMATS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    SINGLE_FILE: _read_single,
    INDEX_FILE: functools.partial(read_index, read_shard=read_header),
    TORCH_FILE: _read_torch_file,
    TORCH_INDEX_FILE: functools.partial(read_index, read_shard=_read_torch_file),
}
