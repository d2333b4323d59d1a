"""Random bytes as ``pytorch_model.bin``: each is refused by CheckpointError or gives tensors.

    python tests/fuzz/torch_file.py CORPUS -max_total_time=600

needs ``atheris``. CORPUS is a folder; an empty one is given seeds. The first byte of an input says
what the others are: a whole file, or a pickle within a sound archive or a sound older file (which
random changes of a file seldom leave sound).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from checkpoint.torch_writer import Saved, View, archive, dumps, saved

WHOLE, IN_ARCHIVE, IN_OLDER = range(3)

SEED = saved(
    {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a.bias": np.arange(3, dtype=np.float16),
        "position_ids": np.arange(4),
    }
)
SEED = Saved(SEED.storages, {**SEED.views, "tied": View("0", (3, 2), (1, 3))})


def seeds() -> list[bytes]:
    """One input of each kind for some protocols."""
    found = []
    for protocol in (1, 2, 4, 5):
        zipped, older = (dumps(SEED.value(legacy=old), protocol) for old in (False, True))
        found += [bytes([WHOLE]) + SEED.zip(protocol), bytes([WHOLE]) + SEED.legacy(protocol)]
        found += [bytes([IN_ARCHIVE]) + zipped, bytes([IN_OLDER]) + older]
    return found


def to_file(data: bytes) -> bytes:
    """The file that an input stands for."""
    kind, rest = data[:1], data[1:]
    if kind == bytes([IN_ARCHIVE]):
        return archive(SEED.entries(rest))
    return SEED.legacy_of(rest) if kind == bytes([IN_OLDER]) else rest


def main() -> None:
    import atheris

    # Of the whole package these are the modules whose branches are to be found.
    parts = [f"pyroberta.checkpoint.torch_{part}" for part in ("file", "names", "pickle", "stream")]
    with atheris.instrument_imports(include=[*parts, "pyroberta.checkpoint.torch_zip"]):
        from pyroberta.checkpoint.torch_file import read_torch_file
    from pyroberta import CheckpointError

    corpus = next((Path(arg) for arg in sys.argv[1:] if not arg.startswith("-")), None)
    if corpus is not None and not any(corpus.iterdir()):
        for number, seed in enumerate(seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
    # A file of memory, which leaves nothing behind however the run ends.
    file = Path(f"/proc/self/fd/{os.memfd_create('torch_file')}")

    def read(data: bytes) -> None:
        file.write_bytes(to_file(data))
        try:
            tensors = read_torch_file(file)
        except CheckpointError:
            return
        for tensor in tensors.values():
            if tensor.dtype in ("F64", "F32", "F16", "BF16"):
                assert tensor.read_stored().shape == tensor.shape
                assert tensor.map().shape == tensor.shape

    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
