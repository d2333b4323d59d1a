"""Which of another implementation's arrays is which step, by a known map or a user's own."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..arrays import Array
from ..checks import excerpt
from ..errors import InputError
from ..small_json import read_json_object
from .name_maps import MAPS
from .others import Arrays
from .steps import Step

_NUMBER = re.compile(r"\{(\d*)n(?:\+(\d+))?\}")
_PART = re.compile(r"^(.*)\[(\d+)/(\d+)\]$")


def read_map(
    names: str | os.PathLike[str] | Mapping[str, str | Sequence[str]], steps: Sequence[Step]
) -> dict[str, Sequence[str]]:
    """A user's own map: steps to a name or a list of names; a mapping, or a file of JSON.

    ``{n}`` stands for a block's number on both sides, ``[1/3]`` after a name for a part of its last
    axis.

    Raises:
        FileNotFoundError: no such file.
        InputError: other JSON, or a step that the model does not have.
    """
    where = "names"
    if not isinstance(names, Mapping):
        where = os.fspath(names)
        names = read_json_object(Path(names), InputError)
    known = {step.name for step in steps} | {_template(step) for step in steps}
    found: dict[str, Sequence[str]] = {}
    for step, said in names.items():
        if step not in known:
            raise InputError(
                f"{where} must name steps of the model, such as 'block.{{n}}.attention.query', not "
                f"{excerpt(step)}"
            )
        several = [said] if isinstance(said, str) else said
        if not isinstance(several, (list, tuple)) or not all(
            isinstance(name, str) for name in several
        ):
            raise InputError(
                f"{excerpt(step)} in {where} must be a name or a list of names, not {excerpt(said)}"
            )
        found[step] = several
    return found


def find_names(
    steps: Sequence[Step], theirs: Collection[str], names: Mapping[str, Sequence[str]] | None
) -> dict[str, list[str]]:
    """What each step may be called in ``theirs``; those that are not there are left out.

    Args:
        steps: of the graph.
        theirs: the names of the other implementation's arrays.
        names: the map; ``None``: a trace's own names, or the known map that finds the most.

    Raises:
        InputError: nothing was found.
    """
    own = _apply(steps, theirs, {_template(step): (_template(step),) for step in steps})
    if names is not None:
        found = own | _apply(steps, theirs, names)
    else:
        every = [own, *(_apply(steps, theirs, one) for one in MAPS.values())]
        found = max(every, key=len)
    if not found:
        shown = ", ".join(sorted(theirs)[:3])
        raise InputError(
            f"theirs must have arrays of steps by a known name, not {shown or 'none'}: give a map "
            "of names (a JSON object of steps to their names)"
        )
    return found


def take(arrays: Arrays, name: str) -> Array:
    """An array by the name that ``find_names`` gave, a part of it where it says so."""
    part = _PART.match(name)
    if part is None or name in arrays:
        return arrays[name]
    array, number, count = arrays[part[1]], int(part[2]), int(part[3])
    if not array.ndim or count == 0 or number >= count or array.shape[-1] % count:
        raise InputError(f"{name} must be a part of its last axis, of shape {list(array.shape)}")
    width = array.shape[-1] // count
    return array[..., number * width : (number + 1) * width]


def _apply(
    steps: Sequence[Step], theirs: Collection[str], names: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    ends: dict[str, str] = {}
    for name in sorted(theirs, key=len, reverse=True):  # the shortest name wins
        pieces = re.split(r"(?<=[./])", name)
        for at in range(len(pieces)):
            ends["".join(pieces[at:])] = name
    found: dict[str, list[str]] = {}
    for step in steps:
        for pattern in names.get(step.name, names.get(_template(step), ())):
            wanted = _NUMBER.sub(functools.partial(_number, step.block), pattern)
            part = _PART.match(wanted)
            plain = wanted if part is None else part[1]
            for one in (plain, plain.removesuffix("_0")):
                if one in ends and (one == plain or "{" in pattern):
                    tail = "" if part is None else wanted[len(plain) :]
                    found.setdefault(step.name, []).append(ends[one] + tail)
                    break
    return found


def _template(step: Step) -> str:
    return re.sub(r"^block\.\d+\.", "block.{n}.", step.name)


def _number(block: int, said: re.Match[str]) -> str:
    return str(int(said[1] or 1) * block + int(said[2] or 0))
