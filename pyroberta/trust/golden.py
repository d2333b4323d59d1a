"""``golden``: a whole model's inputs, steps and outputs as one folder, for those who port it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config import RobertaConfig
from ..errors import InputError
from .of_texts import open_model, read_rows
from .sums import write_with_sums
from .trace_file import Trace
from .tracing import trace

_README = """# A golden run of {name}

`trace.safetensors` holds every step of the graph for the inputs in `inputs.json`, computed in
float64 by pyroberta {version}'s NumPy reference: what a port of the model should give up to
rounding. The names, shapes and formulas of the steps stand in its metadata (`steps`); masked
tokens have zeros, scores of keys that are not attended to -inf, their weights 0.

- architecture: {architecture}
- weights: SHA-256 {checksum} of all tensors in float32, by name
- `SHA256SUMS`: of the other files

To compare a port's own arrays (`.npz`, safetensors, or a folder of `.npy`), by step or by the names
of transformers, fairseq, Bumblebee or an ONNX export:

    pyroberta compare trace.safetensors THEIRS --model CHECKPOINT
"""


def write_golden(
    path: str | os.PathLike[str] | None,
    output: str | os.PathLike[str],
    texts: Sequence[str | Mapping[str, Any]] | None = None,
    *,
    revision: str | None = None,
    architecture: str | None = None,
    seed: int = 0,
) -> Trace:
    """Write a golden run to a folder.

    Args:
        path: a checkpoint's folder or Hub name; ``None``: the shipped one.
        output: the folder, which must not hold a golden run yet; made where it is missing.
        texts: what to run on, padded on the right; ``None``: drawn ids, with masks on either side
            and in the middle, types where the model has several, and a row of one token.
        revision: of a Hub name.
        architecture: as for ``from_pretrained``.
        seed: of the drawn ids.

    Raises:
        InputError: a folder that is not empty; a text that is too long.
        ConfigError: a model that reads more than a text.
        ImportError: the ``tokenizers`` library is missing, for texts.
    """
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"output must be an empty folder or none, not {os.fspath(output)!r}")
    model = open_model(path, "float64", revision=revision, architecture=architecture)
    if texts is None:
        ids, mask, types = drawn_inputs(model.config, seed)
    else:
        tokenizer, rows = read_rows(path, texts, revision=revision)
        ids, mask = tokenizer.pad(rows)
        types = np.zeros_like(ids)
    file = folder / "trace.safetensors"
    found = trace(model, ids, mask, types, output=file)
    inputs = {"texts": None if texts is None else list(texts)} | found.case.to_json()
    written = {
        "inputs.json": json.dumps(inputs, ensure_ascii=False) + "\n",
        "README.md": _README.format(
            name="the shipped checkpoint" if path is None else Path(path).name,
            version=found.metadata["pyroberta"],
            architecture=found.metadata["architecture"],
            checksum=found.metadata["checksum"],
        ),
    }
    write_with_sums(folder, written, file.name)
    return found


def drawn_inputs(config: RobertaConfig, seed: int) -> tuple[Any, Any, Any]:
    """Ids, mask and types ``[5, tokens]``: pads on the right, a mask in the middle, one token."""
    rng = np.random.default_rng(seed)
    tokens = min(24, config.max_tokens)
    low = min(4, config.vocab_size - 1)
    ids = rng.integers(low, config.vocab_size, (5, tokens))
    ids[ids == config.pad_token_id] = low if low != config.pad_token_id else low - 1
    mask = np.ones((5, tokens), np.int64)
    mask[1, max(1, tokens // 2) :] = 0
    mask[2, max(1, tokens - 1) :] = 0
    mask[3, max(1, tokens // 3) : tokens // 2] = 0
    mask[4, 1:] = 0
    ids[1, max(1, tokens // 2) :] = ids[4, 1:] = config.pad_token_id
    types = np.zeros_like(ids)
    if config.max_token_types > 1:
        types[:, tokens // 2 :] = mask[:, tokens // 2 :]
    return ids, mask, types
