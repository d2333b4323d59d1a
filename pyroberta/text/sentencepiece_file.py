"""Reads a model of SentencePiece: its pieces, their scores and its table of characters.

The file is a message of protocol buffers (``sentencepiece_model.proto``), of which these three are
read; the wire format is Google's (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..small_json import check_is_file

# XLM-RoBERTa's, of 250,000 pieces, has 5 MB.
_MOST_BYTES = 2**27

# Field numbers of sentencepiece_model.proto.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # of ModelProto
_TEXT, _SCORE = 1, 2  # of SentencePiece
_MODEL_TYPE, _UNIGRAM = 3, 1  # of TrainerSpec; absent is Unigram
_CHARSMAP = 2  # of NormalizerSpec


@dataclasses.dataclass(frozen=True)
class SentencePieces:
    """What a model holds.

    Attributes:
        pieces: each one's text and score, in the order of SentencePiece's ids.
        charsmap: its normalisation, as it stands in the file.
    """

    pieces: list[tuple[str, float]]
    charsmap: bytes


def read_sentencepieces(file: Path) -> SentencePieces:
    """The pieces of a Unigram model (Kudo 2018, https://arxiv.org/abs/1804.10959).

    Raises:
        CheckpointError: no such model, or one of another type.
    """
    check_is_file(file)
    size = file.stat().st_size
    if size > _MOST_BYTES:
        raise CheckpointError(f"{file} must be at most {_MOST_BYTES} bytes, not {size}")
    pieces: list[tuple[str, float]] = []
    charsmap = b""
    kind = _UNIGRAM
    try:
        for number, value in _fields(memoryview(file.read_bytes())):
            if number == _PIECES:
                piece = dict(_fields(value))
                (score,) = struct.unpack("<f", piece.get(_SCORE, bytes(4)))
                pieces.append((str(piece[_TEXT], "utf-8"), score))
            elif number == _TRAINER:
                kind = dict(_fields(value)).get(_MODEL_TYPE, _UNIGRAM)
            elif number == _NORMALIZER:
                charsmap = bytes(dict(_fields(value)).get(_CHARSMAP, b""))
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise CheckpointError(
            f"{file} must be a model of SentencePiece, not one that is cut or malformed: {error}"
        ) from None
    if kind != _UNIGRAM or len(pieces) < 4:
        raise CheckpointError(
            f"{file} must be a Unigram model of SentencePiece with its pieces, "
            f"not of type {kind} with {len(pieces)}"
        )
    return SentencePieces(pieces, charsmap)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Each field's number and value: an int, or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of wire type {kind}")
        if size > len(data) - at:
            raise ValueError(f"a field of {size} bytes where {len(data) - at} are left")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number that does not end")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
