"""The command ``pyroberta``: a file for each of its commands."""

from __future__ import annotations

from .command import main

__all__ = ["main"]
