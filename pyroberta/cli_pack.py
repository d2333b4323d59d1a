"""``pyroberta pack``: a checkpoint's folder to one that is mapped and used as it is."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from .errors import InputError

# What a folder holds besides weights: configurations, vocabularies, how sentences are pooled.
_SMALL_FILES = (".json", ".txt", ".model")


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    pack = commands.add_parser(
        "pack", help="write a model as the kernels use it, to be mapped with nothing converted"
    )
    pack.add_argument("model", metavar="MODEL", help="a checkpoint's folder")
    pack.add_argument("out", metavar="OUT", help="the new folder")
    pack.add_argument(
        "--compute-type", metavar="TYPE", help="what its products will be computed in (float32)"
    )
    pack.add_argument("--threads", type=int, metavar="N", help="threads of the kernels")
    pack.set_defaults(run=_pack)


def _pack(args: argparse.Namespace) -> None:
    from .models import from_pretrained

    out, folder = Path(args.out), Path(args.model)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"OUT must be a new or empty folder, not {args.out!r}")
    model = from_pretrained(folder, compute_type=args.compute_type)
    model.save_packed(out)
    for file in _small_files(folder):
        target = out / file.relative_to(folder)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}  {model.compute_type}, {size / 1e6:.1f} MB")


def _small_files(folder: Path) -> list[Path]:
    """The folder's files that are no weights, and those of its folders (a sentence model's)."""
    files = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(Path(base).relative_to(folder).parts) > 1:
            folders.clear()
        for name in sorted(names):
            is_index = name.endswith(".safetensors.index.json")
            if name.endswith(_SMALL_FILES) and not is_index:
                files.append(Path(base) / name)
    return files
