"""Traces of other implementations: arrays by name, from files or from memory."""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checkpoint import read_tensors
from ..checkpoint.reader import Tensor, widen
from ..checks import as_array, excerpt
from ..errors import CheckpointError, InputError
from .trace_file import Trace


class Arrays(Mapping[str, Array]):
    """Arrays by name, each read when it is asked for.

    Made by ``read_arrays``.

    Attributes:
        source: where they are from, for errors.
        metadata: the texts beside them, of a safetensors file.
    """

    def __init__(
        self,
        source: str,
        readers: Mapping[str, Callable[[], Array]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.source = source
        self.metadata = dict(metadata or {})
        self._readers = dict(readers)

    def __getitem__(self, name: str) -> Array:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def read_arrays(source: str | os.PathLike[str] | Mapping[str, Any]) -> Arrays:
    """The arrays of another implementation's trace.

    Args:
        source: a ``.npz`` or safetensors file, a folder of ``.npy`` files (in folders of their own
            where names have slashes), or a mapping of names to arrays.

    Raises:
        FileNotFoundError: nothing is there.
        InputError: a file of another kind, or one that is broken; a folder without arrays.
    """
    if isinstance(source, Trace):
        return Arrays(
            repr(source),
            {name: functools.partial(source.__getitem__, name) for name in source},
            source.metadata,
        )
    if isinstance(source, Mapping):
        readers = {str(name): functools.partial(_one_of, source, name) for name in source}
        return Arrays("theirs", readers)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(
            f"theirs must be a path or a mapping of names to arrays, not a {type(source).__name__}"
        )
    path = Path(source)
    if path.is_dir():
        files = sorted(path.rglob("*.npy"))
        if not files:
            raise InputError(f"{path} must be a folder of .npy files, not one without any")
        names = [os.fspath(file.relative_to(path).with_suffix("")) for file in files]
        of_files = zip(names, files, strict=True)
        return Arrays(str(path), {n: functools.partial(_read_npy, file) for n, file in of_files})
    with open(path, "rb") as beginning:
        magic = beginning.read(4)
    if magic.startswith(b"PK"):
        return _read_npz(path)
    try:
        tensors, metadata = read_tensors(path)
    except CheckpointError as error:
        raise InputError(
            f"{path} must be a .npz or safetensors file or a folder of .npy files: {error}"
        ) from None
    loaders = {name: functools.partial(_read_tensor, one) for name, one in tensors.items()}
    return Arrays(str(path), loaders, metadata)


def _one_of(source: Mapping[Any, Any], name: Any) -> Array:
    return as_floats(str(name), source[name])


def as_floats(name: str, value: Any) -> Array:
    """An array of NumPy, PyTorch or JAX as NumPy has it; bfloat16 as float32. Raises InputError."""
    numpy = getattr(value, "numpy", None)
    if callable(numpy) and hasattr(value, "detach"):  # a tensor of PyTorch
        value = value.detach().cpu()
        if str(value.dtype) in ("torch.bfloat16", "torch.float16"):
            value = value.float()
        value = value.numpy()
    array = as_array(name, value)
    # JAX's bfloat16 is a dtype of its own, which converts.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _read_tensor(tensor: Tensor) -> Array:
    try:
        raw = tensor.read_stored()
    except CheckpointError as error:
        raise InputError(str(error)) from None
    return widen(raw, tensor.dtype, np.float64 if tensor.dtype == "F64" else np.float32)


def _read_npy(file: Path) -> Array:
    try:
        array: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{file} must be an array that np.save wrote: {error}") from None
    return array


def _read_npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):  # which np.load leaves open
        raise InputError(f"{path} must be a file that np.savez wrote, not one that is cut")
    try:
        opened = np.load(path, allow_pickle=False)
        names = list(opened.files)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} must be a file that np.savez wrote: {error}") from None

    def read(name: str) -> Array:
        try:
            array: Array = opened[name]
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{excerpt(name)} in {path} must be an array of numbers: {error}"
            ) from None
        return array

    return Arrays(str(path), {name: functools.partial(read, name) for name in names})
