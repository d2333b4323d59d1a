"""The steps of a live PyTorch model, by hooks on its modules. PyTorch is the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..arrays import Array
from ..errors import InputError
from .others import as_floats


@contextlib.contextmanager
def record_modules(model: Any) -> Iterator[dict[str, Array]]:
    """Keep what each module of a PyTorch model is given and gives, while it is called.

    Args:
        model: a ``torch.nn.Module``, of transformers, fairseq or another library.

    Yields:
        A mapping to give to ``pyroberta.trust.compare``, filled by the next call of the model: what
        a module gives under its name (of several results the first as ``name:0``, ...), what it is
        given as ``name:input``. Attention weights are among them where the library gives them
        (``attn_implementation="eager"``).

    Raises:
        InputError: something that has no modules.

    Example:
        >>> with pyroberta.trust.record_modules(theirs) as steps:  # doctest: +SKIP
        ...     theirs(input_ids=ids, attention_mask=mask)
        >>> print(pyroberta.trust.compare(mine, steps))  # doctest: +SKIP
    """
    modules = getattr(model, "named_modules", None)
    if modules is None:
        raise InputError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    steps: dict[str, Array] = {}

    def keep(name: str, value: Any) -> None:
        if hasattr(value, "is_floating_point") and value.is_floating_point():
            steps[name] = as_floats(name, value.detach().clone())

    def hook(name: str) -> Any:
        def of_module(_: Any, given: Any, gives: Any) -> None:
            if given:
                keep(f"{name}:input", given[0])
            if isinstance(gives, tuple):
                for n, value in enumerate(gives):
                    keep(f"{name}:{n}", value)
            elif hasattr(gives, "keys"):  # an output of transformers
                for key in gives.keys():  # noqa: SIM118 (it iterates over values)
                    keep(f"{name}.{key}" if name else key, gives[key])
            else:
                keep(name, gives)

        return of_module

    with contextlib.ExitStack() as hooks:
        for name, module in modules():
            hooks.callback(module.register_forward_hook(hook(name)).remove)
        yield steps
