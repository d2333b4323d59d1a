"""``pyroberta pack``: a checkpoint's folder to one that is mapped and used as it is."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from .files import printable
from .options import add_revision, add_threads

# What a folder holds besides weights: configurations, vocabularies, how sentences are pooled.
_SMALL_FILES = (".json", ".txt", ".model")


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    pack = commands.add_parser(
        "pack", help="write a model as the kernels use it, to be mapped with nothing converted"
    )
    pack.add_argument("model", metavar="MODEL", help="a checkpoint's folder or Hub name")
    pack.add_argument("out", metavar="OUT", help="the new folder")
    pack.add_argument(
        "--compute-type", metavar="TYPE", help="what its products will be computed in (float32)"
    )
    pack.add_argument(
        "--architecture",
        metavar="NAME",
        help='pack it as another class than it names, e.g. "base" to leave its head out',
    )
    add_revision(pack)
    add_threads(pack)
    pack.set_defaults(run=_pack)


def _pack(args: argparse.Namespace) -> None:
    from ..architectures import from_pretrained
    from ..checkpoint import PACKED_FILE, is_packed
    from ..config import read_config_json
    from ..opening import find_folder, transformer_folder

    out = Path(args.out)
    folder = find_folder(args.model, revision=args.revision, name="MODEL")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"OUT must be a new or empty folder, not {args.out!r}")
    transformer = transformer_folder(folder)
    if is_packed(transformer):
        raise InputError(f"MODEL must be a checkpoint's folder, not a packed one: {args.model!r}")
    if read_config_json(transformer).get("model_type") == "encoder-decoder":
        raise InputError(
            f"MODEL must be of one model, not of an encoder and a decoder: {args.model!r}"
        )
    model = from_pretrained(
        transformer, compute_type=args.compute_type, architecture=args.architecture
    )
    weights = out / transformer.relative_to(folder)
    copies = {out / file.relative_to(folder): file for file in _small_files(folder, out)}
    copies.pop(weights / "config.json", None)  # it is written anew
    with _removed_on_error(out, [weights / "config.json", weights / PACKED_FILE, *copies]):
        model.save_packed(weights)
        for target, file in copies.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{printable(str(out))}  {model.compute_type}, {size / 2**20:,.1f} MiB")


@contextlib.contextmanager
def _removed_on_error(out: Path, files: list[Path]) -> Iterator[None]:
    """Leave OUT as it was, new or empty, if not all of these files can be written to it."""
    was_there = out.exists()
    try:
        yield
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        inside = {file.parent for file in files} - {out}
        for folder in [*inside, *([] if was_there else [out])]:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _small_files(folder: Path, out: Path) -> list[Path]:
    """The folder's files that are no weights, and those of a sentence model's steps."""
    files = []
    has_steps = (folder / "modules.json").is_file()
    for base, folders, names in os.walk(folder):
        deep = not has_steps or Path(base) != folder
        folders[:] = [
            name
            for name in sorted(folders)
            if not deep
            and not name.startswith(".")
            and (Path(base) / name).resolve() != out.resolve()
        ]
        files += [
            Path(base) / name
            for name in sorted(names)
            if name.endswith(_SMALL_FILES) and not name.endswith(".index.json")
        ]
    return files
