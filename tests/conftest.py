"""Fixtures for every test: the builds of the kernels, seeded numbers, threads."""

from __future__ import annotations

import os

# NumPy's products on one thread, which it reads as it is loaded: several would wait for the cores
# that the package's helpers hold for a while after a call.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# No test asks the Hub: transformers would, for a tokenizer's folder, and wait for an answer.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import BUILDS_HERE, on_build, runs_here

import pyroberta
from pyroberta import kernels as door


def must_test() -> list[str]:
    """The builds that PYROBERTA_MUST_TEST says this machine is to cover."""
    return os.environ.get("PYROBERTA_MUST_TEST", "").split()


def pytest_sessionstart() -> None:
    """Stop if a build that this machine is meant to cover would only be skipped."""
    missing = [isa for isa in must_test() if not runs_here(isa)]
    if missing:
        pytest.exit(f"PYROBERTA_MUST_TEST names {missing}, which cannot run here", returncode=4)


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run in another folder: processes started here import the installed package, not the tree."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(params=BUILDS_HERE)
def kernels(request: pytest.FixtureRequest) -> Any:
    """Each build of the kernels that runs here, one test run for each.

    ``kernels/test_builds.py`` skips by name for those that do not.
    """
    return door.core().find_kernels(request.param)


@pytest.fixture(params=BUILDS_HERE)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Models loaded in the test run on this build: each that runs here."""
    with on_build(request.param):
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260823)


@pytest.fixture
def restored_threads() -> Iterator[None]:
    """The number of threads of before is put back after the test."""
    before = pyroberta.get_num_threads()
    yield
    pyroberta.set_num_threads(before)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, restored_threads: None) -> Any:
    """Native calls on 1, 2 and 3 threads."""
    pyroberta.set_num_threads(request.param)
    return request.param
