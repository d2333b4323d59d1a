"""CTranslate2, the peer that drops padding too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.flags import cpu_flags

from . import Engine, Rows


def convert(model: Path, out: Path, compute_type: str, option: str) -> None:
    """CTranslate2's files, by its converter, helped over two things.

    It asks for ``config.position_embedding_type``, which transformers 5 no longer has, and for a
    tokenizer, which random weights do not have.
    """
    from ctranslate2.converters import TransformersConverter

    class Tokenizer:
        """As much of a tokenizer as the converter reads."""

        unk_token = "<3>"

        def __init__(self, vocab_size: int) -> None:
            self._vocab_size = vocab_size

        def get_vocab(self) -> dict[str, int]:
            return {f"<{n}>": n for n in range(self._vocab_size)}

    # misc: the library has no types, so mypy does not know the base class.
    class Converter(TransformersConverter):  # type: ignore[misc]
        """The converter, for a checkpoint without a tokenizer."""

        def load_model(self, model_class: Any, path: str, **options: Any) -> Any:
            network = super().load_model(model_class, path, add_pooling_layer=False, **options)
            network.config.position_embedding_type = "absolute"
            self._vocab_size = network.config.vocab_size
            return network

        def load_tokenizer(self, tokenizer_class: Any, path: str, **options: Any) -> Any:
            return Tokenizer(self._vocab_size)

    quantization = "int8" if compute_type == "int8" else None
    Converter(str(model)).convert(str(out), quantization=quantization, force=True)


def prepare(model: Path, converted: Path, threads: int, compute_type: str, option: str) -> Engine:
    """One replica on ``threads`` threads, its own loops on AVX-512 where the CPU has it.

    It stays on AVX2 unless told otherwise; its products are oneDNN's or MKL's either way.
    """
    if "avx512vl" in cpu_flags():
        os.environ["CT2_FORCE_CPU_ISA"] = "AVX512"  # before the import, which reads it
    import ctranslate2

    encoder = ctranslate2.Encoder(
        str(converted),
        device="cpu",
        compute_type=compute_type,
        inter_threads=1,
        intra_threads=threads,
    )

    def call(rows: Rows) -> NDArray[np.float32]:
        output = encoder.forward_batch([list(row) for row in rows])
        hidden: NDArray[np.float32] = np.array(output.last_hidden_state, copy=False)
        return hidden

    return call
