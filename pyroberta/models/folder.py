"""A checkpoint's folder opened: its tensors, and the kernels that it is computed with."""

from __future__ import annotations

import os

from ..checkpoint import FileSource, PackedSource, is_packed
from ..errors import ConfigError
from ..kernels import Kernels, choose_kernels
from ..opening.files import CONFIG_FILE


def open_folder(
    path: str | os.PathLike[str], compute_type: str | None, backend: str, memory_map: bool
) -> tuple[FileSource, Kernels]:
    """The tensors of a folder, packed or not, and the kernels to compute with."""
    if not is_packed(path):
        kernels = choose_kernels(backend, "float32" if compute_type is None else compute_type)
        return FileSource(path, memory_map=memory_map), kernels
    source = PackedSource(path, memory_map=memory_map)
    kernels = choose_kernels(backend, source.compute_type if compute_type is None else compute_type)
    if kernels.family is None:
        raise ConfigError(
            f"backend must be 'native', compiled, for the packed file in {path}, "
            f"not {kernels.backend!r}"
        )
    source.check_family(kernels.family, kernels.compute_type)
    return source, kernels


def config_stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """What tells whether ``config.json`` was replaced or written; empty where there is none."""
    try:
        status = os.stat(os.path.join(path, CONFIG_FILE))
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
