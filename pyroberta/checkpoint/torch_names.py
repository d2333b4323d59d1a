"""What a state dict's pickle may name, and what each name stands for here.

No name is ever looked up: each is a row below, and its function makes a description of a tensor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..checks import excerpt
from .torch_stream import Stream

_MOST_SIZES = 32  # of a shape

# The classes of storages and the types of elements, as safetensors names them. Other ones (complex,
# quantised) have no name there.
STORAGES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
    "torch.UntypedStorage": "U8",
    "torch.storage.UntypedStorage": "U8",
    "torch.storage._UntypedStorage": "U8",
}
DTYPES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint64": "U64",
    "torch.uint32": "U32",
    "torch.uint16": "U16",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}
# Bytes of an element.
WIDTHS = {
    dtype: 1 if dtype == "BOOL" or dtype.startswith("F8") else int(dtype.strip("BFIU")) // 8
    for dtype in DTYPES.values()
}


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers that tensors are made of.

    Attributes:
        key: its name in the file.
        dtype: of its elements, as safetensors names it.
        count: of its elements in the file.
        begin: the first element that is in use; later ones where the storage is a view of another.
        size: how many are in use.
    """

    key: str
    dtype: str
    count: int
    begin: int
    size: int


@dataclasses.dataclass(frozen=True)
class View:
    """A tensor as the pickle describes it; nothing of it has been checked but the types.

    Attributes:
        storage: where its elements are.
        dtype: of its elements, as safetensors names it.
        offset: of its first element in the storage, in elements.
        shape: its sizes.
        strides: in elements.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Name:
    """A name that a pickle asks for: one of ``NAMES``, and never what it stands for elsewhere."""

    text: str


def shown(value: Any) -> str:
    """A value for an error: only a plain one is printed, since others may hold themselves."""
    if isinstance(value, Name):
        return value.text
    if value is None or type(value) in (bool, int, float, str):
        return excerpt(value)
    kinds = {Storage: "a storage", View: "a tensor", Ordered: "an OrderedDict"}
    return kinds.get(type(value), f"a {type(value).__name__}")


class Ordered(dict[str, Any]):
    """What stands for ``collections.OrderedDict``."""


def fill(stream: Stream, items: dict[str, Any], keys: list[Any], values: list[Any]) -> None:
    """Put new keys, all of them strings, into a dictionary. Raises CheckpointError."""
    for key, value in zip(keys, values, strict=True):
        if type(key) is not str:
            raise stream.refuse(f"one with the key {shown(key)}, which is no string")
        if key in items:
            raise stream.refuse(f"one with the key {excerpt(key)} twice")
        items[key] = value


def make_storage(wanted: Any, id_size: int) -> Storage | None:
    """The storage of a persistent name; ``None`` for any other."""
    if type(wanted) is not tuple or not id_size or len(wanted) != id_size:
        return None
    kind, cls, key, location, count, *views = wanted
    dtype = STORAGES.get(cls.text) if isinstance(cls, Name) else None
    texts = all(type(value) is str for value in (kind, key, location))
    if not texts or kind != "storage" or dtype is None or not _is_count(count):
        return None
    begin, size = 0, count
    if views and views[0] is not None:  # a storage within another, in the oldest files
        if type(views[0]) is not tuple or len(views[0]) != 3:
            return None
        _, begin, size = views[0]
        if not (_is_count(begin) and _is_count(size)) or begin + size > count:
            return None
    return Storage(key, dtype, count, begin, size)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**60


def _is_sizes(value: Any) -> bool:
    return type(value) is tuple and len(value) <= _MOST_SIZES and all(map(_is_count, value))


# What is called: the value of a call, or None where the arguments are not its own.


def _rebuild_tensor(stream: Stream, arguments: tuple[Any, ...]) -> View | None:
    if len(arguments) != 4:
        return None
    storage, offset, shape, strides = arguments
    if not isinstance(storage, Storage) or not _is_count(offset):
        return None
    if not _is_sizes(shape) or not _is_sizes(strides):
        return None
    return View(storage, storage.dtype, offset, shape, strides)


def _rebuild_tensor_v2(stream: Stream, arguments: tuple[Any, ...]) -> View | None:
    # A seventh says that the numbers are to be negated or conjugated.
    if len(arguments) != 6 or not _is_grad(*arguments[4:]):
        return None
    return _rebuild_tensor(stream, arguments[:4])


def _rebuild_tensor_v3(stream: Stream, arguments: tuple[Any, ...]) -> View | None:
    if len(arguments) != 7 or not isinstance(arguments[6], Name):
        return None
    view = _rebuild_tensor_v2(stream, arguments[:6])
    dtype = DTYPES.get(arguments[6].text)
    return None if view is None or dtype is None else dataclasses.replace(view, dtype=dtype)


def _rebuild_parameter(stream: Stream, arguments: tuple[Any, ...]) -> View | None:
    if len(arguments) != 3 or not isinstance(arguments[0], View) or not _is_grad(*arguments[1:]):
        return None
    view: View = arguments[0]
    return view


def _is_grad(requires_grad: Any, hooks: Any) -> bool:
    return type(requires_grad) is bool and isinstance(hooks, Ordered) and not hooks


def _ordered_dict(stream: Stream, arguments: tuple[Any, ...]) -> Ordered | None:
    made = Ordered()
    if arguments:  # as Python 2 wrote them: a list of pairs
        pairs = arguments[0]
        if len(arguments) != 1 or type(pairs) is not list:
            return None
        if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            return None
        fill(stream, made, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return made


CALLS: dict[str, Callable[[Stream, tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
}


NAMES = {*CALLS, *STORAGES, *DTYPES}
