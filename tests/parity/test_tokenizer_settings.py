"""The settings beside tokenizer.json: the ids of transformers, for each of them."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

CONTENT = json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))
OWN = {token["id"]: token for token in CONTENT["added_tokens"]}
NEXT = max(len(CONTENT["model"]["vocab"]), 1 + max(OWN))
FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
ENTITY = {"content": "[ENT]", "special": True} | FLAGS


def decoder(**changes: Any) -> dict[str, Any]:
    """``added_tokens_decoder`` with one token more than the file has."""
    own = {str(i): {k: v for k, v in one.items() if k != "id"} for i, one in OWN.items()}
    return {"added_tokens_decoder": own | {str(NEXT): ENTITY | changes}}


SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "cut on the left": {"truncation_side": "left"},
    "a limit": {"model_max_length": 9},
    "a space before": {"add_prefix_space": True},
    "an added token": decoder(),
    "one that takes the space": decoder(lstrip=True),
    "one that is not special": decoder(special=False, normalized=True),
    "extra_special_tokens": {"extra_special_tokens": ["[ENT]"]},
    "additional_special_tokens": {"additional_special_tokens": ["[ENT]"]},
    "special tokens split": {"split_special_tokens": True},
}
ROLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
TEXTS = [
    "the dog [ENT] runs",
    "a[ENT]b",
    "</s> in <mask> text",
    "  two  spaces ",
    "naïve 東京 🙂",
    "The king lived in a large house and the dog ran away today",
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", ["RobertaTokenizer", "PreTrainedTokenizerFast"])
def test_ids_are_those_of_transformers(name, settings, tmp_path):
    if name == "PreTrainedTokenizerFast" and settings == "a space before":
        pytest.skip("transformers 4 reads the key for this class, transformers 5 does not: we do")
    if settings == "extra_special_tokens" and transformers.__version__ < "5":
        # list.keys() is its AttributeError: there are no ids to compare with.
        pytest.skip("transformers 4 takes an object there, and fails at a list")
    for file in ("tokenizer.json", "config.json"):
        shutil.copy(SHIPPED / file, tmp_path)
    said = {"tokenizer_class": name} | ROLES | SETTINGS[settings]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    limited = theirs.model_max_length < 10**9
    want = [theirs(text, truncation=limited)["input_ids"] for text in TEXTS]
    assert Tokenizer.from_pretrained(tmp_path).encode(TEXTS) == want
