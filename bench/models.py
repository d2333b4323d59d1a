"""Checkpoints with random weights, of the sizes of the real ones: made here, without a network.

``python -m bench.models base --work FOLDER`` makes one and prints its folder. Making one needs
transformers, which writes it as it writes any checkpoint; reading its configuration does not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import ROOT

_BASE = {
    "vocab_size": 50265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_TINY = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 512,
}
_LONG = {"max_position_embeddings": 8194}

MODELS: dict[str, dict[str, Any]] = {
    "tiny": _BASE | _TINY,
    "distil": _BASE | {"num_hidden_layers": 6},
    "base": _BASE,
    "large": _BASE | _LARGE,
}
MODELS |= {f"{name}-long": sizes | _LONG for name, sizes in MODELS.items()}


def default_work() -> Path:
    """Where checkpoints and their conversions are kept between runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "pyroberta-bench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / "pyroberta-bench"
    return folder


def model_folder(model: str, work: Path) -> Path:
    """The folder of a model by name, made if need be; or a checkpoint's own folder.

    Raises:
        ValueError: neither a name in ``MODELS`` nor a folder with a ``config.json``.
    """
    if model not in MODELS:
        if (Path(model) / "config.json").is_file():
            return Path(model).resolve()
        raise ValueError(f"model must be a checkpoint's folder or one of {list(MODELS)}: {model!r}")
    folder = work / "models" / model
    if not (folder / "config.json").is_file():
        # In a process of its own, so that torch is not in this one.
        command = [sys.executable, "-m", "bench.models", model, "--work", str(work)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint's ``config.json``."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def weight_files(folder: Path) -> list[Path]:
    """A checkpoint's safetensors files: one, or the shards that its index names."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    names = json.loads(index.read_text())["weight_map"].values()
    return [folder / name for name in sorted(set(names))]


def make(model: str, folder: Path) -> None:
    """Write a checkpoint. Biases and norms are drawn too: zeros and ones would hide errors."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    network = RobertaModel(RobertaConfig(**MODELS[model]), add_pooling_layer=False)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("LayerNorm.weight"):
                parameter.normal_(1.0, 0.1)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.05)
    unfinished = folder.with_name(folder.name + ".unfinished")
    network.save_pretrained(unfinished)
    unfinished.rename(folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--work", type=Path, default=default_work())
    args = parser.parse_args()
    folder = args.work / "models" / args.model
    if not (folder / "config.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        make(args.model, folder)
    print(folder)


if __name__ == "__main__":
    main()
