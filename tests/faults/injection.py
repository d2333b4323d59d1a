"""Every allocation, read, map, write, rename and new thread fails once, and once for good.

    python injection.py FOLDER      prints one JSON object: for each task and kind the counts

Runs with ``faults.so`` preloaded (``build`` makes it). A task is done again and again, its n-th
call of a kind failing, until there is no n-th. Each time it has to end in its usual result, or in
an error that names what failed; a folder that it was to replace is then the old one or the new.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KINDS = ("allocate", "read", "map", "write", "sync", "rename", "open", "thread")
COUNTS = ("faults", "crashed", "wrong", "unclear", "lost")
SIZES = {
    "vocab_size": 100,
    "num_blocks": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_positions": 66,
    "initializer_range": 0.3,
}
IDS = [[0, 5, 6, 2], [0, 7, 8, 2]]


def build(folder: Path) -> Path:
    """The library to preload, compiled into ``folder``. Raises OSError without a C++ compiler."""
    library = folder / "faults.so"
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    options = [
        "-std=c++17",
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        library,
        HERE / "faults.cpp",
        "-ldl",
        "-lpthread",
    ]
    subprocess.run([*compiler, *options], check=True, capture_output=True, text=True)
    return library


def run(folder: Path, tasks: str = "") -> dict[str, dict[str, dict[str, int]]]:
    """The counts for each task and kind, in a process of its own; one that dies is a crash."""
    library = build(folder)
    environment = os.environ | {"LD_PRELOAD": str(library), "PYROBERTA_NUM_THREADS": "2"}
    found = {}
    for task in tasks.split() or TASKS:
        found[task] = {}
        for kind in KINDS:
            line = [sys.executable, __file__, str(folder / f"{task}-{kind}"), task, kind]
            done = subprocess.run(
                line, env=environment, capture_output=True, text=True, timeout=600
            )
            if done.returncode == 0:
                found[task][kind] = json.loads(done.stdout.splitlines()[-1])
            else:
                found[task][kind] = dict.fromkeys(COUNTS, 0) | {"crashed": 1}
                print(task, kind, done.returncode, done.stderr[-2000:], file=sys.stderr)
    return found


class World:
    """Folders to work on, and the usual results."""

    def __init__(self, folder: Path) -> None:
        import pyroberta as p

        self.p = p
        self.folder = folder
        self.model = p.RobertaForCausalLM.from_config(p.RobertaConfig(**SIZES), seed=0)
        other = p.RobertaForCausalLM.from_config(
            p.RobertaConfig(**SIZES | {"num_attention_heads": 2}), seed=1
        )
        self.checkpoint, self.packed = folder / "checkpoint", folder / "packed"
        self.model.save_pretrained(self.checkpoint)
        self.model.save_packed(self.packed)
        self.old = folder / "old", folder / "old-packed"
        other.save_pretrained(self.old[0])
        other.save_packed(self.old[1])
        self.target, self.packed_target = folder / "target", folder / "packed-target"
        self.usual = self.call()

    def load(self) -> Any:
        model = self.p.from_pretrained(self.checkpoint)
        return model(IDS).logits

    def load_packed(self) -> Any:
        return self.p.from_pretrained(self.packed)(IDS).logits

    def call(self) -> Any:
        return self.model(IDS).logits

    def generate(self) -> Any:
        return self.model.generate(IDS, max_new_tokens=3, strategy="beam", num_beams=2)

    def save(self) -> Any:
        self.model.save_pretrained(self.target)

    def pack(self) -> Any:
        self.model.save_packed(self.packed_target)

    def embed(self) -> Any:
        sentence = self.p.pipeline("sentence-embedding")
        return sentence(["a word", "two words"])

    def reset(self) -> None:
        for target, old in zip((self.target, self.packed_target), self.old, strict=True):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(old, target)


TASKS = ("load", "load_packed", "call", "generate", "save", "pack", "embed")


def digest(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def try_all(world: World, task: str, kind: str) -> dict[str, int]:
    library = ctypes.CDLL(None)
    number = KINDS.index(kind) + 1
    # What Python itself imports and opens belongs to no task: once before all.
    action: Callable[[], Any] = getattr(world, task)
    world.reset()
    wanted = action()
    new = digest(world.target), digest(world.packed_target)
    world.reset()
    old = digest(world.target), digest(world.packed_target)
    where = str(world.folder) if task != "embed" else str(Path(world.p.__file__).parent / "shipped")
    counts = dict.fromkeys(COUNTS, 0)
    for sign in (1, -1):
        n = 1
        while True:
            world.reset()
            got: Any = None
            error: BaseException | None = None
            library.faults_arm(number, sign * n, where.encode())
            try:
                got = action()
            except BaseException as caught:
                error = caught
            fired = library.faults_disarm() >= n
            if not fired:
                break
            counts["faults"] += 1
            judge(counts, kind, where, wanted, got, error)
            for place, before, after in zip(
                (world.target, world.packed_target), old, new, strict=True
            ):
                found = digest(place)
                lost = found not in (before, after)
                lost |= error is not None and found != before and kind != "sync"
                counts["lost"] += lost
            # The model is as it was: the same bits.
            library.faults_disarm()
            counts["wrong"] += not np.array_equal(world.call(), world.usual)
            n += 1
    return counts


def try_threads(world: World, task: str, kind: str) -> dict[str, int]:
    """The same for new threads, each time in a forked child, which has no helpers yet."""
    library = ctypes.CDLL(None)
    action: Callable[[], Any] = getattr(world, task)
    world.reset()
    wanted = action()
    counts = dict.fromkeys(COUNTS, 0)
    for n in (1, 2, 3, -1, -2, -3):
        child = os.fork()
        if child == 0:
            status = 0
            try:
                library.faults_arm(KINDS.index(kind) + 1, n, b"")
                got = action()
                fired = library.faults_disarm() >= abs(n)
                wrong = wanted is not None and not np.array_equal(got, wanted)
                wrong |= not np.array_equal(world.call(), world.usual)
                status = (1 if fired else 0) | (2 if wrong else 0)
            except BaseException as error:
                print(f"{kind}: {type(error).__name__}: {error}", file=sys.stderr)
                status = 1 | (0 if isinstance(error, MemoryError | RuntimeError) else 4)
            finally:
                os._exit(status)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        counts["crashed"] += code < 0
        if code > 0:
            counts["faults"] += code & 1
            counts["wrong"] += code >> 1 & 1
            counts["unclear"] += code >> 2 & 1
    return counts


def judge(
    counts: dict[str, int],
    kind: str,
    where: str,
    wanted: Any,
    got: Any,
    error: BaseException | None,
) -> None:
    """Count what a task that met a fault ended in."""
    if error is None:
        counts["wrong"] += wanted is not None and not np.array_equal(got, wanted)
        return
    if kind == "allocate":
        clear = isinstance(error, MemoryError)
    else:  # the system's error, or one of ours, with the file's name
        clear = isinstance(error, (OSError, ValueError)) and where in str(error)
    if not clear:
        counts["unclear"] += 1
        print(f"{kind}: {type(error).__name__}: {error}", file=sys.stderr)


def main(folder: str, task: str, kind: str) -> None:
    world = World(Path(folder))
    tries = try_threads if kind == "thread" else try_all
    print(json.dumps(tries(world, task, kind)))


if __name__ == "__main__":
    main(*sys.argv[1:])
