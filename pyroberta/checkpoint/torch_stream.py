"""The bytes of a pickle in a file, and how one is refused that is no state dict's."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from ..errors import CheckpointError

# A state dict of 1,000 tensors takes 200 KB.
MOST_BYTES = 2**24
_LINE = 512  # bytes of a name

_SAFE = (
    "nothing that it names is imported or called. If you trust the file, convert it where PyTorch "
    "is: torch.load it, and save its state dict by safetensors.torch.save_file"
)


class Stream:
    """A part of a file, read from its beginning on.

    Args:
        file: its name, for errors.
        raw: the open file, which stands at the part's beginning.
        size: of the part in bytes; at most ``MOST_BYTES`` are read of it.
    """

    def __init__(self, file: Path, raw: IO[bytes], size: int) -> None:
        self.file = file
        self._raw = raw
        self._left = min(size, MOST_BYTES)
        self._capped = size > MOST_BYTES
        self._frame = 0  # what is left of it
        self._framed = False  # the opcode that is being read began in one

    def read(self, n: int) -> bytes:
        """The next ``n`` bytes. Raises CheckpointError where there are not as many."""
        if self._framed and n > self._frame:
            raise self.refuse("an opcode that crosses its frame's end")
        data = self._raw.read(n) if n <= self._left else b""
        if len(data) != n:
            if self._capped:
                raise self.refuse(f"a longer one: {MOST_BYTES} bytes of pickle are the most")
            raise self.refuse("a part of it: it was cut, or says that it is longer")
        self._left -= n
        self._frame = max(0, self._frame - n)
        return data

    def opcode(self) -> bytes:
        """The next byte; what is read after it stands in the same frame. Raises as ``read``."""
        self._framed = self._frame > 0
        return self.read(1)

    def number(self, n: int, *, signed: bool = False) -> int:
        """The next ``n`` bytes as a number; raises as ``read``."""
        return int.from_bytes(self.read(n), "little", signed=signed)

    def line(self) -> bytes:
        """The bytes up to the next line's end, which is read too; raises as ``read``."""
        line = bytearray()
        while (byte := self.read(1)) != b"\n":
            line += byte
            if len(line) > _LINE:
                raise self.refuse(f"a line of more than {_LINE} bytes")
        return bytes(line)

    def begin_frame(self, size: int) -> None:
        """The next ``size`` bytes are one frame. Raises CheckpointError where they cannot be."""
        if self._frame or size > self._left:
            raise self.refuse(
                f"a frame of {size} bytes, of which {self._frame or self._left} stand"
            )
        self._frame = size

    def end(self) -> None:
        """The pickle ends here. Raises CheckpointError within a frame."""
        if self._frame:
            raise self.refuse(f"a pickle that ends {self._frame} bytes before its frame")

    def refuse(self, came: str) -> CheckpointError:
        """The error for ``came`` in place of a state dict."""
        return CheckpointError(f"{self.file} must hold a state dict of tensors alone, not {came}")

    def refuse_code(self, wanted: str) -> CheckpointError:
        """The error for a pickle that asks for more than a state dict has."""
        return self.refuse(f"a pickle that wants {wanted}; {_SAFE}")
