"""Stands in a bundle for NumPy's linear algebra (``numpy.linalg``), which no model here uses."""

from __future__ import annotations


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"numpy must be whole for {name}, not as in this bundle, without its linear algebra: make "
        "the bundle with --whole-numpy"
    )
