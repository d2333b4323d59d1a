"""Writes a model as Hugging Face reads it: ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file


def save_checkpoint(
    path: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write ``config`` (Hugging Face's keys) and ``tensors`` (its names) to the folder ``path``.

    The folder is made where it is missing. Each file appears whole or not at all.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    partial = weights.with_name(weights.name + ".partial")
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    save_file(arrays, str(partial), metadata={"format": "pt"})
    os.replace(partial, weights)
    write_config(folder, config)


def write_config(path: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
    """Write ``config.json`` to the folder ``path``; it appears whole or not at all."""
    file = Path(path) / "config.json"
    partial = file.with_name(file.name + ".partial")
    partial.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, file)
