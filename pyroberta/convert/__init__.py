"""Checkpoints made into others: safetensors of any weights, RoBERTa of BERT."""

from __future__ import annotations

from .folder import Converted, convert_folder

__all__ = ["Converted", "convert_folder"]
