"""Pickles that ask for more than a state dict has, each with the words that its refusal must hold.

Made for an archive (names of storages have five parts). Whatever one could run makes a file called
``CANARY`` in the working folder.
"""

from __future__ import annotations

import struct
from typing import Any

from checkpoint.torch_writer import (
    HOOKS,
    ORDERED,
    V2,
    Build,
    Call,
    Entry,
    Filled,
    Global,
    Persistent,
    archive,
    dumps,
    text,
)

CANARY = "executed.canary"
_RUN = f"touch {CANARY}"
_CODE = f"open({CANARY!r}, 'w')"
_PROTO = b"\x80\x02"

FLOATS = Global("torch", "FloatStorage")
_STORAGE = Persistent(("storage", FLOATS, "0", "cpu", 6))
_PLACE = (_STORAGE, 0, (2, 3), (3, 1))
TENSOR = Call(V2, (*_PLACE, False, HOOKS))
_V3 = Global("torch._utils", "_rebuild_tensor_v3")
_ORDERED = b"ccollections\nOrderedDict\n"

Case = tuple[str, bytes, str]


def _ops(data: bytes) -> bytes:
    return _PROTO + data + b"."


def _named(storage: Any) -> bytes:
    return dumps({"a": Call(V2, (Persistent(storage), 0, (2, 3), (3, 1), False, HOOKS))})


def _calls(module: str, name: str, argument: str = _RUN) -> list[Case]:
    """A call of a name, by the opcodes of protocol 2 and of protocol 4."""
    value = {"a": Call(Global(module, name), (argument,))}
    wanted = f"'{module}.{name}'"[:57]
    return [(f"{module}.{name}-{n}", dumps(value, n), wanted) for n in (2, 4)]


_IMPORTED = [
    *_calls("os", "system"),
    *_calls("posix", "system"),
    *_calls("builtins", "eval", _CODE),
    *_calls("builtins", "exec", _CODE),
    *_calls("__builtin__", "eval", _CODE),
    *_calls("builtins", "__import__", "antigravity"),
    *_calls("subprocess", "check_call"),
    *_calls("runpy", "run_path"),
    *_calls("webbrowser", "open"),
    *_calls("pickle", "loads"),
    *_calls("importlib", "import_module", "antigravity"),
    *_calls("functools", "partial"),
    *_calls("copyreg", "_reconstructor"),
    *_calls("_codecs", "encode"),
    *_calls("collections", "Counter"),
    *_calls("collections", "OrderedDict.fromkeys"),
    *_calls("collections", "OrderedDict.__init__.__globals__"),
    *_calls("torch", "load"),
    *_calls("torch.hub", "load"),
    *_calls("torch.storage", "_load_from_bytes"),
    *_calls("torch._utils", "_rebuild_qtensor"),
    *_calls("torch._utils", "_rebuild_sparse_tensor"),
    *_calls("torch._tensor", "_rebuild_from_type_v2"),
    *_calls("torch.nn.parameter", "Parameter"),
    *_calls("torch.serialization", "_get_layout"),
    *_calls("torch", "device"),
    *_calls("torch", "ComplexFloatStorage"),
    *_calls("torch", "QInt8Storage"),
    *_calls("torch.cuda", "FloatStorage"),
    *_calls("numpy.core.multiarray", "_reconstruct"),
    *_calls("torch.nn.modules.linear", "Linear"),
    *_calls("transformers.models.roberta.modeling_roberta", "RobertaModel"),
    *_calls("__main__", "Model"),
    ("lone surrogate", dumps({"a": Global("o\ud800s", "system")}, 4), "not UTF-8"),
    ("no UTF-8", _ops(b"cos\xff\nsystem\n"), r"os\\xff.system"),
    ("long name", _ops(b"c" + b"a" * 600 + b"\nb\n"), "a line of more than 512 bytes"),
    ("no module", _ops(b"c\nsystem\n"), "'.system'"),
    ("numbers for names", _ops(b"K\1K\2\x93"), "a name of 1 and 2"),
    ("tuple for a name", _ops(text("os") + b")\x93"), "a name of 'os' and a tuple"),
    ("name of a name", _ops(_ORDERED + text("fromkeys") + b"\x93"), "collections.OrderedDict"),
]
_MADE = [
    ("INST", _ops(b"(" + text(_RUN) + b"ios\nsystem\n"), "'os.system' (the opcode INST)"),
    ("INST eval", _ops(b"(" + text(_CODE) + b"ibuiltins\neval\n"), "'builtins.eval'"),
    ("INST known", _ops(b"(icollections\nOrderedDict\n"), "'collections.OrderedDict'"),
    ("OBJ", _ops(b"(" + _ORDERED + b"o"), "object of collections.OrderedDict (the opcode OBJ)"),
    ("OBJ text", _ops(b"(" + text("os.system") + text(_RUN) + b"o"), "object of 'os.system'"),
    ("OBJ without", _ops(b"o"), "an object of None (the opcode OBJ)"),
    ("NEWOBJ", _ops(_ORDERED + b")\x81"), "of collections.OrderedDict (the opcode NEWOBJ)"),
    ("NEWOBJ text", _ops(text("os.system") + b")\x81"), "an object of 'os.system'"),
    ("NEWOBJ without", _ops(b"\x81"), "an object of None"),
    ("NEWOBJ_EX", _ops(_ORDERED + b")}\x92"), "collections.OrderedDict (the opcode NEWOBJ_EX)"),
    ("NEWOBJ_EX text", _ops(text("os.system") + b")}\x92"), "an object of 'os.system'"),
    ("NEWOBJ_EX without", _ops(b"}\x92"), "an object of None"),
    ("EXT1", _ops(b"\x82\x05"), "the extension 5 of copyreg (the opcode EXT1)"),
    ("EXT2", _ops(b"\x83\x05\x01"), "the extension 261 of copyreg (the opcode EXT2)"),
    ("EXT4", _ops(b"\x84\xff\xff\xff\x7f"), "the extension 2147483647 of copyreg"),
    ("PERSID", _ops(b"Pos.system\n"), "the persistent object 'os.system' (the opcode PERSID)"),
]
_CALLED = [
    ("call a storage", dumps({"a": Call(FLOATS, (5,))}), "to call torch.FloatStorage"),
    ("call a type", dumps({"a": Call(Global("torch", "float32"), ())}), "call torch.float32"),
    ("call a string", dumps({"a": Call("os.system", (_RUN,))}), "to call 'os.system'"),
    ("call a tensor", dumps({"a": Call(TENSOR, ())}), "to call a tensor with a tuple"),
    ("call with a list", dumps({"a": Call(ORDERED, [])}), "OrderedDict with a list"),
    ("dict of 5", dumps({"a": Call(ORDERED, (5,))}), "arguments that are not its own: ['5']"),
    ("dict of no pairs", dumps({"a": Call(ORDERED, ([("a",)],))}), "['a list']"),
    ("two lists", dumps({"a": Call(ORDERED, ([], []))}), "2 arguments"),
    ("tensor of few", dumps({"a": Call(V2, _PLACE)}), "4 arguments"),
    ("tensor of none", dumps({"a": Call(V2, ())}), "0 arguments"),
    ("hooks", dumps({"a": Call(V2, (*_PLACE, False, Filled(HOOKS, {"a": 1})))}), "6 arguments"),
    ("hooks of none", dumps({"a": Call(V2, (*_PLACE, False, None))}), "'None'"),
    ("negated", dumps({"a": Call(V2, (*_PLACE, False, HOOKS, {"neg": True}))}), "7 arguments"),
    ("no storage", dumps({"a": Call(V2, (5, *_PLACE[1:], False, HOOKS))}), "['5', '0'"),
    ("offset", dumps({"a": Call(V2, (_STORAGE, -1, (2,), (1,), False, HOOKS))}), "'-1'"),
    ("shape of text", dumps({"a": Call(V2, (_STORAGE, 0, "23", (1,), False, HOOKS))}), "\"'23'\""),
    ("shape of lists", dumps({"a": Call(V2, (_STORAGE, 0, [2], (1,), False, HOOKS))}), "a list"),
    ("33 sizes", dumps({"a": Call(V2, (_STORAGE, 0, (1,) * 33, (1,) * 33, False, HOOKS))}), "6 a"),
    (
        "parameter of text",
        dumps({"a": Call(Global("torch._utils", "_rebuild_parameter"), ("a", True, HOOKS))}),
        "call torch._utils._rebuild_parameter with 3 arguments",
    ),
    (
        "type of a storage",
        dumps({"a": Call(_V3, (*_PLACE, True, HOOKS, FLOATS))}),
        "_rebuild_tensor_v3 with 7 arguments",
    ),
    ("BUILD a dict", dumps(Build({}, {"a": 1})), "to set ['a'] of a dict"),
    ("BUILD a list", dumps(Build([], {"_metadata": 1})), "to set ['_metadata'] of a list"),
    ("BUILD a tensor", dumps(Build(TENSOR, {"data": _RUN})), "to set ['data'] of a tensor"),
    ("BUILD a name", dumps(Build(ORDERED, {"a": 1})), "to set ['a'] of collections.OrderedDict"),
    ("BUILD a class", dumps(Build(HOOKS, {"__class__": ORDERED})), "to set ['__class__']"),
    ("BUILD by tuple", dumps(Build(HOOKS, ({}, {"keys": 1}))), "to set a tuple of an Ordered"),
    ("BUILD by None", dumps(Build(HOOKS, None)), "to set None of an OrderedDict"),
]
_PERSISTENT = [
    ("id of text", _named("0"), "the persistent object '0'"),
    ("id of a number", _named(7), "the persistent object 7"),
    ("id of nothing", _named(()), "the persistent object a tuple"),
    ("id of a list", _named(["storage", FLOATS, "0", "cpu", 6]), "the persistent object a list"),
    ("id of 4", _named(("storage", FLOATS, "0", "cpu")), "the persistent object 'storage'"),
    ("id of 6", _named(("storage", FLOATS, "0", "cpu", 6, None)), "object 'storage'"),
    ("id of a module", _named(("module", FLOATS, "a.py", _CODE, 6)), "object 'module'"),
    ("id of a type", _named(("storage", Global("torch", "int8"), "0", "cpu", 6)), "object 'sto"),
    ("id of text's class", _named(("storage", "FloatStorage", "0", "cpu", 6)), "object 'sto"),
    ("key of a number", _named(("storage", FLOATS, 0, "cpu", 6)), "object 'storage'"),
    ("key elsewhere", _named(("storage", FLOATS, "../data.pkl", "cpu", 6)), "is missing, not 24"),
    ("no place", _named(("storage", FLOATS, "0", None, 6)), "object 'storage'"),
    ("count of -1", _named(("storage", FLOATS, "0", "cpu", -1)), "object 'storage'"),
    ("count of True", _named(("storage", FLOATS, "0", "cpu", True)), "object 'storage'"),
    ("count of 2**70", _named(("storage", FLOATS, "0", "cpu", 2**70)), "object 'storage'"),
    ("count of 2**59", _named(("storage", FLOATS, "0", "cpu", 2**59)), "24 bytes, not 2305843"),
    ("count of 7", _named(("storage", FLOATS, "0", "cpu", 7)), "is of 24 bytes, not 28"),
    (
        "two classes",
        dumps([_STORAGE, Persistent(("storage", Global("torch", "IntStorage"), "0", "cpu", 6))]),
        "as 6 of F32 and as 6 of I32",
    ),
]
_DICTS = [
    ("key of a number", dumps({0: TENSOR}), "the key 0, which is no string"),
    ("key of None", dumps({None: TENSOR}), "the key None"),
    ("key of a tuple", dumps({("a",): TENSOR}), "the key a tuple"),
    ("key of a float", dumps({1.5: TENSOR}), "the key 1.5"),
    ("key twice", _ops(b"}(" + (text("a") + b"N") * 2 + b"u"), "the key 'a' twice"),
    ("pair twice", dumps(Call(ORDERED, ([("a", 1), ("a", 2)],))), "the key 'a' twice"),
    ("pair of a number", dumps(Call(ORDERED, ([(3, 1)],))), "the key 3"),
    ("items of a list", _ops(b"](NNu"), "sets items of a list"),
    ("items of a tensor", dumps(Filled(TENSOR, {"a": 1})), "sets items of a tensor"),
    ("item of a tuple", _ops(b")" + text("a") + b"Ns"), "sets items of a tuple"),
    ("odd items", _ops(b"}(" + text("a") + b"u"), "sets items of a dict"),
    ("append to a dict", _ops(b"}Na"), "appends to a dict"),
    ("append to a tuple", _ops(b")(Ne"), "appends to a tuple"),
    ("append to a tensor", dumps(TENSOR)[:-1] + b"Na.", "appends to a tensor"),
]
_SIZES = [
    ("BINUNICODE8 of 2**60", _ops(b"\x8d" + struct.pack("<Q", 2**60)), "cut"),
    ("BINUNICODE of 2**32", _ops(b"X\xff\xff\xff\xff"), "cut"),
    ("BINSTRING of -1", _ops(b"T\xff\xff\xff\xff"), "cut"),
    ("BINBYTES8 of 2**60", _ops(b"\x8e" + struct.pack("<Q", 2**60)), "opcode BINBYTES8"),
    ("BYTEARRAY8 of 2**60", _ops(b"\x96" + struct.pack("<Q", 2**60)), "opcode BYTEARRAY8"),
    ("NEXT_BUFFER", _ops(b"\x97"), "the opcode NEXT_BUFFER"),
    ("READONLY_BUFFER", _ops(b"N\x98"), "the opcode READONLY_BUFFER"),
    ("LONG1 of 255", _ops(b"\x8a\xff" + bytes(255)), "an integer of 255 bytes"),
    ("LONG4 of 2**31", _ops(b"\x8b\xff\xff\xff\x7f"), "an integer of 2147483647 bytes"),
    ("LONG4 of -1", _ops(b"\x8b\xff\xff\xff\xff"), "an integer of 4294967295 bytes"),
    ("LONG of 400 digits", _ops(b"L" + b"9" * 400 + b"L\n"), "the integer '999"),
    ("LONG of 5000 digits", _ops(b"L" + b"9" * 5000 + b"L\n"), "a line of more than 512"),
    ("INT of an expression", _ops(b"I1e5\n"), "the integer '1e5'"),
    ("INT of nothing", _ops(b"I\n"), "the integer ''"),
    ("frame of 2**63", _PROTO + b"\x95" + struct.pack("<Q", 2**63) + b"N.", "a frame of 92233"),
    ("frame too long", _PROTO + b"\x95" + struct.pack("<Q", 3) + b"N.", "a frame of 3 bytes"),
    ("frame too short", _PROTO + b"\x95\1" + bytes(7) + b"K\1.", "crosses its frame's end"),
    ("frame too wide", _PROTO + b"\x95\5" + bytes(7) + b"N.NNN", "ends 3 bytes before its"),
    ("frame in a frame", _PROTO + (b"\x95\x14" + bytes(7)) * 2 + b"N." * 20, "a frame of 20"),
    ("101 marks", _ops(b"(" * 101), "more than 100 levels"),
    ("10**6 marks", _ops(b"(" * 10**6), "more than 100 levels"),
    ("10**6 lists", _ops(b"]" * 10**6), "more than 65536 values at once"),
    ("10**6 tuples", _ops(b")" + b"\x85" * 2**20), "more than 262144 steps"),
    ("nested 60,000", _ops(b"]" * 60_000 + b"a" * 59_999), "not a list"),
    ("over 16 MiB", _ops(b"X\xff\xff\xff\1" + bytes(2**25)), "16777216 bytes of pickle"),
]
# Values that hold one another: printed, hashed or compared they would take 2**60 steps.
_LACE = b")q\0" + b"".join(b"h" + bytes([n, 104, n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
_LACED = _LACE.replace(b")q\0", b"()q\0", 1) + b"tq\xfa"
_MACHINE = [
    ("nothing", b"", "cut"),
    ("nothing but PROTO", _PROTO, "cut"),
    ("STOP alone", _ops(b""), "takes a value where none is"),
    ("protocol 6", b"\x80\x06}.", "protocol 6, above 5"),
    ("protocol 255", b"\x80\xff}.", "protocol 255, above 5"),
    ("protocol twice", _PROTO + b"\x80\x02}.", "a pickle within a pickle"),
    ("unknown opcode", _ops(b"\xff"), r"the opcode b'\xff'"),
    ("gzip", b"\x1f\x8b\x08" + bytes(20), r"the opcode b'\x1f'"),
    ("an archive", archive([Entry("m/data.pkl", _ops(b"}"))]), "PERSID"),
    ("two pickles", _ops(b"}") * 2, "more than a pickle"),
    ("values left", _ops(b"}}"), "leaves values behind"),
    ("a mark left", _ops(b"(}"), "leaves values behind"),
    ("no mark", _ops(b"Nt"), "a mark where none is"),
    ("below a mark", _ops(b"N(\x85"), "takes a value where none is"),
    ("TUPLE2 of one", _ops(b"N\x86"), "takes a value where none is"),
    ("REDUCE of nothing", _ops(b"R"), "takes a value where none is"),
    ("BINGET unknown", _ops(b"h\x07"), "its value 7 before it is there"),
    ("LONG_BINGET of 2**31", _ops(b"j\0\0\0\x80"), "its value 2147483648 before"),
    ("LONG_BINPUT of 2**31", _ops(b"}r\0\0\0\x80"), "keeps a value as number 2147483648"),
    ("BINPUT twice", _ops(b"}q\1q\1"), "keeps a value as number 1"),
    ("BINPUT of nothing", _ops(b"q\1"), "takes a value where none is"),
    ("MEMOIZE over", _ops(b"}q\1\x94"), "keeps a value as number 1"),
    ("DUP", _ops(b"}2"), "the opcode DUP"),
    ("POP", _ops(b"}}0"), "the opcode POP"),
    ("POP_MARK", _ops(b"}(1"), "the opcode POP_MARK"),
    ("EMPTY_SET", _ops(b"\x8f"), "the opcode EMPTY_SET"),
    ("ADDITEMS", _ops(b"\x8f(N\x90"), "the opcode EMPTY_SET"),
    ("FROZENSET", _ops(b"(N\x91"), "the opcode FROZENSET"),
    ("STRING", _ops(b"S'a'\n"), "the opcode STRING"),
    ("UNICODE", _ops(b"Va\n"), "the opcode UNICODE"),
    ("GET", _ops(b"g0\n"), "the opcode GET"),
    ("DICT", _ops(b"(d"), "the opcode DICT"),
    ("bytes", _ops(b"C\1a"), "the opcode SHORT_BINBYTES"),
    ("text that is none", _ops(b"X\1\0\0\0\xff"), "not UTF-8"),
    ("laced value", _ops(_LACED), "not a tuple"),
    ("laced key", _ops(b"}(" + _LACED + b"Nu"), "the key a tuple"),
    ("laced call", _ops(_LACED + b")R"), "to call a tuple"),
    ("laced storage", _ops(_LACED + b"Q"), "the persistent object a tuple"),
    ("itself", _ops(b"}q\0" + text("a") + b"h\0s"), "of which 'a' is a dict"),
]
_WHOLE = [
    ("a number", dumps(5), "not 5"),
    ("a string", dumps("os.system"), "not 'os.system'"),
    ("a tensor", dumps(TENSOR), "not a tensor"),
    ("a list of tensors", dumps([TENSOR]), "not a list"),
    ("a training's state", dumps({"model": {"a": TENSOR}, "epoch": 3}), "keys ['model', 'epoch']"),
    ("an unknown wrapper", dumps({"model": {"a": TENSOR}}), "'model' is a dict"),
    (
        "two wrappers",
        dumps({"state_dict": {"state_dict": {"a": TENSOR}}}),
        "'state_dict' is a dict",
    ),
    ("a wrapper and more", dumps({"state_dict": {"a": TENSOR}, "epoch": 3}), "'epoch']"),
    ("a wrapped number", dumps({"state_dict": {"a": TENSOR, "b": 3}}), "'b' is 3"),
    ("a number beside", dumps({"a": TENSOR, "step": 7}), "'step' is 7"),
    ("None beside", dumps({"a": TENSOR, "_extra_state": None}), "'_extra_state' is None"),
    ("a storage", dumps({"a": _STORAGE}), "'a' is a storage"),
    ("a name", dumps({"a": FLOATS}), "'a' is torch.FloatStorage"),
]

CASES: list[Case] = [
    *_IMPORTED,
    *_MADE,
    *_CALLED,
    *_PERSISTENT,
    *_DICTS,
    *_SIZES,
    *_MACHINE,
    *_WHOLE,
]
