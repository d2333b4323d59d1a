"""What is in a checkpoint's folder, in words. No weight is read for it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ..architectures import ARCHITECTURES
from ..checkpoint import (
    FileSource,
    PackedSource,
    Tensor,
    find_prefix,
    is_packed,
    open_checkpoint,
)
from ..config import RobertaConfig, read_config_json
from ..errors import CheckpointError, ConfigError, InputError
from ..kernels import available_isas, chosen_isa, core, has_core, layout_family
from ..opening import find_folder, transformer_folder
from ..text.sentence_folder import read_sentence_folder
from ..text.sentence_steps import Normalize
from ..text.tokenizer import Tokenizer

_FLOATS = ("F64", "F32", "F16", "BF16", "PACKED")


def describe(
    path: str | os.PathLike[str], *, revision: str | None = None, checksum: bool = False
) -> dict[str, str]:
    """What a folder holds, a few words under each heading, in the order to print them.

    Args:
        path: a checkpoint's folder, a packed one, one of sentence-transformers, or a Hub name.
        revision: of a Hub name.
        checksum: read all of a packed file, and see whether it is as it was written.

    Raises:
        FileNotFoundError: a folder or file that is not there.
        ConfigError: ``config.json`` is not of a model that this package computes.
        CheckpointError: a file that is malformed, or that has not its checksum.
        InputError: a checksum is asked of a checkpoint, which has none.
    """
    path = find_folder(path, revision=revision)
    folder = transformer_folder(path)
    raw = read_config_json(folder)
    config = RobertaConfig.from_hf(raw)
    tensors: Mapping[str, Tensor]
    if is_packed(folder):
        source: FileSource = (packed := PackedSource(folder))
        tensors, special = packed.tensors, _packed(packed, checksum)
    else:
        if checksum:
            raise InputError(f"--checksum must be asked of a packed folder, not of {str(path)!r}")
        tensors = open_checkpoint(folder)
        source, special = FileSource(tensors), {"prefix": repr(find_prefix(tensors))}
    named = raw.get("architectures")
    sizes = Counter({t.file: t.file.stat().st_size for t in tensors.values()})
    kinds = Counter(tensor.dtype for tensor in tensors.values())
    lines = {
        "folder": str(folder),
        "architecture": ", ".join(map(str, named)) if isinstance(named, list) else "not named",
        "opens as": ", ".join(_classes(source, config)) or "none of the classes",
        "blocks": f"{config.num_blocks}, hidden_size {config.hidden_size}, "
        f"{config.num_attention_heads} heads, intermediate_size {config.intermediate_size}, "
        f"{config.activation}",
        "words": f"{config.vocab_size:,}",
        "usable length": f"{config.max_tokens:,} tokens ({config.max_positions:,} positions less "
        f"the first {config.pad_token_id + 1})",
        "parameters": f"{_parameters(tensors):,}",
        "files": ", ".join(f"{f.name} {_size(n)}" for f, n in sorted(sizes.items())),
        "dtypes": ", ".join(f"{kind} ({n} tensors)" for kind, n in kinds.most_common()),
        **special,
        "tokenizer": _tokenizer(folder, config),
    }
    if (path / "modules.json").is_file():
        lines["sentences"] = _sentences(path)
    return lines


def _packed(source: PackedSource, checksum: bool) -> dict[str, str]:
    """What a packed file is for, which kernels of this CPU can use it, whether it is whole."""
    if checksum:
        source.verify()
    kernels: dict[bool, list[str]] = {True: [], False: []}
    for isa in available_isas() if has_core() else []:
        fits = layout_family(core().find_kernels(isa), source.compute_type) == source.family
        kernels[fits].append(f"{isa} (in use)" if isa == chosen_isa() else isa)
    return {
        "packed for": f"{source.compute_type}: {source.family}",
        "usable here by": (", ".join(kernels[True]) or "no kernels")
        + (f"; not by {', '.join(kernels[False])}" if kernels[False] else ""),
        "checksum": f"sha256 {source.sha256}, "
        + ("which the file has" if checksum else "not looked at without --checksum"),
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


def _parameters(tensors: Mapping[str, Tensor]) -> int:
    total = 0
    for tensor in tensors.values():
        count = 1
        for size in tensor.shape:
            count *= size
        total += count if tensor.dtype in _FLOATS else 0  # the rest are buffers of positions
    return total


def _tokenizer(folder: Path, config: RobertaConfig) -> str:
    try:
        tokenizer = Tokenizer.from_pretrained(folder, config=config)
    except (FileNotFoundError, ImportError, CheckpointError) as error:
        return f"none: {error}"
    return f"{tokenizer.name}: {tokenizer.kind}, mask token {tokenizer.mask_token or 'missing'}"


def _sentences(path: str | os.PathLike[str]) -> str:
    try:
        sentence = read_sentence_folder(path)
    except (ConfigError, CheckpointError, FileNotFoundError) as error:
        return f"not computed: {error}"
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
    return ", ".join(words)


def _size(n: int) -> str:
    return f"{n / 2**20:,.1f} MiB"
