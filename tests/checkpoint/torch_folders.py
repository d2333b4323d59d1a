"""Checkpoints with ``pytorch_model.bin``: what its tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint.torch_writer import Saved, saved
from support import TINY, batch_for, draw_tensors, main_output, make_folder

import pyroberta

BIN = "pytorch_model.bin"
FORMATS: dict[str, Callable[[Saved], bytes]] = {"zip": Saved.zip, "older": Saved.legacy}
IDS = [[0, 5, 6, 2, 9], [0, 7, 2, 3, 4]]
QUERY = "roberta.encoder.layer.1.attention.self.query.weight"

every_format = pytest.mark.parametrize("form", FORMATS)


def bin_folder(path: Path, architecture: str, form: str, **changes: Any) -> Path:
    """``make_folder`` with the weights in ``pytorch_model.bin``."""
    make_folder(path, architecture, **changes)
    (path / "model.safetensors").unlink()
    state = saved(draw_tensors(TINY | changes, architecture))
    (path / BIN).write_bytes(FORMATS[form](state))
    return path


def answer(path: Path, **options: Any) -> bytes:
    model = pyroberta.from_pretrained(path, **options)
    return main_output(model(batch_for(model.architecture, IDS))).tobytes()
