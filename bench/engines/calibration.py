"""Ids for engines that must see data before they compute in int8: made here, without a network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.models import read_config

_ROWS = 300  # NNCF's own default
_LONGEST = 128


def calibration_rows(model: Path) -> list[list[int]]:
    """Rows of ids of mixed lengths, none of them from a measured batch.

    Half of them are drawn as the measured batches are; the other half are sentences, where the
    checkpoint has a tokenizer: either half alone gave larger errors on a trained model.
    """
    tokenizer = model / "tokenizer.json"
    texts = _sentences(tokenizer, _ROWS // 2) if tokenizer.is_file() else []
    rng = np.random.default_rng(300)
    vocab_size = read_config(model)["vocab_size"]
    lengths = rng.integers(8, _LONGEST + 1, _ROWS - len(texts))
    return [rng.integers(5, vocab_size, n).tolist() for n in lengths] + texts


def _sentences(tokenizer: Path, count: int) -> list[list[int]]:
    """English from Python's own help texts, which every installation has."""
    from pydoc_data.topics import topics

    from tokenizers import Tokenizer

    found = []
    for _, text in sorted(topics.items()):
        for paragraph in re.split(r"\n\s*\n", text):
            words = " ".join(paragraph.split())
            if re.fullmatch(r"[A-Z][^=<>{}|]{60,}\.", words):
                found.append(words)
    chosen = found[:: max(1, len(found) // count)][:count]
    encoder = Tokenizer.from_file(str(tokenizer))
    encoder.enable_truncation(_LONGEST)
    return [encoded.ids for encoded in encoder.encode_batch(chosen)]
