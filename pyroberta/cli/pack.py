"""``pyroberta pack``: a checkpoint's folder to one that is mapped and used as it is."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError
from .files import printable
from .options import add_embedding_type, add_revision, add_threads


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
    add_embedding_type(pack)
    add_revision(pack)
    add_threads(pack)
    pack.set_defaults(run=_pack)


def _pack(args: argparse.Namespace) -> None:
    from ..architectures import from_pretrained
    from ..checkpoint import is_packed
    from ..checkpoint.new_folder import check_new_folder, copy_files, new_folder
    from ..config import read_config_json
    from ..opening import files_beside, find_folder, transformer_folder
    from ..opening.files import ADAPTER_CONFIG, CONFIG_FILE

    folder = find_folder(args.model, revision=args.revision, name="MODEL")
    out = check_new_folder("OUT", args.out)
    transformer = transformer_folder(folder)
    if is_packed(transformer):
        raise InputError(f"MODEL must be a checkpoint's folder, not a packed one: {args.model!r}")
    if read_config_json(transformer).get("model_type") == "encoder-decoder":
        raise InputError(
            f"MODEL must be of one model, not of an encoder and a decoder: {args.model!r}"
        )
    model = from_pretrained(
        transformer,
        compute_type=args.compute_type,
        embedding_type=args.embedding_type,
        architecture=args.architecture,
    )
    place = transformer.relative_to(folder)
    copies = {file.relative_to(folder): file for file in files_beside(folder, out)}
    copies.pop(place / CONFIG_FILE, None)  # it is written anew
    copies.pop(place / ADAPTER_CONFIG, None)  # an adapter is merged
    with new_folder(out) as partial:
        model.save_packed(partial / place)
        copy_files(copies, partial)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{printable(str(out))}  {model.compute_type}, {size / 2**20:,.1f} MiB")
