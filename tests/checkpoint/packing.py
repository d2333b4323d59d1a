"""Packed models: what the tests of the packed file share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import CLASSES, TINY, batch_for, make_folder

import pyroberta
from pyroberta import CheckpointError, RobertaForCausalLM, kernels
from pyroberta.checkpoint import PACKED_FILE

needs_core = pytest.mark.skipif(
    not kernels.has_core(), reason="only the compiled extension packs and reads packed files"
)

IDS = [[0, 5, 6, 2, 9], [0, 7, 2, 3, 4]]
LM = "for_masked_language_modeling"
CAUSAL = RobertaForCausalLM.architecture
ALL = CLASSES | {CAUSAL: RobertaForCausalLM}


def causal_folder(path: Path, **changes: Any) -> Path:
    """A causal model with cross attention and a decoder of its own."""
    hf = TINY | {"add_cross_attention": True, "tie_word_embeddings": False} | changes
    config = pyroberta.RobertaConfig.from_hf(hf, initializer_range=0.5)
    RobertaForCausalLM.from_config(config, seed=1).save_pretrained(path)
    return path


def folder_of(path: Path, architecture: str, **changes: Any) -> Path:
    if architecture == CAUSAL:
        return causal_folder(path, **changes)
    return make_folder(path, architecture, **changes)


def pack(folder: Path, out: Path, **options: Any) -> Path:
    pyroberta.from_pretrained(folder, **options).save_packed(out)
    return out


def bits(model: Any, ids: Any = IDS) -> list[tuple[Any, ...]]:
    """Every array that a call gives: its dtype, its shape, its bytes."""
    options: dict[str, Any] = {"output_hidden_states": True, "output_attentions": True}
    if model.config.use_cross_attention:
        rng = np.random.default_rng(7)
        shape = (len(ids), 3, model.config.hidden_size)
        options["encoder_hidden_state"] = rng.standard_normal(shape).astype(np.float32)
    output = model(batch_for(model.architecture, ids), **options)
    arrays: list[Any] = []
    for value in vars(output).values():
        arrays += value if isinstance(value, tuple) else [value]
    assert len(arrays) > 5
    found = [a for a in arrays if isinstance(a, np.ndarray)]
    return [(a.dtype, a.shape, a.tobytes()) for a in found]


def refused(folder: Path, message: str, **options: Any) -> None:
    """Opening the folder is an error of this package that says so, mapped or read."""
    for mapped in (True, False):
        with pytest.raises(CheckpointError, match=message):
            pyroberta.from_pretrained(folder, memory_map=mapped, **options)


def edit_header(folder: Path, change: Callable[[dict[str, Any]], Any], spaces: int = 0) -> None:
    """Change the header of a packed file; the data begin so many bytes after a page."""
    file = folder / PACKED_FILE
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 4096 + spaces)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def edit_shapes(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Replace the shapes that a packed file gives of what stands in its packed tensors."""

    def change_header(header: dict[str, Any]) -> None:
        metadata = header["__metadata__"]
        metadata["shapes"] = json.dumps(change(json.loads(metadata["shapes"])))

    edit_header(folder, change_header)


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
