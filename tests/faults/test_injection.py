"""Each call that can fail does so once, and once for good: see injection.py."""

import shutil
import sys

import pytest
from faults import injection
from support import needs_core

pytestmark = [
    needs_core,
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and /proc are Linux's"),
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler to build faults.so"),
]
# The kinds that each task meets at all.
MEETS = {
    "load": {"allocate", "read", "map", "open", "thread"},
    "load_packed": {"allocate", "read", "map", "open", "thread"},
    "call": {"allocate", "thread"},
    "generate": {"allocate", "thread"},
    "save": {"write", "sync", "rename", "open"},
    "pack": {"write", "sync", "rename", "open"},
    "embed": {"allocate", "read", "map", "open", "thread"},
}


@pytest.mark.parametrize("task", injection.TASKS)
def test_every_fault_ends_in_the_usual_result_or_a_clear_error(task, tmp_path):
    if task == "embed":
        pytest.importorskip("tokenizers")
    found = injection.run(tmp_path, task)[task]
    for kind, counts in found.items():
        faults = counts.pop("faults")
        assert not any(counts.values()), (kind, counts)
        assert (faults > 0) == (kind in MEETS[task]), (kind, faults)
