"""Files of a folder with their checksums beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ..checkpoint.whole_files import new_files

_SUMS = "SHA256SUMS"


def write_with_sums(folder: Path, texts: Mapping[str, str], *beside: str) -> None:
    """Write ``texts`` by their names, and ``SHA256SUMS`` of them and of the files ``beside``."""
    data = {name: text.encode() for name, text in texts.items()}
    sums = {name: hashlib.sha256(one).hexdigest() for name, one in data.items()}
    for name in beside:
        digest = hashlib.sha256()
        with open(folder / name, "rb") as opened:
            while piece := opened.read(1 << 22):  # a trace can be gigabytes
                digest.update(piece)
        sums[name] = digest.hexdigest()
    data[_SUMS] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    with new_files(*(folder / name for name in data)) as files:
        for out, one in zip(files, data.values(), strict=True):
            out.write(one)
