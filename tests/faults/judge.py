"""What came of a case: refused clearly, accepted rightly, or one of five ways to fail."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SECONDS = 20  # of one case
LONGEST = 2000  # characters of an error
FAILURES = ("crashed", "hung", "wrongly accepted", "raw or unclear error")


@dataclass(frozen=True)
class Case:
    """Something that is to be refused, or to be as it always is.

    Attributes:
        name: unique in its line of the scorecard.
        run: does it; what it returns is compared with ``wanted``.
        wanted: ``REFUSED``, or what ``run`` has to return where it is not refused: ``ANY`` is any
            result.
        says: a pattern that the error's text has.
    """

    name: str
    run: Callable[[], Any]
    wanted: Any = "refused"
    says: str = ""


REFUSED, ANY = "refused", "any"


def judge(case: Case) -> str:
    """``"right"`` or one of ``FAILURES``, and what was seen."""
    from pyroberta import CheckpointError, ConfigError, InputError

    try:
        got = case.run()
    except (CheckpointError, ConfigError, InputError, OSError, ImportError) as error:
        text = str(error)
        named = (
            isinstance(error, (CheckpointError, ConfigError, InputError))
            or (isinstance(error, OSError) and error.filename is not None)
            or re.search("must|needs", text)
        )
        if not named or len(text) > LONGEST or not re.search(case.says, text):
            return f"raw or unclear error: {type(error).__name__}: {text[:300]}"
        return "right"
    except _Hung:
        return "hung"
    except BaseException as error:
        return f"raw or unclear error: {type(error).__name__}: {str(error)[:300]}"
    if isinstance(case.wanted, str) and case.wanted == ANY:
        return "right"
    if isinstance(case.wanted, str) and case.wanted == REFUSED:
        return f"wrongly accepted: {str(got)[:200]}"
    return "right" if case.wanted == got else f"wrongly accepted: {str(got)[:200]}"


class _Hung(BaseException):
    pass


def _ring(number: int, frame: Any) -> None:
    raise _Hung


def run_cases(cases: Sequence[Case]) -> dict[str, str]:
    """The verdict on each case, judged in forked children, so that one may die or hang."""
    verdicts: dict[str, str] = {}
    left = list(cases)
    while left:
        with tempfile.TemporaryFile("w+") as out:
            child = os.fork()
            if child == 0:
                _judge_all(left, out.fileno())
            _, status = os.waitpid(child, 0)
            out.seek(0)
            lines = [json.loads(line) for line in out]
        verdicts.update(lines)
        left = left[len(lines) :]
        code = os.waitstatus_to_exitcode(status)
        if left and code:  # it died within the next one
            verdicts[left[0].name] = f"crashed: {code}"
            left = left[1:]
    return verdicts


def _judge_all(cases: Sequence[Case], descriptor: int) -> None:
    """In the child: a line for each case."""
    signal.signal(signal.SIGALRM, _ring)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the tokenizers library prints
    try:
        for case in cases:
            signal.alarm(SECONDS)
            try:
                verdict = judge(case)
            except _Hung:
                verdict = "hung"
            signal.alarm(0)
            os.write(descriptor, (json.dumps([case.name, verdict]) + "\n").encode())
    finally:
        os._exit(0)
