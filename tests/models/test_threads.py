"""A guest in the process: how many threads, forks, callers at once, and what is left untouched."""

from __future__ import annotations

import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from builds import ISAS
from support import (
    CLASSES,
    FASTEST,
    HEADS,
    batch_for,
    main_output,
    make_folder,
    needs_core,
    on_build,
    run_python,
    runs_here,
)

import pyroberta
from pyroberta.checkpoint import Table
from pyroberta.kernels import threads

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="affinity, cgroups and /proc are Linux's"
)
COUNT = "from pyroberta.kernels.threads import default_num_threads as f; print(f())"


def printed(code: str, **environment: str) -> str:
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@on_linux
def test_the_default_follows_the_affinity():
    cpu = min(os.sched_getaffinity(0))
    assert printed(f"import os; os.sched_setaffinity(0, [{cpu}]); {COUNT}") == "1"
    code = f"import os; os.sched_setaffinity(0, [{cpu}]); import pyroberta as p;"
    assert printed(code + "print(p.get_num_threads())", OMP_NUM_THREADS="7") == "1"


@pytest.mark.parametrize("text", ["1", " 1 ", "1,4,2"])
def test_the_default_is_not_above_omp_num_threads(text):
    assert printed(COUNT, OMP_NUM_THREADS=text) == "1"


@pytest.mark.parametrize("text", ["", "0", "-3", "many", "4294967296", "²"])
def test_an_omp_num_threads_that_says_nothing_is_left_aside(text, monkeypatch):
    monkeypatch.delenv("PYROBERTA_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    without = threads.default_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.default_num_threads() == without


@needs_core
def test_our_own_variable_wins_over_all():
    assert printed(COUNT, PYROBERTA_NUM_THREADS="11", OMP_NUM_THREADS="1") == "11"
    code = "import pyroberta as p; print(p.get_num_threads())"
    assert printed(code, PYROBERTA_NUM_THREADS=" 3 ") == "3"


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "1.5", "1,2", "²"])
def test_a_bad_value_of_our_own_variable_is_refused_with_it(text, monkeypatch):
    monkeypatch.setenv("PYROBERTA_NUM_THREADS", text)
    message = f"PYROBERTA_NUM_THREADS must be a whole number in [1, 1024], not {text!r}"
    with pytest.raises(pyroberta.ConfigError, match=re.escape(message)):
        threads.default_num_threads()


@needs_core
def test_the_first_use_of_the_kernels_refuses_a_bad_value():
    code = "import pyroberta; pyroberta.get_num_threads()"
    result = run_python(code, PYROBERTA_NUM_THREADS="two")
    assert result.returncode == 1
    message = "ConfigError: PYROBERTA_NUM_THREADS must be a whole number in [1, 1024], not 'two'"
    assert result.stderr.strip().endswith(message)


@needs_core
def test_an_unknown_build_is_refused_with_the_list_of_what_there_is():
    code = (
        "import pyroberta as p; p.RobertaModel.from_config(p.RobertaConfig(num_blocks=1), seed=0)"
    )
    result = run_python(code, PYROBERTA_ISA="avx3")
    available = ", ".join(pyroberta.kernels.available_isas())
    assert result.returncode == 1
    assert f"ConfigError: PYROBERTA_ISA must be one of {available}, not 'avx3'" in result.stderr


@needs_core
def test_every_build_that_runs_here_can_be_asked_for_by_name():
    for isa in pyroberta.kernels.available_isas():
        code = "from pyroberta.kernels import chosen_isa as f; print(f())"
        assert printed(code, PYROBERTA_ISA=isa) == isa


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", None])
def test_a_number_of_threads_is_a_whole_number_of_at_least_1(n):
    with pytest.raises(pyroberta.InputError, match=f"n must be a whole number in .*, not {n!r}"):
        pyroberta.set_num_threads(n)


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"cpu.max": "150000 100000"}, "0::/", 2),
        ({"cpu.max": "50000 100000"}, "0::/", 1),
        ({"a/b/cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}, "0::/a/b", 3),
        ({"a/b/cpu.max": "200000 100000", "a/cpu.max": "max 100000"}, "0::/a/b", 2),
        ({"cpu.max": "200000 100000"}, "0::/not/in/this/container", 2),
        ({"cpu.max": "broken"}, "0::/", None),
        ({"cpu.max": "100000 0"}, "0::/", None),
        ({"cpu.max": ""}, "0::/", None),
        ({}, "0::/", None),
        ({"cpu.max": "200000 100000"}, "", None),
        (
            {"cpu/x/cpu.cfs_quota_us": "250000", "cpu/x/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/x\n1:name=systemd:/x",
            3,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/", None),
        (
            {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
            "4:cpuset:/x",
            None,
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "200000",
                "cpu/cpu.cfs_period_us": "100000",
                "unified/cpu.max": "max 1",
            },
            "4:cpu:/\n0::/",
            2,
        ),
    ],
)
def test_the_cgroups_quota_is_the_tightest_of_the_path_rounded_up(files, own, expected, tmp_path):
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    (tmp_path / "own").write_text(own + "\n" if own else "")
    assert threads._cgroup_quota(root, tmp_path / "own") == expected


def test_no_cgroup_file_means_no_quota(tmp_path):
    assert threads._cgroup_quota(tmp_path, tmp_path / "absent") is None


def test_the_quota_is_one_of_the_limits(monkeypatch):
    for name in ("PYROBERTA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_affinity", lambda: 8)
    for quota, expected in ((3, 3), (None, 8), (64, 8)):
        monkeypatch.setattr(threads, "_cgroup_quota", lambda quota=quota: quota)
        assert threads.default_num_threads() == expected


@on_linux
def test_import_starts_no_thread_and_brings_neither_torch_nor_tokenizers():
    code = """
import os, sys
before = len(os.listdir("/proc/self/task"))
import numpy
with_numpy = len(os.listdir("/proc/self/task"))
import pyroberta
print(len(os.listdir("/proc/self/task")) - with_numpy)
print([name for name in ("torch", "tokenizers", "transformers") if name in sys.modules])
"""
    assert printed(code).splitlines() == ["0", "[]"]


@on_linux
def test_a_forked_child_answers_with_the_same_bits_and_does_not_hang(tmp_path):
    path = make_folder(tmp_path, "base")
    code = f"""
import os, signal, sys, warnings
import pyroberta
warnings.simplefilter("ignore")  # of the fork in a process with threads: the point of this
pyroberta.set_num_threads(4)
model = pyroberta.from_pretrained({str(path)!r})
ids = [[0, 5, 6, 2]] * 9
bits = model(ids).last_hidden_state.tobytes()
for _ in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        same = model(ids).last_hidden_state.tobytes() == bits
        fresh = pyroberta.from_pretrained({str(path)!r})
        same &= fresh(ids).last_hidden_state.tobytes() == bits
        os._exit(0 if same else 3)
    assert os.waitpid(child, 0)[1] == 0
    assert model(ids).last_hidden_state.tobytes() == bits
print("done")
"""
    assert printed(code) == "done"


# Every head on the build in use; on the others, whose threads are the same, one.
@needs_core
@pytest.mark.parametrize(
    ("isa", "architecture"),
    [*((FASTEST, head) for head in HEADS), *((i, "base") for i in ISAS if runs_here(i))][:-1],
)
def test_one_model_called_by_8_threads_at_once_gives_the_bits_of_one(
    architecture, isa, restored_threads, tmp_path
):
    pyroberta.set_num_threads(2)
    with on_build(isa):
        model = CLASSES[architecture].from_pretrained(make_folder(tmp_path, architecture))
    rng = np.random.default_rng(0)
    batches = [
        batch_for(architecture, rng.integers(2, 37, (int(rows), int(tokens))))
        for rows, tokens in rng.integers(1, 20, (24, 2))
    ]
    expected = [main_output(model(batch)).tobytes() for batch in batches]
    start = threading.Barrier(8)

    def work(seed: int) -> bool:
        start.wait()
        order = np.random.default_rng(seed).permutation(len(batches))
        return all(main_output(model(batches[i])).tobytes() == expected[i] for i in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@needs_core
@on_linux
def test_a_thread_leaves_the_cpus_of_others_and_keeps_its_affinity():
    code = """
import os
from pyroberta import _core
allowed = os.sched_getaffinity(0)
for taken in allowed:
    free = allowed - {taken} or allowed
    for _ in range(50):
        os.sched_setaffinity(0, {taken})
        os.sched_setaffinity(0, allowed)
        assert _core.leave_cpus([-1, taken, 100_000]) in free
        assert os.sched_getaffinity(0) == allowed
assert _core.leave_cpus(sorted(allowed)) in allowed
assert _core.leave_cpus([]) in allowed
assert os.sched_getaffinity(0) == allowed
"""
    printed(code)


@needs_core
@on_linux
@pytest.mark.parametrize("cpus", [1, 2, 1000])
def test_every_thread_keeps_its_affinity_through_calls_and_pauses(cpus):
    # A helper that wakes on its caller's CPU moves to another one, by its affinity.
    code = f"""
import os, time
import numpy as np, pyroberta
wanted = set(sorted(os.sched_getaffinity(0))[:{cpus}])
os.sched_setaffinity(0, wanted)
others = set(os.listdir("/proc/self/task"))  # NumPy's
pyroberta.set_num_threads(3)
sizes = {{"vocab_size": 100, "hidden_size": 192, "num_attention_heads": 4, "max_positions": 66}}
config = pyroberta.RobertaConfig(num_blocks=1, **sizes)
model = pyroberta.RobertaModel.from_config(config, seed=0)
ids = np.full((2, 60), 7)
bits = {{model(ids).last_hidden_state.tobytes() for _ in range(20) if time.sleep(0.002) is None}}
helpers = set(os.listdir("/proc/self/task")) - others
time.sleep(0.1)  # one that came as the last call ended may be between two masks
assert len(bits) == 1 and len(helpers) == 2, (len(bits), helpers)
assert all(os.sched_getaffinity(int(name)) == wanted for name in helpers)
assert os.sched_getaffinity(0) == wanted
"""
    printed(code)


def test_a_bfloat16_table_that_is_widened_gives_other_threads_its_rows(tmp_path):
    """``array`` keeps the widened table: nobody may see its new bits under the old name.

    One thread stops at each line of ``array`` in turn, while another reads.
    """
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    raw = (values.view(np.uint32) >> 16).astype(np.uint16)
    ids = np.arange(4)
    wrong: list[Any] = []
    table = Table(raw, "BF16")

    def look(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code is Table.array.__code__:
            frame.f_trace_opcodes = True
            sys.settrace(None)
            if not np.array_equal(table.rows(ids), values):
                wrong.append(frame.f_lineno)
            sys.settrace(look)
            return look
        return None

    before = sys.gettrace()
    sys.settrace(look)
    try:
        table.array()
    finally:
        sys.settrace(before)
    assert np.array_equal(table.array(), values)
    assert not wrong


def test_the_callers_floating_point_environment_is_left_as_it_was(isa, tmp_path):
    """Subnormal numbers are zero inside our threads, and nowhere else."""
    model = CLASSES["base"].from_pretrained(make_folder(tmp_path, "base"))
    tiny = np.full(64, 1e-40, np.float32)

    def subnormals_live() -> bool:
        return bool((tiny * np.float32(1) > 0).all() and (tiny + tiny > tiny).all())

    assert subnormals_live()
    model([[0, 5, 6, 2]] * 9)
    assert subnormals_live()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: model([[0, 5, 2]]), range(4)))
        assert all(pool.map(lambda _: subnormals_live(), range(4)))
