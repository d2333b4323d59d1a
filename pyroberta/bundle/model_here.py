"""Stands in a bundle for ``pyroberta.shipped``: its model answers without a path."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "model"
