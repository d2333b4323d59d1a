"""The fixture that runs a test on each build of the kernels."""

from __future__ import annotations

import os

import pytest

from pyroberta import kernels as door


@pytest.fixture(params=["scalar", "avx2", "avx512", "avx512_bf16", "amx"])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Models loaded in the test run on this build; skipped by name where it cannot run.

    Where PYROBERTA_MUST_TEST names the build, it is a failure that it cannot.
    """
    name = request.param
    if not door.has_core() or name not in door.available_isas():
        reason = f"{name} is not built or this CPU cannot run it"
        if name in os.environ.get("PYROBERTA_MUST_TEST", "").split():
            pytest.fail(f"PYROBERTA_MUST_TEST: {reason}")
        pytest.skip(reason)
    monkeypatch.setenv("PYROBERTA_ISA", name)
    return name
