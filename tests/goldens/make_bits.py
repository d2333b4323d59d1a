"""Makes ``bits.json`` and ``packed/``: what the kernels give, bit by bit, and packed files.

They were made at commit 5e5f640, the bits anew when float32 got one answer on every build.
``test_bits.py`` holds later code to them: they may be made anew only where a change of bits or of
the packed layout is meant, and its commit says so.

Usage: python tests/goldens/make_bits.py [ISA ...], by default each build that runs here.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from builds import fuses
from support import TINY, draw_shapes, write_folder

HERE = Path(__file__).parent
TYPES = ["float32", "bfloat16x3", "bfloat16", "int8"]
# Widths that are no multiple of a vector; K beyond one run of float32 and one group of int8; more
# keys than one block of attention.
WIDE = TINY | {
    "vocab_size": 61,
    "hidden_size": 196,
    "intermediate_size": 804,
    "num_attention_heads": 7,
    "max_position_embeddings": 202,
}
PACKED = TINY | {
    "hidden_size": 24,
    "intermediate_size": 40,
    "architectures": ["RobertaForMaskedLM"],
}


def tensors_of(hf: dict[str, Any], architecture: str) -> dict[str, np.ndarray]:
    """Weights by whole numbers alone: the same on every CPU and with every NumPy."""
    tensors, seed = {}, 1
    for name, shape in draw_shapes(hf, architecture).items():
        count = int(np.prod(shape))
        places = np.arange(count, dtype=np.uint64) + np.uint64(seed * 1_000_003)
        mixed = (places * np.uint64(2654435761)) % np.uint64(2**32)
        mixed = ((mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519)) % np.uint64(2**32)
        values = (mixed >> np.uint64(8)).astype(np.float32) / np.float32(2**23) - np.float32(1)
        if len(shape) == 2 and "embeddings" not in name:
            values = values * np.float32(2.0 ** -round(np.log2(shape[1]) / 2))
        elif "norm" in name.lower() and name.endswith("weight"):
            values = np.float32(1) + values * np.float32(0.25)
        tensors[name] = values.reshape(shape)
        seed += 1
    return tensors


def batch(hf: dict[str, Any], lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and a mask of rows of these lengths."""
    longest = max(lengths)
    ids = (np.arange(len(lengths) * longest).reshape(len(lengths), longest) * 7 + 3) % (
        hf["vocab_size"] - 3
    ) + 3
    return ids, np.arange(longest)[None, :] < np.array(lengths)[:, None]


def digest(*arrays: np.ndarray) -> str:
    """Of the bytes of the arrays, one after the other."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def results(folder: Path, compute_type: str) -> dict[str, str]:
    """Digests of what a folder's models give, on the build in use."""
    import pyroberta

    wide, packed = folder / "wide", folder / "packed"
    if not wide.exists():
        write_folder(wide, WIDE, tensors_of(WIDE, "base"))
        write_folder(packed, PACKED, tensors_of(PACKED, "for_masked_language_modeling"))
    ids, mask = batch(WIDE, [1, 17, 150, 64, 200])
    base = pyroberta.RobertaModel.from_pretrained(wide, compute_type=compute_type)
    hidden = base(ids, mask)
    looks = base(ids, mask, output_attentions=True, output_hidden_states=True)
    words = pyroberta.RobertaForMaskedLM.from_pretrained(packed, compute_type=compute_type)
    logits = words(*batch(PACKED, [2, 9, 20])).logits
    causal = pyroberta.RobertaForCausalLM.from_pretrained(packed, compute_type=compute_type)
    return {
        "hidden": digest(hidden.last_hidden_state, hidden.pooler_output),
        "attentions": digest(*looks.attentions),
        "hidden_states": digest(*looks.hidden_states),
        "logits": digest(logits),
        "causal": digest(causal(*batch(PACKED, [2, 9, 20])).logits),
    }


def make(folder: Path) -> dict[str, dict[str, str]]:
    """``results`` for each compute type, and the packed folders of the build in use."""
    import pyroberta

    found = {}
    for compute_type in TYPES:
        found[compute_type] = results(folder, compute_type)
        if compute_type != "bfloat16x3":  # without AMX that is float32's file
            words = pyroberta.RobertaForMaskedLM.from_pretrained(
                folder / "packed", compute_type=compute_type
            )
            words.save_packed(HERE / f"packed/{os.environ['PYROBERTA_ISA']}-{compute_type}")
    return found


def main() -> None:
    """Each build in a process of its own."""
    import tempfile

    from pyroberta.kernels import available_isas

    bits = {}
    for isa in sys.argv[1:] or available_isas():
        with tempfile.TemporaryDirectory() as folder:
            code = (
                f"import sys, json; sys.path.insert(0, {str(HERE)!r}); import make_bits;"
                f"from pathlib import Path; print(json.dumps(make_bits.make(Path({folder!r}))))"
            )
            output = subprocess.run(
                [sys.executable, "-c", code],
                env=os.environ | {"PYROBERTA_ISA": isa},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        bits[isa] = json.loads(output)
    # One for all builds, or this says which one differs.
    floats = {isa: types.pop("float32") for isa, types in bits.items() if fuses(isa)}
    for isa, found in floats.items():
        assert found == next(iter(floats.values())), f"{isa} gives other bits in float32"
    old = json.loads((HERE / "bits.json").read_text())
    bits = old | {"every build": {"float32": next(iter(floats.values()))}} | bits
    (HERE / "bits.json").write_text(json.dumps(bits, indent=1) + "\n")


if __name__ == "__main__":
    main()
