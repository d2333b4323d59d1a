"""The compiled kernels. Private: use the pyroberta package."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]
_Bytes = NDArray[np.uint8]

version: str
threads: str  # whose threads run the kernels: "pool" (our own) or "openmp"
attention_queries: int

class Kernels:
    @property
    def isa(self) -> str: ...
    @property
    def panel(self) -> int: ...
    @property
    def together(self) -> int: ...
    @property
    def has_bfloat16x3(self) -> bool: ...
    def to_operand(self, compute_type: int, x: _Floats) -> _Floats: ...
    def linear_operand(
        self, x: _Floats, weight: Packed, bias: _Floats | None, activation: int
    ) -> _Floats: ...
    def linear(
        self, x: _Floats, weight: Packed, bias: _Floats | None, activation: int
    ) -> _Floats: ...
    def linear_rows(self, x: _Floats, weight: _Floats, bias: _Floats | None) -> _Floats: ...
    def activate(self, activation: int, x: _Floats) -> _Floats: ...
    def layer_norm(
        self,
        x: _Floats,
        residual: _Floats | None,
        gamma: _Floats,
        beta: _Floats,
        eps: float,
    ) -> _Floats: ...
    def embeddings(
        self,
        word: _Floats,
        type: _Floats,
        position: _Floats,
        ids: _Ints,
        types: _Ints,
        positions: _Ints,
        gamma: _Floats,
        beta: _Floats,
        eps: float,
    ) -> _Floats: ...
    def attention(
        self,
        q: _Floats,
        k: _Floats,
        v: _Floats,
        visible: int,
        scale: float,
        head_weight: float,
        compute_type: int = 0,
    ) -> _Floats: ...
    def attention_weights(
        self, q: _Floats, k: _Floats, visible: int, scale: float, head_weight: float
    ) -> _Floats: ...

class Packed:
    @overload
    def __init__(self, kernels: Kernels, weight: _Floats, compute_type: int = 0) -> None: ...
    @overload
    def __init__(
        self, kernels: Kernels, memory: _Bytes, n: int, k: int, compute_type: int
    ) -> None: ...
    def memory(self) -> _Bytes: ...
    @property
    def n(self) -> int: ...
    @property
    def k(self) -> int: ...
    def layout(self) -> _Floats: ...

class Block:
    def __init__(
        self,
        kernels: Kernels,
        hidden: int,
        intermediate_size: int,
        heads: int,
        activation: int,
        eps: float,
        has_cross: bool = False,
        compute_type: int = 0,
        memory: _Bytes | None = None,
    ) -> None: ...
    def memory(self) -> _Bytes: ...
    def cross_key_values(self, x: _Floats) -> _Floats: ...
    def set_linear(self, name: str, weight: _Floats, bias: _Floats) -> None: ...
    def read_linear(self, name: str, places: list[tuple[int, int, int]], bias: _Floats) -> None: ...
    def set_norm(self, name: str, gamma: _Floats, beta: _Floats) -> None: ...

class Workspaces:
    def __init__(self) -> None: ...

def run_blocks(
    blocks: list[Block],
    x: _Floats,
    offsets: _Ints,
    workspaces: Workspaces,
    *,
    head_mask: _Floats | None = None,
    causal: bool = False,
    want_attentions: bool = False,
    cache: tuple[list[_Floats], list[_Floats], _Ints] | None = None,
    cross: tuple[list[_Floats], _Ints, _Ints, _Floats | None] | None = None,
    out: _Floats | None = None,
) -> tuple[_Floats, _Floats | None, _Floats | None]: ...

class UsualArithmetic:
    def __init__(self) -> None: ...
    def enter(self) -> None: ...
    def leave(self) -> None: ...

def built_isas() -> list[str]: ...
def find_kernels(isa: str) -> Kernels | None: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def leave_cpus(taken: Sequence[int]) -> int: ...
