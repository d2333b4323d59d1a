"""Files that are not what their names say."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .judge import ANY, REFUSED, Case

_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
_DEEP = b"[" * 200_000
# What may stand in the place of any file: how it is made.
_IN_PLACE: dict[str, Callable[[Path], Any]] = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "/dev/zero": lambda file: file.symlink_to("/dev/zero"),
    "a link to nothing": lambda file: file.symlink_to("nothing"),
    "a link to itself": lambda file: file.symlink_to(file.name),
    "a git-lfs pointer": lambda file: file.write_bytes(_LFS),
    "nothing in it": lambda file: file.write_bytes(b""),
    "zeros": lambda file: file.write_bytes(bytes(4096)),
    "bytes of 255": lambda file: file.write_bytes(b"\xff" * 4096),
    "deep JSON": lambda file: file.write_bytes(_DEEP),
    "JSON of another kind": lambda file: file.write_bytes(b"[1, 2]"),
    "a number": lambda file: file.write_bytes(b"9" * 5000),
}


def cases(folder: Path, shipped: Path, packed: Path, torch_file: bytes) -> Iterator[Case]:
    """Every file of a folder in each way, then headers, indexes, JSON and tokenizers."""
    yield from _places(folder / "places", shipped, packed, torch_file)
    yield from _headers(folder / "headers", shipped)
    yield from _indexes(folder / "indexes", shipped)
    yield from _json(folder / "json", shipped)


def _ask(folder: Path) -> Callable[[], str]:
    """Opens a folder as people do, and asks it something."""

    def run() -> str:
        from pyroberta import pipeline

        return str(pipeline("fill-mask", folder)("Paris is the <mask> of France."))

    return run


def _copy(of: Path, to: Path) -> Path:
    shutil.copytree(of, to)
    return to


def _places(folder: Path, shipped: Path, packed: Path, torch_file: bytes) -> Iterator[Case]:
    beside = {
        "model.safetensors.index.json": b'{"weight_map": {}}',
        "pytorch_model.bin": torch_file,
        "pytorch_model.bin.index.json": b'{"weight_map": {}}',
    }
    files = ["config.json", "model.safetensors", "tokenizer.json", *beside, "packed"]
    for file in files:
        for way, make in _IN_PLACE.items():
            own = _copy(
                packed if file == "packed" else shipped, folder / f"{file} {way}".replace("/", "-")
            )
            if file in beside:  # else the other would be read
                (own / "model.safetensors").unlink()
            place = own / ("model.packed.safetensors" if file == "packed" else file)
            if os.path.lexists(place):
                place.unlink()
            make(place)
            yield Case(f"{file}: {way}", _ask(own))


def _headers(folder: Path, shipped: Path) -> Iterator[Case]:
    data = (shipped / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    one, other = names[0], names[1]
    entry = header[one]

    def with_entry(**new: Any) -> bytes:
        return json.dumps(header | {one: entry | new}).encode()

    begin, end = entry["data_offsets"]
    texts: dict[str, bytes] = {
        "a name twice": json.dumps(header)[:-1].encode()
        + f', "{one}": {json.dumps(entry)}}}'.encode(),
        "a key twice": json.dumps(header)
        .encode()
        .replace(b'"dtype"', b'"dtype": "F32", "dtype"', 1),
        "no object": b"[]",
        "text before": b" " + json.dumps(header).encode(),
        "a byte-order mark": b"\xef\xbb\xbf" + json.dumps(header).encode(),
        "UTF-16": json.dumps(header).encode("utf-16"),
        "a lone surrogate": json.dumps(header | {"\ud800": entry}).encode(),
        "a million names": json.dumps(
            header
            | {
                f"e{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
                for n in range(10**6)
            }
        ).encode(),
        "deep": _DEEP,
        "metadata of numbers": json.dumps(header | {"__metadata__": {"format": 1}}).encode(),
        "metadata of lists": json.dumps(header | {"__metadata__": []}).encode(),
        "no tensors": b"{}",
        "one less": json.dumps({k: v for k, v in header.items() if k != one}).encode(),
        "two at one place": with_entry(data_offsets=header[other]["data_offsets"]),
        "backwards": with_entry(data_offsets=[end, begin]),
        "a hole": with_entry(data_offsets=[begin + 1, end]),
        "beyond the end": with_entry(data_offsets=[begin, end + 2**40]),
        "without dtype": json.dumps(
            header | {one: {"shape": [1], "data_offsets": [0, 4]}}
        ).encode(),
        "with more": with_entry(more=1),
        "an entry that is null": json.dumps(header | {one: None}).encode(),
        "an entry that is a list": json.dumps(header | {one: [1]}).encode(),
    }
    for n, value in enumerate((-1, 1.0, True, "1", None, [], 2**63, 2**64, 10**400, float("nan"))):
        texts[f"an offset {n}"] = with_entry(data_offsets=[value, end])
        texts[f"an end {n}"] = with_entry(data_offsets=[begin, value])
        texts[f"a size {n}"] = with_entry(shape=[value])
        texts[f"two sizes {n}"] = with_entry(shape=[value, 2**62])
    for n, value in enumerate(("f32", "F33", "", "I32", "BOOL", "F64", 1, None, [], "F4")):
        texts[f"a dtype {n}"] = with_entry(dtype=value)
    texts["a rank of 5000"] = with_entry(shape=[1] * 5000)
    for name, text in texts.items():
        own = _copy(shipped, folder / name)
        (own / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
        yield Case(f"header: {name}", _ask(own))
    for n, said in enumerate((0, 1, 7, length - 1, length + 1, len(data), 2**31, 2**63, 2**64 - 1)):
        own = _copy(shipped, folder / f"length {n}")
        (own / "model.safetensors").write_bytes(struct.pack("<Q", said) + data[8:])
        yield Case(f"header: a length of {said}", _ask(own))


def _indexes(folder: Path, shipped: Path) -> Iterator[Case]:
    values: tuple[Any, ...] = (
        *("../model.safetensors", "/etc/passwd", "", ".", "..", "a/b", "nothing", "a\0b", "\ud800"),
        *("a" * 300, 1, None, [], {}, True, "model.safetensors.index.json", "config.json"),
    )
    for n, shard in enumerate(values):
        own = _copy(shipped, folder / f"shard {n}")
        (own / "model.safetensors").rename(own / "model-1.safetensors")
        names = {"lm_head.bias": shard, "lm_head.dense.bias": "model-1.safetensors"}
        (own / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
        yield Case(f"index: a shard {n}", _ask(own))
    for n, index in enumerate(
        ({}, {"weight_map": 1}, {"weight_map": []}, {"weight_map": None}, [])
    ):
        own = _copy(shipped, folder / f"index {n}")
        (own / "model.safetensors").unlink()
        (own / "model.safetensors.index.json").write_text(json.dumps(index))
        yield Case(f"index: {index}", _ask(own))


def _json(folder: Path, shipped: Path) -> Iterator[Case]:
    """config.json and the tokenizer's files with one value of another kind."""
    config = (shipped / "config.json").read_text()
    for n, text in enumerate(
        (
            config.replace("{", '{"hidden_size": 4, ', 1),
            config.replace("{", '{"num_attention_heads": 1, ', 1),
            config.replace("{", '{"architectures": ["RobertaModel"], ', 1),
            config + "{}",
            "\ufeff" + config,
            config.rstrip().rstrip("}"),
            config + " " * 2**25,
        )
    ):
        own = _copy(shipped, folder / f"config {n}")
        (own / "config.json").write_text(text)
        wanted = ANY if text.startswith("\ufeff") else REFUSED  # a byte-order mark does no harm
        yield Case(f"config.json: {n}", _ask(own), wanted)
    tokenizer = json.loads((shipped / "tokenizer.json").read_text())
    values: tuple[Any, ...] = (None, 1, "x", [], {}, [None], {"type": "no such"}, {"type": None})
    for key in tokenizer:
        for n, value in enumerate(values):
            own = _copy(shipped, folder / f"{key} {n}")
            (own / "tokenizer.json").write_text(json.dumps(tokenizer | {key: value}))
            yield Case(f"tokenizer.json: {key} {n}", _ask(own), wanted=ANY)
    settings = json.loads((shipped / "tokenizer_config.json").read_text())
    for key in settings:
        for n, value in enumerate((None, -1, 1e999, "\ud800", [], [None], {"content": 1}, True)):
            own = _copy(shipped, folder / f"settings {key} {n}")
            (own / "tokenizer_config.json").write_text(json.dumps(settings | {key: value}))
            yield Case(f"tokenizer_config.json: {key} {n}", _ask(own), wanted=ANY)
