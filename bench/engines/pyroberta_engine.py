"""pyroberta itself; with ``compute_type="float64"`` its NumPy reference, the judge of errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import Engine, Rows, pad


def convert(model: Path, out: Path, compute_type: str, option: str) -> None:
    """Nothing: the checkpoint is loaded as it is. With ``option="packed"``: its packed file."""
    if option == "packed":
        import pyroberta

        network = pyroberta.RobertaModel.from_pretrained(
            model, compute_type=compute_type, add_pooling_layer=False
        )
        network.save_packed(out)


def prepare(model: Path, converted: Path, threads: int, compute_type: str, option: str) -> Engine:
    """The model on ``threads`` threads. Raises RuntimeError where the kernels were not built."""
    import pyroberta

    reference = compute_type == "float64"
    backend = "reference" if reference else "native"
    network = pyroberta.RobertaModel.from_pretrained(
        converted if option == "packed" else model,
        compute_type=compute_type,
        backend=backend,
        add_pooling_layer=False,
    )
    if network.backend != backend:
        raise RuntimeError("the installed pyroberta has no compiled kernels")
    pyroberta.set_num_threads(threads)

    def call(rows: Rows) -> NDArray[np.float32]:
        ids, mask = pad(rows)
        hidden: NDArray[np.float32] = network(ids, mask).last_hidden_state
        return hidden

    return call
