"""Arguments that name one of a few: what cannot be looked up is refused like an unknown name."""

from __future__ import annotations

import re

import pytest

import pyroberta.accuracy
from pyroberta import ConfigError, InputError
from pyroberta.shipped import SHIPPED

NAMED = {
    "architecture": (ConfigError, lambda x: pyroberta.from_pretrained(SHIPPED, architecture=x)),
    "backend": (ConfigError, lambda x: pyroberta.from_pretrained(SHIPPED, backend=x)),
    "compute_type": (ConfigError, lambda x: pyroberta.from_pretrained(SHIPPED, compute_type=x)),
    "task": (ConfigError, lambda x: pyroberta.pipeline(x)),
    "against": (InputError, lambda x: pyroberta.accuracy.compare(SHIPPED, ["a"], against=x)),
}


@pytest.mark.parametrize("value", [["base"], {"base": 1}, {"base"}, 3])
@pytest.mark.parametrize("name", NAMED)
def test_what_is_no_name_is_refused(name, value):
    error, call = NAMED[name]
    with pytest.raises(error, match=f"{name} must be .*not {re.escape(repr(value))}"):
        call(value)
