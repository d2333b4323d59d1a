"""The exceptions of this package: each a ``ValueError``, so that one ``except`` catches all."""

from __future__ import annotations


class ConfigError(ValueError):
    """A configuration that names no model that this package computes."""


class CheckpointError(ValueError):
    """A checkpoint whose files or tensors are not what its configuration asks for."""


class InputError(ValueError):
    """An argument of a model call that does not fit the model or the other arguments."""
