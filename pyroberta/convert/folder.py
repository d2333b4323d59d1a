"""A folder's weights as safetensors, and those of BERT as RoBERTa's."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..architectures import class_named
from ..checkpoint import (
    Part,
    Tensor,
    is_packed,
    open_checkpoint,
    save_tensors,
)
from ..checkpoint.names import BUFFERS, ENCODER, check
from ..checkpoint.new_folder import check_new_folder, copy_files, new_folder
from ..checkpoint.writer import write_config
from ..config import RobertaConfig, read_config_json
from ..errors import InputError
from ..opening import files_beside, find_folder, transformer_folder
from ..opening.files import ADAPTER_CONFIG, CONFIG_FILE, SINGLE_FILE, WEIGHTS
from .bert import class_of, convert_config, convert_tensors
from .bert_tokenizer import BertTokenizer

# A tied decoder's weight, by its names in a file.
_TIED = ("lm_head.decoder.weight", "lm_head.weight")


@dataclasses.dataclass(frozen=True)
class Converted:
    """What was made.

    Attributes:
        folder: the new one.
        architecture: RoBERTa's class of a BERT checkpoint; ``None`` where the weights alone were
            written anew.
        left_out: the tensors that were not written: those of no class, and buffers.
        size: in bytes, of all files.
    """

    folder: Path
    architecture: str | None
    left_out: tuple[str, ...]
    size: int


def convert_folder(
    old: str | os.PathLike[str], new: str | os.PathLike[str], *, revision: str | None = None
) -> Converted:
    """Write a checkpoint anew: its weights as ``model.safetensors``, bit by bit, its other files.

    One of BERT becomes one of RoBERTa with the same outputs; see ``bert.py``. The folder may be one
    of sentence-transformers. One tensor is in memory at a time.

    Args:
        old: a checkpoint's folder or its Hub name; its weights may be ``pytorch_model.bin``, or
            shards.
        new: a folder that is new or empty. It appears when all is written, or not at all.
        revision: of a Hub name.

    Raises:
        FileNotFoundError: a file that is not there.
        InputError: ``new`` holds something; ``old`` is packed.
        ConfigError: ``config.json`` is of a graph that RoBERTa's cannot stand for.
        CheckpointError: weights or a tokenizer that are malformed, or other than ``config.json``
            says.
    """
    source = find_folder(old, revision=revision, name="OLD")
    target = check_new_folder("NEW", new)
    transformer = transformer_folder(source)
    if is_packed(transformer):
        raise InputError(f"OLD must be a checkpoint's folder, not a packed one: {os.fspath(old)!r}")
    if (transformer / ADAPTER_CONFIG).exists():
        raise InputError(
            f"OLD must be a folder without an adapter, not one with {ADAPTER_CONFIG}: merge it "
            "first, by from_pretrained(OLD).save_pretrained(...), or peft's merge_and_unload()"
        )
    config = read_config_json(transformer)
    place = transformer.relative_to(source)
    copies = {file.relative_to(source): file for file in files_beside(source, target)}
    tensors = open_checkpoint(transformer)
    tokenizer = None
    if config.get("model_type") == "bert":
        cls = class_of(config, {name.removeprefix("bert.") for name in tensors})
        tokenizer = BertTokenizer.read(transformer)
        given = config.get("pad_token_id")
        pad = tokenizer.pad_token_id if tokenizer else given if isinstance(given, int) else 0
        config = convert_config(config, cls, pad)
        parts, left = convert_tensors(tensors, config, cls, pad)
        parts = _checked(parts, config)
        del copies[place / CONFIG_FILE]
        for name in tokenizer.replaced if tokenizer else ():
            copies.pop(place / name, None)
    else:
        cls = None
        if config.get("model_type") != "encoder-decoder":
            RobertaConfig.from_hf(config)
        parts, left = _as_they_are(tensors, config)
    with new_folder(target) as partial:
        save_tensors(partial / place / SINGLE_FILE, parts)
        _copy(copies, partial)
        if cls is not None:
            write_config(partial / place, config)
        if tokenizer is not None:
            tokenizer.write(partial / place)
        size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    return Converted(target, cls, tuple(sorted(left)), size)


def _as_they_are(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Part], list[str]]:
    """All tensors but buffers, and a decoder that is the word table itself."""
    tied = config.get("tie_word_embeddings", True) is not False
    places = {
        (tensor.file, tensor.offset, tensor.shape)
        for name, tensor in tensors.items()
        if name.endswith("embeddings.word_embeddings.weight")
    }
    parts, left = {}, []
    for name, tensor in tensors.items():
        is_table = (tensor.file, tensor.offset, tensor.shape) in places
        if name.endswith(tuple(BUFFERS)) or (tied and is_table and name.endswith(_TIED)):
            left.append(name)
        else:
            parts[name] = Part(tensor.dtype, tensor.shape, tensor.read_stored)
    return parts, left


def _checked(parts: Mapping[str, Part], config: Mapping[str, Any]) -> dict[str, Part]:
    """The parts under Hugging Face's names, once they are what the model needs; else raises."""
    read = RobertaConfig.from_hf(config)
    (architecture,) = config["architectures"]
    cls = class_named(config)
    check(
        parts,
        cls._shapes(read, set(parts), None),
        cls.aside,
        cross_attention=read.use_cross_attention,
    )
    prefix = "" if architecture == "RobertaModel" else "roberta."
    return {
        prefix + name if name.startswith(ENCODER) else name: part for name, part in parts.items()
    }


def _copy(copies: Mapping[Path, Path], partial: Path) -> None:
    """The other files; the weights of a module, which may be ``.bin``, as safetensors."""
    weights = {place: file for place, file in copies.items() if file.name in WEIGHTS}
    for place, file in weights.items():
        tensors = open_checkpoint(file.parent)
        parts = {n: Part(t.dtype, t.shape, t.read_stored) for n, t in tensors.items()}
        save_tensors(partial / place.with_name(SINGLE_FILE), parts)
    inside = {file.parent for file in weights.values()}
    rest = {
        place: file
        for place, file in copies.items()
        if file.parent not in inside or not file.name.endswith((".bin", ".safetensors"))
    }
    copy_files({p: f for p, f in rest.items() if f.name not in WEIGHTS}, partial)
