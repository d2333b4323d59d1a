"""Reads the pickle of a state dict and executes nothing: an interpreter of our own for its opcodes.

A pickle is a program, and Python's own ``pickle`` imports and calls whatever it names. The one here
knows the opcodes that state dicts are made of and the names of ``torch_names.py``; all else is
refused, and the error says what was wanted. A pickle may be hostile: what it can make this process
allocate is bounded, and no value of it is printed, hashed or compared before it is known to be a
plain one (of tuples within tuples that would take years).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ..checks import excerpt
from .torch_names import CALLS, NAMES, Name, Ordered, Storage, fill, make_storage, shown
from .torch_stream import Stream

# A state dict of 1,000 tensors takes 40,000 steps.
_MOST_STEPS = 2**18
_MOST_MARKS = 100
_MOST_STACK = 2**16  # a dict comes a thousand entries at a time
_LONG = 16  # bytes of an integer, and half the digits of one in text
_PROTOCOL = 5

_ATTRIBUTES = {"_metadata"}  # of an ordered dictionary: the versions of modules


def load_pickle(stream: Stream, id_size: int = 0) -> tuple[Any, dict[str, Storage]]:
    """What a pickle describes, and the storages that it names.

    Dictionaries (whose keys are strings), lists, tuples, strings, numbers, ``None`` and ``View``.
    A value may hold itself: go as deep into it as is known to be right, and no deeper.

    Args:
        stream: of the pickle.
        id_size: of the tuples that name storages; 0: the pickle may name none.

    Raises:
        CheckpointError: no pickle, one that is cut or too large, or one that wants anything but
            what state dicts are made of.
    """
    machine = _Machine(stream, id_size)
    return machine.run(), machine.storages


class _Machine:
    """The stack, the marks on it and the memo, which opcodes work on."""

    def __init__(self, stream: Stream, id_size: int) -> None:
        self.stream = stream
        self.storages: dict[str, Storage] = {}
        self.steps = 0
        self._id_size = id_size
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        while self.steps < _MOST_STEPS:
            self.steps += 1
            code = self.stream.opcode()
            if code == b".":
                value = self.pop()
                if self._stack or self._marks:
                    raise self.stream.refuse("a pickle that leaves values behind")
                self.stream.end()
                return value
            step = _OPCODES.get(code)
            if step is None:
                raise self.stream.refuse_code(_describe(self, code))
            step(self)
        raise self.stream.refuse(f"a pickle of more than {_MOST_STEPS} steps")

    def push(self, value: Any) -> None:
        if len(self._stack) >= _MOST_STACK:
            raise self.stream.refuse(f"a pickle of more than {_MOST_STACK} values at once")
        self._stack.append(value)

    def pop(self) -> Any:
        value = self.top()
        self._stack.pop()
        return value

    def top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self.stream.refuse("a pickle that takes a value where none is")
        return self._stack[-1]

    def mark(self) -> None:
        if len(self._marks) >= _MOST_MARKS:
            raise self.stream.refuse(f"a pickle of more than {_MOST_MARKS} levels")
        self._marks.append(len(self._stack))

    def peek(self, at: int) -> Any:
        """A value of the stack for an error; ``None`` where none is."""
        return self._stack[at] if -len(self._stack) <= at < len(self._stack) else None

    def first_marked(self) -> int:
        """Where the first value after the last mark is, or would be."""
        return self._marks[-1] if self._marks else len(self._stack)

    def pop_mark(self) -> list[Any]:
        """All since the last mark."""
        if not self._marks:
            raise self.stream.refuse("a pickle that goes back to a mark where none is")
        begin = self._marks.pop()
        values = self._stack[begin:]
        del self._stack[begin:]
        return values

    def put(self, index: int) -> None:
        if index in self._memo or index >= _MOST_STEPS:
            raise self.stream.refuse(f"a pickle that keeps a value as number {index}")
        self._memo[index] = self.top()

    def memoize(self) -> None:
        self.put(len(self._memo))

    def get(self, index: int) -> None:
        if index not in self._memo:
            raise self.stream.refuse(f"a pickle that asks for its value {index} before it is there")
        self.push(self._memo[index])

    def put_items(self, flat: list[Any]) -> None:
        """Keys and values by turns, into the dictionary on top of the stack."""
        items = self.top()
        if not isinstance(items, dict) or len(flat) % 2:
            raise self.stream.refuse(f"a pickle that sets items of {shown(items)}")
        fill(self.stream, items, flat[::2], flat[1::2])

    def append(self, values: list[Any]) -> None:
        items = self.top()
        if type(items) is not list:
            raise self.stream.refuse(f"a pickle that appends to {shown(items)}")
        items.extend(values)

    def text(self, size: int) -> None:
        try:
            self.push(self.stream.read(size).decode())
        except UnicodeDecodeError:
            raise self.stream.refuse("a string that is not UTF-8") from None

    def integer(self, size: int) -> None:
        if size > _LONG:
            raise self.stream.refuse(f"an integer of {size} bytes")
        self.push(self.stream.number(size, signed=True))

    def integer_line(self) -> None:
        line = self.stream.line().removesuffix(b"L")
        if line in (b"00", b"01"):  # protocol 1 has its truth values so
            self.push(line == b"01")
            return
        if not line.removeprefix(b"-").isdigit() or len(line) > 2 * _LONG:
            raise self.stream.refuse(f"the integer {shown(line.decode('latin-1'))}")
        self.push(int(line))

    def name(self, module: Any, name: Any) -> None:
        """A name that state dicts have; any other is refused here, long before it is called."""
        if type(module) is not str or type(name) is not str:
            raise self.stream.refuse_code(f"a name of {shown(module)} and {shown(name)}")
        text = f"{module}.{name}"
        if text not in NAMES:
            raise self.stream.refuse_code(excerpt(text))
        self.push(Name(text))

    def name_lines(self) -> None:
        lines = self.stream.line(), self.stream.line()
        module, name = (line.decode("utf-8", "backslashreplace") for line in lines)
        self.name(module, name)

    def name_values(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def reduce(self) -> None:
        arguments, called = self.pop(), self.pop()
        call = CALLS.get(called.text) if isinstance(called, Name) else None
        if call is None or type(arguments) is not tuple:
            raise self.stream.refuse_code(f"to call {shown(called)} with {shown(arguments)}")
        value = call(self.stream, arguments)
        if value is None:
            raise self.stream.refuse_code(
                f"to call {shown(called)} with {len(arguments)} arguments that are not its own: "
                + excerpt([shown(argument) for argument in arguments[:8]])
            )
        self.push(value)

    def build(self) -> None:
        """Attributes of an ordered dictionary: the versions of modules, which change nothing."""
        state = self.pop()
        if not isinstance(self.top(), Ordered) or type(state) is not dict or {*state} - _ATTRIBUTES:
            keys = excerpt(list(state)[:8]) if isinstance(state, dict) else shown(state)
            raise self.stream.refuse_code(f"to set {keys} of {shown(self.top())}")

    def find_storage(self) -> None:
        wanted = self.pop()
        storage = make_storage(wanted, self._id_size)
        if storage is None:
            kind = wanted[0] if type(wanted) is tuple and wanted else wanted
            raise self.stream.refuse_code(f"the persistent object {shown(kind)}")
        known = self.storages.setdefault(storage.key, storage)
        if (known.dtype, known.count) != (storage.dtype, storage.count):
            raise self.stream.refuse(
                f"the storage {excerpt(storage.key)} as {known.count} of {known.dtype} and as "
                f"{storage.count} of {storage.dtype}"
            )
        self.push(storage)


def _describe(machine: _Machine, code: bytes) -> str:
    """What an opcode that is not known here would have done."""
    stream, name = machine.stream, _REFUSED.get(code)
    if name is None:
        return f"the opcode {code!r}, which pickles do not have"
    if name == "INST":
        module, cls = (stream.line().decode("utf-8", "backslashreplace") for _ in range(2))
        return f"to make {excerpt(f'{module}.{cls}')} (the opcode INST)"
    if name == "PERSID":
        text = stream.line().decode("utf-8", "backslashreplace")
        return f"the persistent object {excerpt(text)} (the opcode PERSID)"
    if name.startswith("EXT"):
        return f"the extension {stream.number(int(name[3:]))} of copyreg (the opcode {name})"
    at = {"OBJ": machine.first_marked(), "NEWOBJ": -2, "NEWOBJ_EX": -3}.get(name)
    if at is not None:
        return f"to make an object of {shown(machine.peek(at))} (the opcode {name})"
    return f"the opcode {name}, which state dicts do not need"


def _begin(machine: _Machine) -> None:
    version = machine.stream.number(1)
    if machine.steps != 1:
        raise machine.stream.refuse("a pickle within a pickle")
    if version > _PROTOCOL:
        raise machine.stream.refuse(f"a pickle of protocol {version}, above {_PROTOCOL}")


def _tuple_of(n: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        machine.push(tuple([machine.pop() for _ in range(n)][::-1]))

    return step


# The opcodes that state dicts need, with what each does.
_OPCODES: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _begin,  # PROTO
    b"\x95": lambda m: m.stream.begin_frame(m.stream.number(8)),  # FRAME
    b"N": lambda m: m.push(None),  # NONE
    b"\x88": lambda m: m.push(True),  # NEWTRUE
    b"\x89": lambda m: m.push(False),  # NEWFALSE
    b"I": lambda m: m.integer_line(),  # INT
    b"L": lambda m: m.integer_line(),  # LONG
    b"J": lambda m: m.push(m.stream.number(4, signed=True)),  # BININT
    b"K": lambda m: m.push(m.stream.number(1)),  # BININT1
    b"M": lambda m: m.push(m.stream.number(2)),  # BININT2
    b"\x8a": lambda m: m.integer(m.stream.number(1)),  # LONG1
    b"\x8b": lambda m: m.integer(m.stream.number(4)),  # LONG4
    b"G": lambda m: m.push(struct.unpack(">d", m.stream.read(8))[0]),  # BINFLOAT
    b"X": lambda m: m.text(m.stream.number(4)),  # BINUNICODE
    b"\x8c": lambda m: m.text(m.stream.number(1)),  # SHORT_BINUNICODE
    b"\x8d": lambda m: m.text(m.stream.number(8)),  # BINUNICODE8
    b"T": lambda m: m.text(m.stream.number(4)),  # BINSTRING, of Python 2
    b"U": lambda m: m.text(m.stream.number(1)),  # SHORT_BINSTRING
    b"(": lambda m: m.mark(),  # MARK
    b")": lambda m: m.push(()),  # EMPTY_TUPLE
    b"t": lambda m: m.push(tuple(m.pop_mark())),  # TUPLE
    b"\x85": _tuple_of(1),  # TUPLE1
    b"\x86": _tuple_of(2),  # TUPLE2
    b"\x87": _tuple_of(3),  # TUPLE3
    b"]": lambda m: m.push([]),  # EMPTY_LIST
    b"a": lambda m: m.append([m.pop()]),  # APPEND
    b"e": lambda m: m.append(m.pop_mark()),  # APPENDS
    b"}": lambda m: m.push({}),  # EMPTY_DICT
    b"s": lambda m: m.put_items([m.pop(), m.pop()][::-1]),  # SETITEM
    b"u": lambda m: m.put_items(m.pop_mark()),  # SETITEMS
    b"q": lambda m: m.put(m.stream.number(1)),  # BINPUT
    b"r": lambda m: m.put(m.stream.number(4)),  # LONG_BINPUT
    b"\x94": lambda m: m.memoize(),  # MEMOIZE
    b"h": lambda m: m.get(m.stream.number(1)),  # BINGET
    b"j": lambda m: m.get(m.stream.number(4)),  # LONG_BINGET
    b"c": lambda m: m.name_lines(),  # GLOBAL
    b"\x93": lambda m: m.name_values(),  # STACK_GLOBAL
    b"R": lambda m: m.reduce(),  # REDUCE
    b"b": lambda m: m.build(),  # BUILD
    b"Q": lambda m: m.find_storage(),  # BINPERSID
}
# The others, for errors: those that make, call or import, and those that state dicts do not need.
# (Those of protocol 0 among them: it has no tuples that could name a storage.)
_REFUSED = {
    b"i": "INST",
    b"o": "OBJ",
    b"\x81": "NEWOBJ",
    b"\x92": "NEWOBJ_EX",
    b"P": "PERSID",
    b"\x82": "EXT1",
    b"\x83": "EXT2",
    b"\x84": "EXT4",
    b"\x97": "NEXT_BUFFER",
    b"\x98": "READONLY_BUFFER",
    b"\x96": "BYTEARRAY8",
    b"\x8f": "EMPTY_SET",
    b"\x90": "ADDITEMS",
    b"\x91": "FROZENSET",
    b"B": "BINBYTES",
    b"C": "SHORT_BINBYTES",
    b"\x8e": "BINBYTES8",
    b"S": "STRING",
    b"V": "UNICODE",
    b"F": "FLOAT",
    b"l": "LIST",
    b"d": "DICT",
    b"p": "PUT",
    b"g": "GET",
    b"0": "POP",
    b"1": "POP_MARK",
    b"2": "DUP",
}
