"""The fixture that runs a test on each build of the kernels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import BUILDS_HERE, on_build


@pytest.fixture(params=BUILDS_HERE)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Models loaded in the test run on this build: each that runs here."""
    with on_build(request.param):
        yield request.param
