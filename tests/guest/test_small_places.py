"""Where there is little: calls and files of the system, memory; and a package in a zip file."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import sysconfig
import tracemalloc
import zipapp
from pathlib import Path

import pytest

import pyroberta
from pyroberta import cli
from pyroberta.small_json import read_small

PROMPT = "The king lived in a large <mask>."
PACKAGE = Path(pyroberta.__file__).parent
# Where what the package needs is installed: a child in another folder finds the same.
PATHS = os.pathsep.join([str(PACKAGE.parent), *filter(None, sys.path)])
TASK = ["fill-mask", PROMPT]


def run(code: str, *arguments: str, before: list[str] | None = None) -> tuple[int, str, str]:
    """The exit status, the output and the errors of Python running ``code``."""
    environment = {**os.environ, "PYTHONPATH": PATHS, "OPENBLAS_NUM_THREADS": "1"}
    command = [*(before or []), sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_the_package_is_a_program() -> None:
    code = "import runpy, sys; runpy.run_module('pyroberta', run_name='__main__', alter_sys=True)"
    status, out, err = run(code, *TASK)
    assert (status, err) == (0, "")
    assert "place" in out


REFUSE = """
import ctypes, os, sys

class Step(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8),
                ("k", ctypes.c_uint32)]

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("steps", ctypes.POINTER(Step))]

def refuse(number, error=1):
    libc = ctypes.CDLL(None, use_errno=True)
    # Load the number of the call; is it this one: the error; else: go on.
    steps = (Step * 4)(Step(0x20, 0, 0, 0), Step(0x15, 0, 1, number),
                       Step(0x06, 0, 0, 0x00050000 | error), Step(0x06, 0, 0, 0x7FFF0000))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(4, steps)), 0, 0):
        sys.exit(77)

refuse(int(sys.argv[1]))
from pyroberta.cli import main
sys.exit(main(sys.argv[2:]))
"""
CALLS = {"sched_getaffinity": 204, "sched_setaffinity": 203, "madvise": 28, "fsync": 74}


@pytest.mark.skipif(sysconfig.get_platform() != "linux-x86_64", reason="numbers of Linux x86-64")
@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_system_that_is_refused(call: str) -> None:
    status, out, err = run(REFUSE, str(CALLS[call]), *TASK)
    if status == 77:
        pytest.skip("no seccomp filter can be set here")
    assert (status, err) == (0, "")
    assert "place" in out


@pytest.mark.parametrize("gone", ["/sys", "/proc"])
def test_without_what_the_system_says_of_itself(gone: str, tmp_path: Path) -> None:
    before = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {gone} && exec "$@"', "sh"]
    try:
        can = subprocess.run([*before, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        can = False
    if not can:
        pytest.skip("no mount of its own can be had here")
    code = "import sys; from pyroberta.cli import main; sys.exit(main(sys.argv[1:]))"
    status, out, err = run(code, *TASK, before=before)
    assert (status, err) == (0, "")
    assert "place" in out


LIMITED = """
import resource, sys
import numpy
numpy.zeros((2, 2)) @ numpy.zeros((2, 2))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]) * 2**20,) * 2)
from pyroberta.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read the use from")
def test_little_address_space_gives_the_answer_or_the_reason() -> None:
    """From nothing to enough, above what NumPy takes: never a reason that is not memory.

    How Python itself ends, in the midst of its own imports, is not ours: of that nothing is asked.
    """
    answered = []
    for megabytes in (1, 3, 6, 10, 15, 20, 25, 30, 40, 60, 120, 400):
        status, out, err = run(LIMITED, str(megabytes), *TASK)
        if status == 0:
            assert "place" in out
            answered.append(megabytes)
        for wrong in ("pip install", "must be a safetensors", "must be JSON", "must hold"):
            assert wrong not in err, err
    assert 400 in answered


def test_a_package_in_a_zip_file_answers(tmp_path: Path) -> None:
    """On NumPy: no extension can be loaded out of one. What is shipped is unpacked meanwhile."""
    app = tmp_path / "app"
    for file in PACKAGE.rglob("*"):
        if file.is_file() and file.suffix != ".so" and "__pycache__" not in file.parts:
            target = app / "pyroberta" / file.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (app / "__main__.py").write_text(
        "import sys\nfrom pyroberta.cli import main\nsys.exit(main())\n"
    )
    zipapp.create_archive(app, tmp_path / "app.pyz")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p and p != str(PACKAGE.parent)),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, str(tmp_path / "app.pyz"), *TASK],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "place" in done.stdout
    assert "compiled kernels are not in" in done.stderr
    assert not list(tmp_path.glob("pyroberta-*"))  # what was unpacked is gone


def test_numpy_typing_is_for_type_checkers() -> None:
    code = (
        "import sys, numpy; had = 'numpy.typing' in sys.modules; import pyroberta, pyroberta.cli;"
        "import pyroberta.accuracy, pyroberta.trust;"
        "[getattr(pyroberta, name) for name in pyroberta.__all__];"
        "sys.exit('numpy.typing' in sys.modules and not had)"
    )
    status, _, err = run(code)
    assert (status, err) == (0, "")


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has its lock"
)
def test_a_free_threaded_python_stays_one() -> None:
    code = (
        "import sys; from pyroberta.cli import main; status = main(sys.argv[1:]);"
        "import pyroberta._core; sys.exit(status or sys._is_gil_enabled())"
    )
    status, out, err = run(code, *TASK)
    assert (status, err) == (0, "")
    assert "place" in out


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.EIO])
def test_what_the_system_refuses_the_library_is_told_as_that(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise Exception(f"Error while deserializing: {os.strerror(number)} (os error {number})")

    monkeypatch.setattr("safetensors.safe_open", refused)
    with pytest.raises(OSError, match=re.escape("model.safetensors")) as caught:
        pyroberta.from_pretrained(PACKAGE / "shipped")
    assert caught.value.errno == number


def test_a_library_that_is_there_and_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyroberta.text.library import import_tokenizers

    for error, said in (
        (ImportError("failed to map segment"), "cannot be loaded: failed to map segment"),
        (ImportError("undefined symbol"), "cannot be loaded: undefined symbol"),
        (ModuleNotFoundError("No module named 'tokenizers'"), "pip install"),
    ):
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "tokenizers", raising=False)
            patch.setattr(sys, "meta_path", [Refusing(error), *sys.meta_path])
            with pytest.raises(ImportError, match=said):
                import_tokenizers()


class Refusing:
    """Finds no tokenizers, with an error."""

    def __init__(self, error: ImportError) -> None:
        self.error = error

    def find_spec(self, name: str, *_: object) -> None:
        if name == "tokenizers":
            raise self.error


def test_want_of_memory_ends_a_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr("pyroberta.small_json.read_small", refused)
    for command in (TASK, ["info"], ["embed", "-", "--output", "x.npy"]):
        assert cli.main(command) == 2
        err = capsys.readouterr().err
        assert err.startswith("pyroberta: error: memory must be more")
        assert err.count("\n") == 1


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "small.json"
    for size in (10, 1 << 20, (1 << 20) + 1):
        file.write_text(" " * (size - 2) + "{}")
        tracemalloc.start()
        assert len(read_small(file)) == size
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3 * size + (1 << 20) + (1 << 17)  # a piece, and all of them joined


@pytest.mark.parametrize("module", ["zlib", "bz2", "lzma", "ctypes", "ssl", "sqlite3", "resource"])
def test_a_python_without_one_of_its_libraries(module: str) -> None:
    """Pythons are built without what a small place has not."""
    code = (
        "import sys\n"
        "sys.modules[sys.argv[1]] = None\n"
        "from pyroberta.cli import main\n"
        "sys.exit(main(sys.argv[2:]))\n"
    )
    status, out, err = run(code, module, *TASK)
    assert (status, err) == (0, "")
    assert "place" in out
