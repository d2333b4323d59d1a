"""The small trained checkpoint that comes with the package, so that a task runs without a path."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parent
