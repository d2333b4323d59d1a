"""What ties a file of weights to its ``config.json``, so that a mixture of two models is refused.

Both carry one number, that of the configuration. Where two writers came between each other's
renames, or two files were copied from two folders, the numbers differ. Where one of them has none
(another library wrote it) they go together; a ``config.json`` edited by hand keeps its number.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checks import excerpt
from ..errors import CheckpointError
from ..opening.files import CONFIG_FILE
from ..small_json import read_json_object

SAVED_AS = "pyroberta_saved_as"


def saved_as(config: Mapping[str, Any]) -> str:
    """The number of a configuration (Hugging Face's keys)."""
    plain = {key: value for key, value in config.items() if key != SAVED_AS}
    text = json.dumps(plain, sort_keys=True).encode()
    return f"{len(text)}-{binascii.crc32(text):08x}"


def check_pair(file: Path, metadata: Mapping[str, str]) -> None:
    """Raise CheckpointError where a file's ``config.json`` was not written with it.

    Args:
        file: of weights.
        metadata: its own.
    """
    wanted = metadata.get(SAVED_AS)
    if wanted is None:
        return
    config = file.with_name(CONFIG_FILE)
    found = read_json_object(config, missing_ok=True).get(SAVED_AS)
    if found is not None and found != wanted:
        raise CheckpointError(
            f"{config} must be the one that was saved with {file.name}, with {SAVED_AS} "
            f"{wanted!r}, not {excerpt(found)}: the two are of different models, or are being "
            "written now; save the model again, or remove the key if you know that they belong "
            "together"
        )
