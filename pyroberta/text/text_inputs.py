"""What a task over texts is given and gives: options, inputs, answers, and what was cut."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..checks import check_count, excerpt, pick_flag
from ..errors import ConfigError, InputError
from .batching import as_python
from .encoding import Encoding

# Of other libraries' pipelines: where and in what portions they compute. Nothing is padded here.
_HARMLESS = ("device", "batch_size", "framework", "num_workers", "padding")


class Answer(dict[str, Any]):
    """A dictionary that also knows how many tokens of its text were left out: ``truncation``."""

    truncation: int = 0


class Answers(list[Any]):
    """A list that also knows how many tokens of its text were left out: ``truncation``."""

    truncation: int = 0


class Score(float):
    """A number that also knows how many tokens of its text were left out: ``truncation``."""

    truncation: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions:
    """What can be chosen for every task over texts, when it is made and for one call.

    Attributes:
        truncation: cut what is too long, and tell so; ``False``: refuse it.
        max_length: the most tokens of a row, special ones included; ``None``: the model's limit.
        stride: read what is too long by windows that share so many tokens, and cut nothing;
            ``None``: no windows.
    """

    truncation: bool = True
    max_length: int | None = None
    stride: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "truncation", pick_flag("truncation", self.truncation, True))
        for name, low in (("max_length", 1), ("stride", 0)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_count(name, value, low))


@dataclasses.dataclass(frozen=True)
class Job:
    """One input that is encoded: its number, what was read of it, its rows."""

    index: int
    item: Any
    rows: list[Encoding]


def check_device(device: Any) -> None:
    """Refuse a device that there is not: ``None``, -1 and ``"cpu"`` (or a torch.device) are one."""
    if str(getattr(device, "type", device)) not in ("None", "-1", "cpu"):
        raise ConfigError(f"device must be 'cpu', not {excerpt(device)}")


def without_harmless(options: dict[str, Any]) -> dict[str, Any]:
    """The options but for those of other libraries that change no answer. Raises ConfigError."""
    check_device(options.get("device"))
    return {name: value for name, value in options.items() if name not in _HARMLESS}


def read_many(inputs: Any, noun: str) -> Iterator[Any]:
    """The inputs of a call one after the other. Raises InputError for what has none."""
    if isinstance(inputs, np.ndarray):
        if inputs.ndim != 1 or hasattr(inputs, "mask"):
            raise InputError(f"{noun} must be an array [n], not of shape {inputs.shape}")
        inputs = inputs.tolist()
    inputs = as_python(inputs)
    if isinstance(inputs, (str, bytes, Mapping)) or not isinstance(inputs, Iterable):
        raise InputError(f"{noun} must be one input or a list of them, not {excerpt(inputs)}")
    return iter(inputs)


def warn_of_cuts(n_cut: int) -> None:
    """One warning for a call, with the number of its texts that were cut."""
    if n_cut:
        texts = "1 text was" if n_cut == 1 else f"{n_cut} texts were"
        warnings.warn(
            f"{texts} cut to the most tokens of a row; each answer's truncation says by how many. "
            "stride=... reads long texts by windows, truncation=False refuses them",
            stacklevel=3,
        )
