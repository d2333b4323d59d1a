"""What is in a folder, and what becomes of it: facts for ``pyroberta info``. No weight is read."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..architectures import ARCHITECTURES
from ..checkpoint import (
    FileSource,
    PackedSource,
    Tensor,
    find_prefix,
    is_packed,
    open_checkpoint,
)
from ..checkpoint.adapter import read_adapter
from ..config import RobertaConfig, read_config_json
from ..config_keys import describe_keys
from ..errors import CheckpointError, ConfigError, InputError
from ..kernels import available_isas, chosen_isa, core, has_core, layout_family
from ..opening import find_folder, find_model
from ..opening.files import what_file_is
from ..text.sentence_folder import SentenceFolder, read_sentence_folder
from ..text.sentence_steps import Normalize
from ..text.tokenizer import Tokenizer

_FLOATS = ("F64", "F32", "F16", "BF16", "PACKED")
_REFUSALS = (ConfigError, CheckpointError, FileNotFoundError, ImportError)

T = TypeVar("T")


def describe(
    path: str | os.PathLike[str], *, revision: str | None = None, checksum: bool = False
) -> dict[str, Any]:
    """What a folder holds, and what of it would be refused: objects that JSON can hold.

    Args:
        path: a checkpoint's folder, a packed one, one of sentence-transformers, or a Hub name.
        revision: of a Hub name.
        checksum: read all of a packed file, and see whether it is as it was written.

    Raises:
        FileNotFoundError: there is no such folder.
        CheckpointError: a packed file that has not its checksum.
        InputError: a checksum is asked of a checkpoint, which has none.
    """
    refused: list[str] = []

    def unless_refused(read: Callable[[], T]) -> T | None:
        """What it gives; where it is refused nothing, and the reason is told."""
        try:
            return read()
        except _REFUSALS as error:
            message = " ".join(str(error).split())
            if message not in refused:
                refused.append(message)
            return None

    path = find_folder(path, revision=revision)
    if not path.is_dir():
        raise FileNotFoundError(f"path must be a checkpoint's folder, not {str(path)!r}")
    found = unless_refused(lambda: find_model(path))
    folder = path if found is None else found.folder
    if checksum and not is_packed(folder):
        raise InputError(f"--checksum must be asked of a packed folder, not of {str(path)!r}")
    facts: dict[str, Any] = {"folder": str(folder), "files": _files(path, folder)}
    raw = unless_refused(lambda: read_config_json(folder)) or {}
    facts["config"] = describe_keys(raw)
    named = raw.get("architectures")
    facts["architecture"] = list(map(str, named)) if isinstance(named, list) else None
    config = unless_refused(lambda: RobertaConfig.from_hf(raw)) if raw else None
    source = unless_refused(lambda: _open(folder))
    if source is not None:
        facts |= _weights(source, config, checksum)
    if found is not None and found.adapter is not None:
        adapter = found.adapter
        facts["adapter"] = unless_refused(lambda: _adapter(adapter))
    if config is not None:
        facts["sizes"] = _sizes(config)
        tokenizer = unless_refused(lambda: _tokenizer(folder, config))
        facts["tokenizer"] = tokenizer
        sentence = None
        if (path / "modules.json").is_file():
            sentence = unless_refused(lambda: read_sentence_folder(path))
            facts["sentences"] = None if sentence is None else _sentences(sentence)
        facts["limit"] = _limit(folder, config, sentence)
    facts["refused"] = refused
    return facts


def _files(path: Path, folder: Path) -> list[dict[str, Any]]:
    """Each file of the folder and of the checkpoint in it, its size, and what it is."""
    found = []
    for base in dict.fromkeys([path, folder]):
        if not base.is_dir():
            continue
        beside = {file.name for file in base.iterdir()}
        for file in sorted(base.iterdir()):
            if file.is_file():
                what = what_file_is(file.name, beside)
                inside = base == path or path in base.parents
                name = str(file.relative_to(path)) if inside else str(file)
                found.append({"name": name, "size": file.stat().st_size, "what": what})
    return found


def _open(folder: Path) -> tuple[FileSource, Mapping[str, Tensor]]:
    if is_packed(folder):
        packed = PackedSource(folder)
        return packed, packed.tensors
    tensors = open_checkpoint(folder).tensors
    return FileSource(tensors), tensors


def _weights(
    opened: tuple[FileSource, Mapping[str, Tensor]], config: RobertaConfig | None, checksum: bool
) -> dict[str, Any]:
    source, tensors = opened
    facts: dict[str, Any] = {
        "weights": {str(t.file): t.file.size for t in tensors.values()},
        "parameters": sum(math.prod(t.shape) for t in tensors.values() if t.dtype in _FLOATS),
        "dtypes": dict(Counter(tensor.dtype for tensor in tensors.values()).most_common()),
    }
    if isinstance(source, PackedSource):
        facts["packed"] = _packed(source, checksum)
    else:
        facts["prefix"] = find_prefix(tensors)
    if config is not None:
        facts["opens as"] = _classes(source, config)
    return facts


def _packed(source: PackedSource, checksum: bool) -> dict[str, Any]:
    """What a packed file is for, which kernels of this CPU can use it, whether it is whole."""
    if checksum:
        source.verify()
    kernels: dict[bool, list[str]] = {True: [], False: []}
    for isa in available_isas() if has_core() else []:
        fits = layout_family(core().find_kernels(isa), source.compute_type) == source.family
        kernels[fits].append(f"{isa} (in use)" if isa == chosen_isa() else isa)
    return {
        "compute_type": source.compute_type,
        "embedding_type": source.embedding_type,
        "family": source.family,
        "usable": kernels[True],
        "not usable": kernels[False],
        "sha256": source.sha256,
        "verified": checksum,
    }


def _classes(source: FileSource, config: RobertaConfig) -> list[str]:
    """The classes whose tensors the files hold."""
    found = []
    for cls in ARCHITECTURES:
        try:
            shapes = cls._shapes(config, source.names(), None)
            source.check(shapes, cls.aside, cross_attention=config.use_cross_attention)
        except CheckpointError:
            continue
        found.append(cls.__name__)
    return found


def _adapter(folder: Path) -> dict[str, Any]:
    adapter = read_adapter(folder)
    return {
        "folder": str(folder),
        "layers": sorted(adapter.parts),
        "whole": sorted(adapter.whole),
        "scales": sorted(set(adapter.scales.values())),
    }


def _sizes(config: RobertaConfig) -> dict[str, Any]:
    names = (
        *("num_blocks", "hidden_size", "num_attention_heads", "intermediate_size", "activation"),
        *("vocab_size", "max_positions", "max_token_types", "pad_token_id", "num_labels"),
    )
    return {name: getattr(config, name) for name in names}


def _tokenizer(folder: Path, config: RobertaConfig) -> dict[str, Any]:
    tokenizer = Tokenizer.from_pretrained(folder, config=config)
    return {
        "file": tokenizer.name,
        "kind": tokenizer.kind,
        "mask_token": tokenizer.mask_token,
        "max_tokens": tokenizer.max_tokens,
        "gives_types": tokenizer.gives_types,
    }


def _limit(
    folder: Path, config: RobertaConfig, sentence: SentenceFolder | None
) -> dict[str, Any] | None:
    """The most tokens of a text, by what says so; the smallest holds."""
    said = {"the model's positions": config.max_tokens}
    try:
        own = Tokenizer.from_pretrained(folder).max_tokens
    except (*_REFUSALS, InputError):
        own = None  # told of where the tokenizer is read
    if own is not None:
        said["tokenizer_config.json"] = own
    if sentence is not None and sentence.max_tokens is not None:
        said["the settings of sentence-transformers"] = sentence.max_tokens
    least = min(said, key=said.__getitem__)
    return {"tokens": said[least], "by": least, "said": said}


def _sentences(sentence: SentenceFolder) -> dict[str, Any]:
    makes = sentence.vectors
    words = [f"{' + '.join(makes.poolings)} pooling", *(one.describe() for one in makes.steps)]
    if not any(isinstance(one, Normalize) for one in makes.steps[-1:]):
        words.append("not normalised")
    if makes.truncate_dim is not None:
        words.append(f"the first {makes.truncate_dim} numbers")
    if sentence.max_tokens is not None:
        words.append(f"cut to {sentence.max_tokens} tokens")
    if sentence.prompts.default:
        words.append(f"prompt {sentence.prompts.default!r}")
    if sentence.prompts.by_name:
        words.append(f"prompts {', '.join(map(repr, sentence.prompts.by_name))}")
    if not sentence.prompts.pooled:
        words.append("prompts not pooled")
    if sentence.lowercase:
        words.append("lower case")
    return {
        "poolings": list(makes.poolings),
        "prompts": dict(sentence.prompts.by_name),
        "prompt": sentence.prompts.default,
        "words": ", ".join(words),
    }
