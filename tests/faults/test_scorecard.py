"""The lines of .ci/scorecard: some whole, those of thousands of cases by a part of them."""

import os
import signal
import sys
from pathlib import Path

import pytest
from faults import scorecard
from faults.judge import Case, judge, run_cases
from support import needs_core

from pyroberta import ConfigError, InputError

pytestmark = [
    needs_core,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc and /dev/zero are Linux's"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    pytest.importorskip("tokenizers")
    return scorecard.Folders(Path(tmp_path_factory.mktemp("scorecard")))


@pytest.mark.parametrize(
    ("line", "every", "least"),
    [
        ("hostile files", 1, 200),
        ("configurations", 1, 300),
        ("arrays", 1, 200),
        ("cut at every byte", 37, 1000),
        ("bits turned", 7, 700),
    ],
)
def test_nothing_fails(line, every, least, folders):
    cases = list(scorecard.LINES[line](folders))[::every]
    assert len(cases) >= least
    verdicts = run_cases(cases)
    assert len(verdicts) == len(cases)
    assert {name: said for name, said in verdicts.items() if said != "right"} == {}


def raises(error):
    def run():
        raise error

    return run


def endless():
    while True:
        pass


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case("", raises(ConfigError("hidden_size must be")), says="hidden_size"), "right"),
        (Case("", raises(ConfigError("hidden_size must be")), says="vocab_size"), "raw or unclear"),
        (Case("", raises(InputError("a" * 3000))), "raw or unclear"),
        (Case("", raises(KeyError("a"))), "raw or unclear"),
        (Case("", raises(OSError(5, "no name"))), "raw or unclear"),
        (Case("", raises(OSError(5, "a name", "file"))), "right"),
        (Case("", raises(SystemExit(1))), "raw or unclear"),
        (Case("", lambda: 1), "wrongly accepted"),
        (Case("", lambda: 1, wanted=1), "right"),
        (Case("", lambda: 2, wanted=1), "wrongly accepted"),
    ],
)
def test_the_judge_tells_failures_from_what_is_right(case, said):
    assert judge(case).startswith(said)


def test_a_case_that_dies_or_hangs_is_one_verdict_among_others(monkeypatch):
    monkeypatch.setattr("faults.judge.SECONDS", 1)
    good = raises(ConfigError("must"))
    cases = [Case("a", good), Case("b", dies), Case("c", endless), Case("d", good)]
    assert run_cases(cases) == {"a": "right", "b": "crashed: -9", "c": "hung", "d": "right"}
