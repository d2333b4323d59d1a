"""A process and the pipe to it: one JSON object a line each way, one question at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import ROOT

Answers = Mapping[str, Callable[..., dict[str, Any]]]


class ChildFailed(Exception):
    """A child ended, or answered with an error; the message has its last words."""


class Child:
    """A Python module run as a process of its own.

    Args:
        arguments: what follows ``python -m``.
        environment: variables set for it, beside those of this process.
        cpus: the CPUs it may run on.
        log: the file that its stderr (and stray prints) go to.
        python: another one than this process's.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        cpus: Sequence[int],
        log: Path,
        python: Path | None = None,
    ) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with _running_on(cpus), log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(python or sys.executable), "-m", *arguments],
                cwd=ROOT,
                env=os.environ | dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ask(self, question: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a question. Raises ChildFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"ask": question} | arguments) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildFailed(self._last_words()) from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line that the child writes. Raises ChildFailed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise ChildFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildFailed(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        code = self._process.returncode
        return f"exit status {code}: " + (lines[-1] if lines else "no message")


@contextlib.contextmanager
def _running_on(cpus: Sequence[int]) -> Any:
    """Children started here inherit these CPUs from their first instruction on."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def take_stdout() -> Any:
    """The child's end of the pipe. What libraries print goes to stderr from here on."""
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return pipe


def serve(pipe: Any, answers: Answers) -> None:
    """Answer questions until the parent hangs up; the first line says that we are ready."""
    print(json.dumps({"ready": True}), file=pipe, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        try:
            answer = answers[message.pop("ask")](**message)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=pipe, flush=True)


def settle(least: float = 0.02, most: float = 1.0) -> float:
    """Sleep until this process's threads have stopped spinning; gives the seconds that it took.

    Thread pools spin for a while after a call, which would slow whoever comes next. Under a tenth
    of one CPU over a slice counts as quiet.
    """
    begin = time.monotonic()
    while True:
        used = time.process_time()
        time.sleep(least)
        waited = time.monotonic() - begin
        if time.process_time() - used < least / 10 or waited > most:
            return waited
