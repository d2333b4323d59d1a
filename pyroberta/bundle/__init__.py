"""The least folder that answers: a model with what it needs of the packages, and nothing else."""

from __future__ import annotations

from .make import Bundle, bundle

__all__ = ["Bundle", "bundle"]
