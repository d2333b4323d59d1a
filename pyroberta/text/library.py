"""The ``tokenizers`` library: imported where it is used, and its errors made into ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..errors import CheckpointError


def import_tokenizers() -> Any:
    """The ``tokenizers`` library. Raises ImportError that says how to install it, or what fails."""
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ImportError(
            f'text needs the tokenizers library: pip install "pyroberta[text]" ({error})'
        ) from None
    except ImportError as error:  # it is there: for want of memory, say
        raise ImportError(f"the tokenizers library cannot be loaded: {error}") from None
    return tokenizers


@contextlib.contextmanager
def library_reads(what: str) -> Iterator[None]:
    """Around a call of the library that takes what stood in a file.

    Args:
        what: the file and what it must be, the beginning of the error.

    Raises:
        CheckpointError: the library refused it. It raises plain ``Exception`` for what is
            malformed, and where it fails itself a ``PanicException``, which is none.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{what}: {error}") from None
