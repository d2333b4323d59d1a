"""The vectors of each build that runs here; without a C++ compiler test_builds.py skips for all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from vec.compiled import Vectors, builds, compiler, runs_here, vectors_here
from vec.numbers import reseed

collect_ignore_glob = [] if compiler() else ["test_[!b]*.py"]


@pytest.fixture(params=[build for build in builds() if runs_here(build)])
def vectors(request: pytest.FixtureRequest) -> Vectors:
    """The operations of each build in turn, over csrc/vec as it stands."""
    return vectors_here()[request.param]


@pytest.fixture(autouse=True)
def hard_numbers() -> Iterator[None]:
    """The same ones in each test; NumPy may overflow, and take NaN, as the vectors do."""
    reseed()
    with np.errstate(all="ignore"):
        yield
