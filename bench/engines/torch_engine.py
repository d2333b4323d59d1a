"""PyTorch and transformers with fused attention (SDPA): eager, and compiled with frozen weights.

Compiled, its linear layers go to oneDNN with weights packed ahead. Eager float32 ones go to MKL,
which is several times slower on CPUs that are not Intel's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Engine, Rows, pad


def convert(model: Path, out: Path, compute_type: str, option: str) -> None:
    """Nothing: the checkpoint is loaded as it is."""


def prepare(model: Path, converted: Path, threads: int, compute_type: str, option: str) -> Engine:
    """The model in inference mode. No mask where no row is padded: that is its fastest path."""
    import torch
    from transformers import RobertaModel

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    network = RobertaModel.from_pretrained(
        model,
        attn_implementation="sdpa",
        add_pooling_layer=False,
        dtype=getattr(torch, compute_type),
    ).eval()

    run: Any = network
    shape: tuple[int, int] | None = None
    if option == "compiled":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        run = torch.compile(network, dynamic=False)

    def call(rows: Rows) -> NDArray[np.float32]:
        nonlocal shape
        ids, mask = pad(rows)
        if option == "compiled" and ids.shape != shape:
            # Each compiled shape holds its own packed weights: keep the last one alone.
            torch._dynamo.reset()
            shape = ids.shape
        with torch.no_grad() if option == "compiled" else torch.inference_mode():
            output = run(
                input_ids=torch.from_numpy(ids),
                attention_mask=None if mask is None else torch.from_numpy(mask),
            )
            hidden: NDArray[np.float32] = output.last_hidden_state.float().numpy()
        return hidden

    return call
