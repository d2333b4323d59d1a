"""The names of a checkpoint's files, which readers and writers share."""

from __future__ import annotations

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PACKED_FILE = "model.packed.safetensors"
