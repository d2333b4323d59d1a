"""Checkpoints made into others: safetensors of any weights, RoBERTa of BERT, fewer words."""

from __future__ import annotations

from .folder import Converted, convert_folder
from .shrink import OtherTexts, Shrunk, shrink

__all__ = ["Converted", "OtherTexts", "Shrunk", "convert_folder", "shrink"]
