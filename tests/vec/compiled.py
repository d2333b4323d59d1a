"""The vectors of each build, compiled from csrc/vec when the tests run, and called by name."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import support
from builds import builds_of_processor, fuses

HERE = Path(__file__).parent

# .ci/mutate_vec points this at a copy that it has broken.
CSRC = Path(os.environ.get("PYROBERTA_CSRC", HERE.parents[1] / "csrc")).resolve()


def builds() -> dict[str, list[str]]:
    """The builds for processors of this kind, and the compiler's flags for each."""
    return {build.name: list(build.flags) for build in builds_of_processor()}


def runs_here(build: str) -> bool:
    """Whether this CPU runs the build: the one with no flags always, others as the kernels say."""
    return builds().get(build) == [] or support.runs_here(build)


def compiler() -> str | None:
    """The C++ compiler: $CXX, or the first of the usual ones that is there."""
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def vectors_of(build: str) -> list[str]:
    """What csrc/isa/<build>.cpp says of its vectors: as options, their header and macros."""
    text = (CSRC / f"isa/{build}.cpp").read_text()
    header = re.search(r'^#include "(vec/\w+\.h)"', text, re.M)
    assert header, build
    macros = re.findall(r"^#define (\w+)(?: (\w+))?$", text, re.M)
    return [f'-DPYROBERTA_VEC_HEADER="{header[1]}"', *(f"-D{name}={to}" for name, to in macros)]


def compile_cpp(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the compiler with what CMakeLists.txt gives every build, and these arguments."""
    found = compiler()
    assert found
    options = ["-std=gnu++20", "-ffp-contract=off", "-fno-math-errno", "-Wno-psabi", f"-I{CSRC}"]
    return subprocess.run([found, *options, *args], capture_output=True, text=True, check=False)


@functools.cache
def library(source: str, *options: str) -> ctypes.CDLL:
    """A source beside this file, compiled and loaded: once in a process for the same options."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/tested.so"
        done = compile_cpp("-O2", "-fPIC", "-shared", *options, str(HERE / source), "-o", file)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(file)


class Call(ctypes.Structure):
    """``struct Call`` of operations.cpp."""

    _fields_ = (
        ("arrays", ctypes.POINTER(ctypes.c_void_p)),
        ("out", ctypes.c_void_p),
        ("step", ctypes.c_size_t),
        ("numbers", ctypes.POINTER(ctypes.c_size_t)),
        ("count", ctypes.c_size_t),
    )


class Vectors:
    """The operations of one build. Arrays of float32 go in and come out as ``[count, lanes]``."""

    def __init__(self, build: str) -> None:
        self.name = build
        self._library = library("operations.cpp", *builds()[build], *vectors_of(build))
        self.fuses = fuses(build)
        self.lanes = int(self._library.vec_lanes())
        self.dots_bfloat16 = bool(self._library.vec_dots_bfloat16() & 1)
        self.dots_int8 = bool(self._library.vec_dots_int8() & 1)
        self.code_offset = int(self._library.vec_code_offset())
        self._library.edge_of_memory.restype = ctypes.c_void_p
        self._library.faults.restype = ctypes.c_bool

    def __repr__(self) -> str:
        return f"Vectors({self.name!r})"

    def rows(self, *arrays: Any) -> list[np.ndarray]:
        """Arrays of any one shape as rows of lanes, float32, the last row filled up with 1."""
        flat = [np.asarray(a, np.float32).ravel() for a in arrays]
        pad = -flat[0].size % self.lanes
        return [np.append(a, np.ones(pad, np.float32)).reshape(-1, self.lanes) for a in flat]

    def call(
        self,
        operation: str,
        *arrays: np.ndarray | int,
        out: np.ndarray | int,
        step: int,
        numbers: Any = (),
        count: int = 1,
    ) -> bool:
        """Call an operation on ``count`` vectors of arrays or addresses: whether that faults."""
        places = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in (*arrays, out)]
        call = Call(
            (ctypes.c_void_p * len(arrays))(*places[:-1]),
            places[-1],
            step,
            (ctypes.c_size_t * len(numbers))(*numbers),
            count,
        )
        function = getattr(self._library, f"vec_{operation}")
        return bool(self._library.faults(function, ctypes.byref(call)))

    def give(
        self, operation: str, *rows: np.ndarray, numbers: Any = (), each: int | None = None
    ) -> np.ndarray:
        """What an operation gives for each row: ``[count, lanes]``, or ``each`` floats."""
        inputs = [np.ascontiguousarray(a, np.float32) for a in rows]
        out = np.full((len(inputs[0]), each or self.lanes), np.float32(777))
        place = {"out": out, "step": out.strides[0], "count": len(out)}
        assert not self.call(operation, *inputs, numbers=numbers, **place), "memory fault"
        return out

    def lacks(self, operation: str, arguments: int) -> bool:
        """Whether the build has the operation deleted: then nothing is given."""
        out = np.full((1, self.lanes), np.float32(777))
        rows = [np.ones((1, self.lanes), np.float32)] * arguments
        assert not self.call(operation, *rows, out=out, step=0), "memory fault"
        return bool(np.all(out == 777))

    def stored(self, operation: str, *rows: np.ndarray, size: int) -> np.ndarray:
        """What an operation stores for rows of vectors: bytes ``[count, size]``, with 8 more of
        0xA5 before and behind each, which it must not touch."""
        inputs = [np.ascontiguousarray(a, np.float32) for a in rows]
        count, step = len(inputs[0]), size + 16
        out = np.full((count, step), 0xA5, np.uint8)
        to = out.ctypes.data + 8
        assert not self.call(operation, *inputs, out=to, step=step, count=count), "memory fault"
        assert np.all(out[:, :8] == 0xA5), f"{operation} stored before its place"
        assert np.all(out[:, 8 + size :] == 0xA5), f"{operation} stored behind its place"
        return np.ascontiguousarray(out[:, 8 : 8 + size])

    def at_edge(self, values: np.ndarray) -> int:
        """The address of a copy of ``values`` whose end is that of memory: what follows faults."""
        address = self._library.edge_of_memory() - values.nbytes
        ctypes.memmove(address, np.ascontiguousarray(values).ctypes.data, values.nbytes)
        return int(address)


@functools.cache
def vectors_here() -> dict[str, Vectors]:
    """The operations of each build that runs here, compiled side by side at the first call."""
    here = [build for build in builds() if runs_here(build)]
    with ThreadPoolExecutor() as pool:
        return dict(zip(here, pool.map(Vectors, here), strict=True))
