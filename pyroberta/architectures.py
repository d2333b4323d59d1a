"""The seven architectures by their names, and the class that opens a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .checkpoint.adapter import read_task
from .checks import excerpt, is_name_of
from .config import RobertaConfig, read_config_json
from .decoder.causal import RobertaForCausalLM
from .errors import ConfigError
from .models import ENCODERS, Model
from .opening import find_folder, find_model, transformer_folder

ARCHITECTURES: tuple[type[Model[Any]], ...] = (*ENCODERS, RobertaForCausalLM)

# The families whose class names differ only in what stands before "Model" or "For...".
_FAMILIES = ("Roberta", "XLMRoberta", "Camembert", "Data2VecText")
_BY_CLASS: dict[str, type[Model[Any]]] = {
    family + cls.__name__.removeprefix("Roberta"): cls
    for family in _FAMILIES
    for cls in ARCHITECTURES
}
# Older names of the causal model.
_BY_CLASS |= {"RobertaLMHeadModel": RobertaForCausalLM, "XLMRobertaLMHeadModel": RobertaForCausalLM}
_BY_ARCHITECTURE = {cls.architecture: cls for cls in ARCHITECTURES}


def from_pretrained(
    path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    architecture: str | None = None,
    **options: Any,
) -> Model[Any]:
    """Load a checkpoint as the class that its ``config.json`` names.

    Args:
        path: the checkpoint's folder, or its Hub name; see ``RobertaModel.from_pretrained``.
        revision: of a Hub name: a branch, a tag or a commit.
        architecture: a class's ``architecture``, e.g. ``"for_token_classification"``, in place
            of what ``config.json`` says.
        **options: as for each class's ``from_pretrained``.

    Raises:
        ConfigError: an unknown ``architecture``, or ``config.json`` does not name exactly one
            known class.
    """
    folder = transformer_folder(find_folder(path, revision=revision))
    cls = find_class(folder, architecture, adapter=options.get("adapter"))
    return cls.from_pretrained(folder, **options)


def find_class(
    path: str | os.PathLike[str], architecture: str | None = None, *, adapter: Any = None
) -> type[Model[Any]]:
    """The class that ``from_pretrained`` opens a folder as; raises as it does."""
    if architecture is not None:
        if not is_name_of(architecture, _BY_ARCHITECTURE):
            raise ConfigError(
                f"architecture must be one of {', '.join(_BY_ARCHITECTURE)}, "
                f"not {excerpt(architecture)}"
            )
        return _BY_ARCHITECTURE[architecture]
    found = find_model(path, adapter=adapter)
    task = None if found.adapter is None else read_task(found.adapter)
    if task is not None:
        return _BY_ARCHITECTURE[task]
    return class_named(read_config_json(found.folder))


def class_named(config: Mapping[str, Any]) -> type[Model[Any]]:
    """The class that a ``config.json`` names. Raises ConfigError unless it is one that is known."""
    RobertaConfig.from_hf(config)  # another family is refused by its own reason first
    named = config.get("architectures")
    if not isinstance(named, list) or len(named) != 1 or not is_name_of(named[0], _BY_CLASS):
        raise ConfigError(
            f"architectures in config.json must be one of {', '.join(_BY_CLASS)}, "
            f"not {excerpt(named)}; "
            "or name the class yourself with architecture="
        )
    return _BY_CLASS[named[0]]
