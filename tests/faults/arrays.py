"""Arrays of every kind for every argument: as the plain one, or refused by the argument's name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .judge import REFUSED, Case

ARGUMENTS: dict[str, Any] = {
    "input_ids": np.array([[0, 5, 6, 2], [0, 7, 2, 1]]),
    "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
    "token_type_ids": np.zeros((2, 4), np.int64),
    "position_ids": np.full((2, 4), 3),
    "attention_head_mask": np.ones((2, 2), np.float32),
    "encoder_hidden_state": np.arange(192, dtype=np.float32).reshape(2, 3, 32) / 64,
    "encoder_attention_mask": np.ones((2, 3)),
    "cross_attention_head_mask": np.ones((2, 2)),
    "logit_positions": np.array([[0, 0], [1, 1]]),
}


def _unaligned(array: Any) -> Any:
    room = np.empty(array.nbytes + 1, np.uint8)[1:]
    moved = room.view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def _strided(array: Any) -> Any:
    wide = np.zeros((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
    wide[..., ::3] = array
    return wide[..., ::3]


class _Subclass(np.ndarray):
    """As a library's own arrays are."""


class _Gives:
    """Something that NumPy can read."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array


class _Raises:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no" * 5000)


# The same numbers in another form.
_SAME: dict[str, Callable[[Any], Any]] = {
    "a list": lambda a: a.tolist(),
    "a tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else a.tolist(),
    "Fortran's order": np.asfortranarray,
    "strided": _strided,
    "reversed": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "unaligned": _unaligned,
    "bytes swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "float64": lambda a: a.astype(np.float64),
    "int32": lambda a: a.astype(np.int32),
    "uint8": lambda a: a.astype(np.uint8),
    "bool": lambda a: a.astype(bool),
    "float16": lambda a: a.astype(np.float16),
    "longdouble": lambda a: a.astype(np.longdouble),
    "objects": lambda a: a.astype(object),
    "a subclass": lambda a: a.view(_Subclass),
    "what NumPy can read": _Gives,
}
# What no argument may be.
_WRONG: dict[str, Callable[[Any], Any]] = {
    "complex": lambda a: a.astype(np.complex64),
    "texts": lambda a: a.astype(str),
    "dates": lambda a: a.astype(np.int64).astype("datetime64[s]"),
    "bytes": lambda a: a.astype("S"),
    "records": lambda a: np.zeros(a.shape, [("a", int)]),
    "one axis less": lambda a: a[0],
    "one axis more": lambda a: a[None],
    "nothing": lambda a: a[:, :0],
    "a number": lambda a: 1,
    "a text": lambda a: "text",
    "a ragged list": lambda a: [[1], [1, 2]],
    "masked": lambda a: np.ma.masked_array(a),
    "what NumPy cannot read": lambda a: _Raises(),
    "a dict": lambda a: {"a": 1},
    "objects that are none": lambda a: np.full(a.shape, None),
}


def make_model() -> Any:
    """A decoder that takes all of ``ARGUMENTS``."""
    import pyroberta

    config = pyroberta.RobertaConfig(
        vocab_size=50,
        num_blocks=2,
        hidden_size=32,
        num_attention_heads=2,
        intermediate_size=64,
        max_positions=40,
        use_cross_attention=True,
    )
    return pyroberta.RobertaForCausalLM.from_config(config, seed=0)


def cases() -> Iterator[Case]:
    """Each kind for each argument."""
    model = make_model()

    def ask(name: str, value: Any) -> str:
        logits = model(**{**ARGUMENTS, name: value}).logits
        return hashlib.sha256(logits.tobytes()).hexdigest()

    usual = ask("input_ids", ARGUMENTS["input_ids"])
    for name, array in ARGUMENTS.items():
        for kinds in (_SAME, _WRONG):
            for kind, make in kinds.items():
                try:
                    value = make(array)
                except (TypeError, ValueError):
                    continue  # there is none of this kind
                exact = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
                if kinds is _SAME and exact and not np.array_equal(value, array):
                    continue  # these numbers cannot be told in it
                yield Case(
                    f"{name}: {kind}",
                    lambda name=name, value=value: ask(name, value),
                    usual if kinds is _SAME else REFUSED,
                    says=f"^{name} ",
                )
