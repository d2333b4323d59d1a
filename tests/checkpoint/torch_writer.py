"""Files as ``torch.save`` writes them, and as nobody should: by hand, without torch or pickle."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
CLASSES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "u2": "BFloat16Storage",  # as elsewhere in the tests, uint16 stands for bfloat16
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}


@dataclasses.dataclass(frozen=True)
class Global:
    """A name to import."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True)
class Call:
    """What a call gives."""

    function: Any
    arguments: Any


@dataclasses.dataclass(frozen=True)
class Build:
    """An object whose attributes are set."""

    target: Any
    state: Any


@dataclasses.dataclass(frozen=True)
class Persistent:
    """What stands outside of the pickle."""

    name: Any


@dataclasses.dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    data: bytes


ORDERED = Global("collections", "OrderedDict")
V2 = Global("torch._utils", "_rebuild_tensor_v2")
HOOKS = Call(ORDERED, ())


def text(value: str, protocol: int = 2) -> bytes:
    """The opcodes of a string."""
    data = value.encode("utf-8", "surrogatepass")
    if protocol >= 4 and len(data) < 256:
        return b"\x8c" + bytes([len(data)]) + data
    return b"X" + struct.pack("<I", len(data)) + data


class _Pickler:
    """One pickle; strings and names come from the memo when they come again."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.memo: dict[Any, int] = {}

    def ops(self, value: Any) -> bytes:
        if isinstance(value, (str, Global)):
            if value in self.memo:
                return b"h" + bytes([self.memo[value]])
            return self.keep(value, self.plain(value))
        return self.plain(value)

    def keep(self, value: Any, ops: bytes) -> bytes:
        if len(self.memo) > 200:
            return ops
        self.memo[value] = len(self.memo)
        return ops + (b"\x94" if self.protocol >= 4 else b"q" + bytes([self.memo[value]]))

    def plain(self, value: Any) -> bytes:
        if value is None:
            return b"N"
        if isinstance(value, bool):
            if self.protocol == 1:
                return b"I01\n" if value else b"I00\n"
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            return _integer(value, self.protocol)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return text(value, self.protocol)
        if isinstance(value, Global):
            if self.protocol >= 4:
                return text(value.module, 4) + text(value.name, 4) + b"\x93"
            return f"c{value.module}\n{value.name}\n".encode()
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.ops, value)) + b"t" if value else b")"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.ops, value)) + b"e"
        if isinstance(value, dict):
            return b"}" + self.items(value)
        if isinstance(value, Call):
            return self.ops(value.function) + self.ops(value.arguments) + b"R"
        if isinstance(value, Build):
            return self.ops(value.target) + self.ops(value.state) + b"b"
        if isinstance(value, Persistent):
            return self.ops(value.name) + b"Q"
        if isinstance(value, Filled):
            return self.ops(value.target) + self.items(value.items)
        assert isinstance(value, Raw)
        return value.data

    def items(self, items: Mapping[Any, Any]) -> bytes:
        inside = (self.ops(part) for item in items.items() for part in item)
        return b"(" + b"".join(inside) + b"u"


@dataclasses.dataclass(frozen=True)
class Filled:
    """An ordered dictionary with its entries."""

    target: Any
    items: Mapping[str, Any]


def _integer(value: int, protocol: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if 0 <= value < 65536:
        return b"M" + struct.pack("<H", value)
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    if protocol == 1:
        return b"L%dL\n" % value
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def dumps(value: Any, protocol: int = 2) -> bytes:
    """A pickle, framed where the protocol has frames."""
    body = _Pickler(protocol).ops(value) + b"."
    if protocol >= 4:
        body = b"\x95" + struct.pack("<Q", len(body)) + body
    return (b"\x80" + bytes([protocol]) if protocol >= 2 else b"") + body


@dataclasses.dataclass(frozen=True)
class View:
    """A tensor within a storage of ``Saved.storages``; offset and strides in elements."""

    key: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


@dataclasses.dataclass(frozen=True)
class Saved:
    """A state dict: storages, each one axis long, and what is made of them."""

    storages: Mapping[str, np.ndarray]
    views: Mapping[str, View]

    def value(self, *, legacy: bool, wrap: Callable[[Any], Any] = lambda view: view) -> Any:
        """For ``dumps``; ``wrap`` is put around each tensor."""
        tensors = {name: wrap(self.tensor(view, legacy)) for name, view in self.views.items()}
        metadata = {"_metadata": Filled(HOOKS, {"": {"version": 1}})}
        return Build(Filled(HOOKS, tensors), metadata)

    def tensor(self, view: View, legacy: bool) -> Call:
        array = self.storages[view.key]
        cls = Global("torch", CLASSES[array.dtype.str[1:]])
        name = ("storage", cls, view.key, "cpu", len(array), *([None] if legacy else []))
        place = (Persistent(name), view.offset, view.shape, view.strides)
        return Call(V2, (*place, False, HOOKS))

    def zip(self, protocol: int = 2) -> bytes:
        return archive(self.entries(dumps(self.value(legacy=False), protocol)))

    def entries(self, pickle: bytes) -> list[Entry]:
        data = [Entry(f"m/data/{key}", array.tobytes()) for key, array in self.storages.items()]
        return [
            Entry("m/data.pkl", pickle),
            Entry("m/byteorder", b"little"),
            *data,
            Entry("m/version", b"3\n"),
        ]

    def legacy(self, protocol: int = 2) -> bytes:
        return self.legacy_of(dumps(self.value(legacy=True), protocol), protocol)

    def legacy_of(self, pickle: bytes, protocol: int = 2, **changes: Any) -> bytes:
        """``changes``: the objects around the pickle, by name."""
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}
        parts = {"magic": MAGIC, "version": 1001, "system": system, "keys": list(self.storages)}
        parts |= changes
        first = b"".join(dumps(parts[name], protocol) for name in ("magic", "version", "system"))
        data = [struct.pack("<q", len(a)) + a.tobytes() for a in self.storages.values()]
        return first + pickle + dumps(parts["keys"], protocol) + b"".join(data)


def saved(tensors: Mapping[str, np.ndarray]) -> Saved:
    """Each tensor in a storage of its own, its elements in order."""
    storages, views = {}, {}
    for i, (name, array) in enumerate(tensors.items()):
        flat = np.array(array, order="C")
        storages[str(i)] = flat.reshape(-1)
        strides = tuple(stride // array.itemsize for stride in flat.strides)
        views[name] = View(str(i), array.shape, strides)
    return Saved(storages, views)


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of an archive; what is not said is as ``torch.save`` writes it.

    ``own`` are changes to the entry's own record, ``listed`` to the directory's: ``name``,
    ``flags``, ``method``, ``packed``, ``size`` and, in the directory, ``place``.
    """

    name: str
    data: bytes
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    listed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    align: int = 64


def archive(entries: Sequence[Entry], *, wide: bool = False, **end: Any) -> bytes:
    """A zip archive.

    Args:
        wide: sizes and places in the directory stand in extra fields.
        end: changes to the last record: ``count``, ``size``, ``begin``, ``at64``.
    """
    out, directory = b"", b""
    for entry in entries:
        raw, size = entry.name.encode(), len(entry.data)
        own = {"name": raw, "flags": 0x808, "method": 0, "packed": 0, "size": 0} | entry.own
        fill = b"FB" + b"\0\0" + b"Z" * (-(len(out) + 34 + len(own["name"])) % entry.align)
        fill = fill[:2] + struct.pack("<H", len(fill) - 4) + fill[4:]
        listed = {"name": raw, "flags": 0x808, "method": 0, "packed": size, "size": size}
        listed |= {"place": len(out)} | entry.listed
        numbers = [listed["size"], listed["packed"], listed["place"]]
        extra = b""
        if wide:
            extra = b"xx\1\0\0" + struct.pack("<2H3Q", 1, 24, *numbers)
            numbers = [0xFFFFFFFF] * 3
        name = own["name"]
        fields = (own["flags"], own["method"], 0, 0, 0, own["packed"], own["size"])
        out += struct.pack("<4s5H3I2H", b"PK\3\4", 0, *fields, len(name), len(fill)) + name + fill
        out += entry.data + (b"PK\7\x08" + bytes(20) if own["flags"] & 8 else b"")
        name, (size, packed, place) = listed["name"], numbers
        fields = (0, 0, listed["flags"], listed["method"], 0, 0, 0, packed, size, len(name))
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", *fields, len(extra), 0, 0, 0, 0, place)
        directory += name + extra
    count = end.get("count", len(entries))
    size, begin = end.get("size", len(directory)), end.get("begin", len(out))
    at64 = end.get("at64", len(out) + len(directory))
    out += directory
    out += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 798, 45, 0, 0, count, count, size, begin)
    out += struct.pack("<4sIQI", b"PK\6\7", 0, at64, 1)
    return out + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, begin, 0)
