"""The names of tensors: how files spell them, and which of them a model needs.

Inside this package a tensor of the encoder goes by Hugging Face's name without the family's prefix
(``embeddings.word_embeddings.weight``), one of a head by its full name (``lm_head.bias``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from ..arrays import Shapes
from ..errors import CheckpointError
from .reader import Tensor

# What the families put before the encoder's names; none in a bare encoder's file.
PREFIXES = ("", "roberta.", "xlm_roberta.", "xlm-roberta.", "camembert.", "data2vec_text.")

_WORDS = "embeddings.word_embeddings.weight"

# Buffers that older versions of transformers saved: they hold 0, 1, 2, ... and zeros.
BUFFERS = {"embeddings.position_ids", "embeddings.token_type_ids"}

# Where the encoder's own tensors stand; what a model was trained with beside it stands elsewhere.
ENCODER = ("embeddings.", "encoder.", "pooler.")

_CROSS = re.compile(r"encoder\.layer\.\d+\.crossattention\..*")

# Other spellings of the language-model head: the old name of the decoder's weight, and the bias,
# of which an untied model's decoder has its own (the one that counts where both are there; in a
# tied model they are the same tensor).
_OLD_DECODER, _DECODER = "lm_head.weight", "lm_head.decoder.weight"
_DECODER_BIAS, _BIAS = "lm_head.decoder.bias", "lm_head.bias"


_SHOWN = 16  # tensors of each kind that an error lists


def find_prefix(names: Iterable[str], prefixes: Collection[str] = PREFIXES) -> str:
    """What stands before the encoder's names in a file. Raises CheckpointError if unclear."""
    found = sorted(name[: -len(_WORDS)] for name in names if name.endswith(_WORDS))
    if len(found) != 1 or found[0] not in prefixes:
        expected = ", ".join(map(repr, prefixes))
        raise CheckpointError(
            f"checkpoint must hold {_WORDS} once, after one of the prefixes {expected}, "
            f"not after {found if found else 'none'}"
        )
    return found[0]


def rename(
    checkpoint: Mapping[str, Tensor], prefixes: Collection[str] = PREFIXES
) -> dict[str, Tensor]:
    """The tensors of a file under this package's names, buffers left out.

    Raises:
        CheckpointError: no known prefix, or two tensors of one name.
    """
    prefix = find_prefix(checkpoint, prefixes)
    renamed: dict[str, Tensor] = {}
    for name, tensor in checkpoint.items():
        ours = name[len(prefix) :] if name.startswith(prefix) else name
        ours = re.sub(r"(LayerNorm|layer_norm)\.gamma$", r"\1.weight", ours)
        ours = re.sub(r"(LayerNorm|layer_norm)\.beta$", r"\1.bias", ours)
        if ours in BUFFERS:
            continue
        if ours in renamed:
            raise CheckpointError(
                f"checkpoint must hold {ours} once, not as {renamed[ours].name} and as {name}"
            )
        renamed[ours] = tensor
    if _OLD_DECODER in renamed:
        renamed.setdefault(_DECODER, renamed[_OLD_DECODER])
    if _DECODER_BIAS in renamed:
        renamed[_BIAS] = renamed[_DECODER_BIAS]
    return renamed


class Shaped(Protocol):
    """A tensor, read or not."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""


def check(
    tensors: Mapping[str, Shaped],
    shapes: Shapes,
    aside: Collection[str],
    *,
    cross_attention: bool,
    any_head: bool = False,
) -> None:
    """Raise one CheckpointError that lists every missing, extra and misshapen tensor.

    Args:
        tensors: of the file, renamed.
        shapes: of every tensor that the model needs.
        aside: the tensors of the family's heads: one may stand in the file of a model opened as
            another.
        cross_attention: the configuration has cross attention, which the model may leave aside.
        any_head: the model has no head, so whatever stands beside the encoder is left aside.
    """
    missing = [f"{name} {list(shapes[name])}" for name in shapes if name not in tensors]
    misshapen = [
        f"{name} must be {list(shape)}, not {list(tensors[name].shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    extra = [
        f"{name} {list(tensor.shape)}"
        for name, tensor in tensors.items()
        if name not in shapes
        and name not in aside
        and not (cross_attention and _CROSS.fullmatch(name))
        and (name.startswith(ENCODER) or not any_head)
    ]
    problems = [
        f"{what}: {'; '.join(found[:_SHOWN])}"
        + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
        for what, found in (("missing", missing), ("extra", extra), ("misshapen", misshapen))
        if found
    ]
    if problems:
        raise CheckpointError(
            "checkpoint must hold exactly the tensors of the model; "
            + " | ".join(problems)
            + _ignore_hint(extra)
        )


def _ignore_hint(extra: list[str]) -> str:
    """How to leave the tensors of another head aside, by the first part of their names."""
    heads = [name for name in extra if not name.startswith(ENCODER)]
    patterns = sorted({name.split(" ")[0].split(".")[0] + ".*" for name in heads})
    return f" | a head that is not needed is left aside by ignore={patterns}" if patterns else ""
