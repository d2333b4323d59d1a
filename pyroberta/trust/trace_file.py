"""A trace: every step's array by name, with what it is of; in memory, or in a safetensors file.

The format, for those who read or write it elsewhere, is described in ``.github/TRACES.md``.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..checkpoint import Part, Tensor, read_tensors, save_tensors
from ..checks import excerpt
from ..config import RobertaConfig
from ..errors import InputError
from ..version import __version__
from .case import Case
from .steps import ENCODER, Step, graph

FORMAT = "pyroberta trace 1"
_KEYS = (
    *("architecture", "compute_type", "backend", "layout", "checkpoint", "checksum"),
    *("config", "inputs", "tensors"),
)
_DTYPES = {"float64": "F64", "float32": "F32"}


class Trace(Mapping[str, Array]):
    """The arrays of a model's steps by name, in the order of their computation.

    Made by ``pyroberta.trace``, or from a file by ``Trace.open``; an array of a file is read when
    it is asked for.

    Attributes:
        metadata: the texts that a file has beside its arrays; see ``.github/TRACES.md``.
        case: the inputs.
        graph: the model's steps, all of them; a trace may hold some alone.

    Example:
        >>> model = RobertaModel.from_config(RobertaConfig(num_blocks=2), seed=0)
        >>> found = pyroberta.trace(model, [[0, 31, 51, 2]])
        >>> found["block.1.attention.weights"].shape
        (1, 12, 4, 4)
    """

    def __init__(
        self,
        metadata: Mapping[str, str],
        arrays: Mapping[str, Callable[[], Array]],
        case: Case,
        steps: tuple[Step, ...],
    ) -> None:
        self.metadata = dict(metadata)
        self.case = case
        self.graph = steps
        self._arrays = dict(arrays)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Trace:
        """The trace that a file holds.

        Raises:
            FileNotFoundError: no such file.
            CheckpointError: it is no safetensors file.
            InputError: it is one, but no trace of this format.
        """
        tensors, metadata = read_tensors(path)
        if metadata.get("format") != FORMAT:
            said = metadata.get("format")
            raise InputError(
                f"{path} must be a trace ({FORMAT!r} in its metadata), not a file of "
                f"{'no format' if said is None else excerpt(said)}: write one by pyroberta.trace"
            )
        try:
            case, steps = _read_metadata(metadata, tensors)
        except (
            *(KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError),
            RecursionError,
        ) as error:
            raise InputError(
                f"{path} must be a whole trace, not one whose metadata lack or spoil "
                f"{excerpt(str(error))}"
            ) from None
        known = {step.name for step in steps}
        arrays = {
            name: functools.partial(tensor.read, _stored(tensor.dtype))
            for name, tensor in tensors.items()
            if name in known
        }
        ordered = {step.name: arrays[step.name] for step in steps if step.name in arrays}
        return cls(metadata, ordered, case, steps)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return (
            f"Trace({len(self)} steps, compute_type={self.metadata['compute_type']!r}, "
            f"backend={self.metadata['backend']!r}, layout={self.metadata['layout']!r})"
        )

    def attended(self, step: Step) -> Array:
        """A step's array of attended tokens alone, whatever the layout of the trace."""
        array = self[step.name]
        return array if self.metadata["layout"] == "ragged" else self.case.gather(step, array)


def _read_metadata(
    metadata: Mapping[str, str], tensors: Mapping[str, Tensor]
) -> tuple[Case, tuple[Step, ...]]:
    """The inputs and the steps; what is spoiled raises one of many errors."""
    for key in _KEYS:
        metadata[key]
    config = RobertaConfig.from_hf(json.loads(metadata["config"]))
    x = tensors[ENCODER].read(np.float64) if ENCODER in tensors else None
    case = Case.from_json(config, json.loads(metadata["inputs"]), x)
    if metadata["layout"] not in ("padded", "ragged"):
        raise ValueError("layout")
    names = json.loads(metadata["tensors"])
    steps = graph(config, metadata["architecture"], names, cross=case.encoder is not None)
    for step in steps:
        if step.name in tensors:
            size = case.size if metadata["layout"] == "ragged" else case.padded_size
            if tensors[step.name].shape != size(step):
                raise ValueError(f"the shape of {step.name}")
    return case, steps


def _stored(dtype: str) -> type:
    return np.float64 if dtype == "F64" else np.float32


def make_metadata(
    case: Case,
    steps: tuple[Step, ...],
    *,
    architecture: str,
    compute_type: str,
    backend: str,
    layout: str,
    checkpoint: str,
    checksum: str,
    tensors: list[str],
) -> dict[str, str]:
    """The texts beside the arrays of a trace."""
    shape = case.size if layout == "ragged" else case.padded_size
    said = [
        {
            "name": step.name,
            "formula": step.formula,
            "reads": step.feeds,
            "tensors": step.tensors,
            "shape": shape(step),
        }
        for step in steps
    ]
    return {
        "format": FORMAT,
        "pyroberta": __version__,
        "architecture": architecture,
        "compute_type": compute_type,
        "backend": backend,
        "layout": layout,
        "checkpoint": checkpoint,
        "checksum": checksum,
        "config": json.dumps(case.config.to_hf()),
        "inputs": json.dumps(case.to_json()),
        "tensors": json.dumps(tensors),
        "steps": json.dumps(said),
    }


def write_trace(
    path: str | os.PathLike[str],
    metadata: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], Array],
    dtype: np.dtype[Any],
    encoder_x: Array | None,
) -> None:
    """Write a trace's file; each array is asked for when its turn comes, in the given order."""
    parts = {}
    if encoder_x is not None:
        parts[ENCODER] = Part("F64", encoder_x.shape, lambda: encoder_x.astype(np.float64))
    for name, shape in shapes.items():
        parts[name] = Part(_DTYPES[dtype.name], shape, functools.partial(read, name))
    save_tensors(Path(path), parts, metadata)
