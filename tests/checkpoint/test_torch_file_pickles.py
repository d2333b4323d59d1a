"""Hostile pickles in ``pytorch_model.bin``: each is refused by what it wanted, and nothing runs."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint.hostile_pickles import CANARY, CASES
from checkpoint.torch_writer import Saved, View, archive, dumps, saved

from pyroberta import CheckpointError
from pyroberta.checkpoint.torch_file import read_torch_file

CASES_OF = [case[1:] for case in CASES]
IDS = [case[0] for case in CASES]
SAVED = saved({"a": np.arange(6, dtype=np.float32).reshape(2, 3)})

# What Python tells of: a hook cannot be taken out again, so there is one, which mostly sleeps.
_WATCHED = (
    "exec",
    "compile",
    "import",
    "open",
    "os.",
    "subprocess.",
    "pickle.",
    "marshal.",
    "ctypes.",
)
_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is not None and event.startswith(_WATCHED):
        _seen.append(f"{event} {arguments[0] if arguments else ''}")


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Whatever is opened, imported, compiled or executed within."""
    global _seen
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None


def check_refused(file: Path, wanted: str) -> None:
    """The file is refused by ``wanted``, within seconds, and nothing but it was opened or run."""
    begin = time.process_time()
    with watched() as events, pytest.raises(CheckpointError) as caught:
        read_torch_file(file)
    assert time.process_time() - begin < 10
    message = str(caught.value)
    assert wanted in message
    assert message.startswith(f"{file} must ")
    assert len(message) < 1000
    assert {event for event in events if not re.fullmatch(r"open \d+", event)} == {f"open {file}"}
    assert not Path(CANARY).exists()


@pytest.mark.parametrize(
    ("pickle", "wanted"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_hostile_pickle_is_refused_by_what_it_wanted(pickle, wanted, tmp_path):
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(archive(SAVED.entries(pickle)))
    check_refused(file, wanted)


PLACES = ["magic", "version", "system", "state", "keys"]


ANYWHERE = [
    "os.system-2", "builtins.eval-4", "INST", "OBJ", "NEWOBJ", "EXT1", "PERSID", "id of nothing",
    "call a string", "BUILD a class", "laced value", "protocol 6", "BINUNICODE8 of 2**60",
    "nothing", "LONG4 of 2**31", "10**6 marks", "BINGET unknown", "DUP"
]  # fmt: skip


@pytest.mark.parametrize("at", range(5), ids=PLACES)
@pytest.mark.parametrize("name", ANYWHERE)
def test_a_hostile_pickle_is_refused_wherever_it_stands_in_an_older_file(name, at, tmp_path):
    file = tmp_path / "pytorch_model.bin"
    sound = [dumps(0x1950A86A20F9469CFC6C), dumps(1001), dumps({"little_endian": True})]
    sound += [dumps(SAVED.value(legacy=True)), dumps(["0"])]
    pickle = next(case[1] for case in CASES if case[0] == name)
    numbers = (6).to_bytes(8, "little") + SAVED.storages["0"].tobytes()
    file.write_bytes(b"".join(sound[:at]) + pickle + b"".join(sound[at + 1 :]) + numbers)
    check_refused(file, "")


def test_the_watch_sees_what_a_pickle_of_pythons_would_do(tmp_path):
    """Else the tests above would pass whatever happens."""
    import pickle

    file = tmp_path / "seen"
    with watched() as events:
        pickle.loads(dumps({"a": [f"open({str(file)!r}, 'w')"]}))
        eval(compile(f"open({str(file)!r}, 'w').close()", "a", "eval"))
    assert file.exists()
    assert any(event.startswith("open") for event in events)
    assert any(event.startswith("exec") for event in events)


def test_there_are_sixty_hostile_pickles_and_more():
    assert len(CASES) > 150
    assert len({case[1] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_a_pickle_cut_at_any_byte_is_refused(protocol, tmp_path):
    file = tmp_path / "pytorch_model.bin"
    views = {**SAVED.views, "b": View("0", (3, 2), (1, 3)), "c": View("0", (6,), (1,))}
    pickle = dumps(Saved(SAVED.storages, views).value(legacy=False), protocol)
    for keep in range(len(pickle)):
        file.write_bytes(archive(SAVED.entries(pickle[:keep])))
        with pytest.raises(CheckpointError, match=f"^{file} must hold a state dict"):
            read_torch_file(file)
    file.write_bytes(archive(SAVED.entries(pickle)))
    assert set(read_torch_file(file)) == {"a", "b", "c"}
