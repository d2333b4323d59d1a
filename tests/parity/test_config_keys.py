"""Every key that the classes of transformers read stands in our list."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from pyroberta.config_keys import _ONLY, COMPUTED, REFUSED, WITHOUT_EFFECT

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

KNOWN = {*COMPUTED, *REFUSED, *_ONLY, *(key for keys in WITHOUT_EFFECT.values() for key in keys)}
CONFIGS = ("RobertaConfig", "XLMRobertaConfig", "CamembertConfig", "Data2VecTextConfig")
MODULES = (
    "roberta.modeling_roberta",
    "xlm_roberta.modeling_xlm_roberta",
    "camembert.modeling_camembert",
    "data2vec.modeling_data2vec_text",
)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_configuration_has(name):
    cls = getattr(transformers, name)
    keys = set(cls().to_dict()) | set(inspect.signature(cls.__init__).parameters)
    for base in cls.__mro__:
        keys |= set(getattr(base, "__annotations__", {}))
    own = {key for key in keys if not key.startswith("_")} - {"self", "kwargs", "args"}
    assert own <= KNOWN, own - KNOWN


@pytest.mark.parametrize("name", MODULES)
def test_what_a_model_reads(name):
    source = inspect.getsource(importlib.import_module(f"transformers.models.{name}"))
    keys = set(re.findall(r"\bconfig\.(\w+)", source))
    assert len(keys) > 15
    assert keys <= KNOWN, keys - KNOWN
