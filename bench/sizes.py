"""The batches that are measured: their lengths, their ids, and how often a turn calls them."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np

DEFAULT_SIZES = ("1x16", "1x128", "1x512", "8x128", "32x32", "ragged64")
LONG_SIZES = ("1x4096",)

# Tokens whose errors are taken, where a row has no more: float64 takes some seconds for them.
JUDGED_TOKENS = 1024

# bfloat16x3 holds two bfloat16 for each weight.
BYTES_PER_WEIGHT = {"float64": 8, "float32": 4, "bfloat16x3": 4, "bfloat16": 2, "int8": 1}

# Rows with more tokens than this need the checkpoint with long positions.
SHORT_POSITIONS = 512
LONG_POSITIONS = 8192


@dataclasses.dataclass(frozen=True)
class Size:
    """A batch by the lengths of its rows.

    Attributes:
        name: ``ROWSxTOKENS``, or ``raggedROWS``.
        lengths: the number of tokens of each row.
    """

    name: str
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens in all, without padding."""
        return sum(self.lengths)

    @property
    def is_long(self) -> bool:
        """Whether the rows are too long for the usual 514 positions."""
        return max(self.lengths) > SHORT_POSITIONS

    @property
    def warm_calls(self) -> int:
        """Unmeasured calls at the head of a turn: they bring weights and threads back."""
        return 1 if self.tokens <= 512 else 0

    @property
    def calls(self) -> int:
        """Measured calls of a turn; the turn counts as their median."""
        if self.tokens <= 64:
            return 5
        return 3 if self.tokens <= 256 else 1

    def flops(self, config: dict[str, Any]) -> float:
        """Two for each multiply-add of the blocks' products, attention included, pads excluded."""
        hidden, wide, blocks = _sizes(config)
        linear = self.tokens * (4 * hidden * hidden + 2 * hidden * wide)
        attention = 2 * hidden * sum(n * n for n in self.lengths)
        return 2.0 * blocks * (linear + attention)

    @property
    def judged_batches(self) -> int:
        """Of how many batches errors are taken: as many as have no more than ``JUDGED_TOKENS``."""
        return max(1, JUDGED_TOKENS // self.tokens)

    @property
    def judged_rows(self) -> int:
        """Of how many of a batch's rows errors are taken: at least one."""
        sums = np.cumsum(self.lengths)
        return max(1, int(np.searchsorted(sums, JUDGED_TOKENS, side="right")))

    def rows(self, vocab_size: int, batch: int = 0) -> list[list[int]]:
        """The ids of a batch: fixed by its number and the name.

        Never a special token (0 to 4 in RoBERTa's vocabularies).
        """
        seed = [len(self.lengths), self.tokens, batch]
        rng = np.random.default_rng(seed if batch else seed[:2])
        return [rng.integers(5, vocab_size, n).tolist() for n in self.lengths]


def weight_bytes(config: dict[str, Any], compute_type: str = "float32") -> float:
    """Bytes of the blocks' matrices in that type, which a call must read at least once."""
    hidden, wide, blocks = _sizes(config)
    return BYTES_PER_WEIGHT[compute_type] * blocks * (4 * hidden**2 + 2 * hidden * wide)


def _sizes(config: dict[str, Any]) -> tuple[int, int, int]:
    return config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]


def parse_size(name: str) -> Size:
    """``"8x128"`` or ``"ragged64"`` as a ``Size``. Raises ValueError."""
    if match := re.fullmatch(r"(\d+)x(\d+)", name):
        rows, tokens = int(match[1]), int(match[2])
        if rows and 0 < tokens <= LONG_POSITIONS:
            return Size(name, (tokens,) * rows)
    if match := re.fullmatch(r"ragged([1-9]\d*)", name):
        return Size(name, ragged_lengths(int(match[1])))
    raise ValueError(f"size must be ROWSxTOKENS (tokens up to 8192) or raggedROWS, not {name!r}")


def ragged_lengths(rows: int) -> tuple[int, ...]:
    """Lengths like those of real texts: log-normal, mean about 45, from 4 to 256, fixed seed."""
    sigma = 0.7
    rng = np.random.default_rng(20)
    drawn = rng.lognormal(math.log(45) - sigma * sigma / 2, sigma, rows)
    return tuple(int(n) for n in np.clip(np.rint(drawn), 4, 256))
