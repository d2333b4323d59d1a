"""The settings beside a tokenizer: read as transformers reads them, or refused by key and value."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pyroberta import CheckpointError, RobertaConfig
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer

pytest.importorskip("tokenizers")

CONFIG = RobertaConfig.from_pretrained(SHIPPED)
WORDS = len(json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))["model"]["vocab"])
NEXT = max(
    WORDS,
    1
    + max(
        token["id"]
        for token in json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    ),
)
FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}


def folder(path: Path, settings: Any = None, change: Any = None, **files: Any) -> Path:
    """The shipped tokenizer with other settings; ``files``: name without .json -> what it holds."""
    path.mkdir(parents=True, exist_ok=True)
    content = json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))
    if change is not None:
        change(content)
    (path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    for name, value in {"tokenizer_config": settings, **files}.items():
        if value is not None:
            (path / f"{name}.json").write_text(json.dumps(value), "utf-8")
    return path


def ids(path: Path, text: str, max_tokens: int | None = None) -> list[int]:
    return Tokenizer.from_pretrained(path, max_tokens=max_tokens).encode_one(text)


@pytest.mark.parametrize("side", ["left", "right", None])
def test_texts_are_cut_on_the_side_that_the_settings_name(tmp_path, side):
    text = "The king lived in a large house and the dog ran."
    path = folder(tmp_path, None if side is None else {"truncation_side": side})
    whole = ids(path, text)
    inside = whole[-6:-1] if side == "left" else whole[1:6]
    assert ids(path, text, max_tokens=7) == [whole[0], *inside, whole[-1]]


ENTITY = {"content": "[ENT]", "special": True} | FLAGS
ADDED: dict[str, dict[str, Any]] = {
    "added_tokens_decoder": {"settings": {"added_tokens_decoder": {str(NEXT): ENTITY}}},
    "extra_special_tokens, a list": {"settings": {"extra_special_tokens": ["[ENT]"]}},
    "extra_special_tokens, named": {"settings": {"extra_special_tokens": {"entity": "[ENT]"}}},
    "additional_special_tokens": {"settings": {"additional_special_tokens": [ENTITY]}},
    "special_tokens_map.json": {"special_tokens_map": {"additional_special_tokens": ["[ENT]"]}},
    "added_tokens.json": {"added_tokens": {"[ENT]": NEXT}},
}


@pytest.mark.parametrize("place", ADDED)
@pytest.mark.parametrize("text", ["a [ENT] b", "a[ENT]b", "[ENT][ENT]"])
def test_an_added_token_is_one_wherever_it_is_named(tmp_path, place, text):
    with_it = folder(tmp_path / "with", **ADDED[place])
    without = folder(tmp_path / "without")
    pieces = text.split("[ENT]")
    expected: list[int] = []
    for number, piece in enumerate(pieces):
        expected += [NEXT] if number else []
        expected += ids(without, piece)[1:-1] if piece else []
    assert ids(with_it, text) == [0, *expected, 2]


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_the_flags_of_an_added_token_count(tmp_path, flag):
    token = ENTITY | {flag: True}
    path = folder(tmp_path, {"added_tokens_decoder": {str(NEXT): token}})
    plain = folder(tmp_path / "plain", {"added_tokens_decoder": {str(NEXT): ENTITY}})
    text = "a[ENT]b" if flag == "single_word" else "a [ENT] b"
    assert ids(path, text) != ids(plain, text)


def test_settings_that_list_the_added_tokens_make_the_older_files_silent(tmp_path):
    path = folder(
        tmp_path,
        {"added_tokens_decoder": {str(NEXT): ENTITY}},
        special_tokens_map={"additional_special_tokens": ["[OLD]"]},
        added_tokens={"[OLDER]": NEXT + 5},
    )
    assert ids(path, "[OLD] [OLDER]") == ids(folder(tmp_path / "plain"), "[OLD] [OLDER]")


@pytest.mark.parametrize("name", ["RobertaTokenizer", "RobertaTokenizerFast", None])
@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("said", [True, False, None])
def test_a_space_before_the_text_is_as_the_settings_say(tmp_path, name, in_file, said):
    def change(content: Any) -> None:
        content["pre_tokenizer"]["add_prefix_space"] = in_file

    settings = {"tokenizer_class": name, "add_prefix_space": said}
    path = folder(tmp_path, {k: v for k, v in settings.items() if v is not None}, change)
    # A RoBERTa class without the key means none.
    wanted = said if said is not None else (in_file if name is None else False)

    def as_wanted(content: Any) -> None:
        content["pre_tokenizer"]["add_prefix_space"] = wanted

    assert ids(path, "dog") == ids(folder(tmp_path / "wanted", None, as_wanted), "dog")


@pytest.mark.parametrize(
    ("name", "adds"),
    [
        ("RobertaTokenizer", True),
        ("RobertaTokenizerFast", True),
        ("XLMRobertaTokenizerFast", True),
        ("CamembertTokenizer", True),
        ("PreTrainedTokenizerFast", False),
    ],
)
def test_a_roberta_class_puts_the_special_tokens_around_that_its_file_lacks(tmp_path, name, adds):
    def change(content: Any) -> None:
        content["post_processor"] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        }

    got = ids(folder(tmp_path, {"tokenizer_class": name}, change), "the dog")
    whole = ids(folder(tmp_path / "plain"), "the dog")
    assert got == (whole if adds else whole[1:-1])


def test_special_tokens_in_a_text_are_split_where_the_settings_say(tmp_path):
    split = ids(folder(tmp_path, {"split_special_tokens": True}), "a <mask> b")
    whole = ids(folder(tmp_path / "plain"), "a <mask> b")
    mask = Tokenizer.from_pretrained(SHIPPED).mask_token_id
    assert mask in whole
    assert mask not in split


@pytest.mark.parametrize("dropout", [0.1, 0.5, 1.0])
def test_dropout_left_in_a_file_changes_no_answer(tmp_path, dropout):
    def change(content: Any) -> None:
        content["model"]["dropout"] = dropout

    text = "The king lived in a large house and the dog ran."
    dropped = folder(tmp_path, None, change)
    assert {tuple(ids(dropped, text)) for _ in range(5)} == {
        tuple(ids(folder(tmp_path / "plain"), text))
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_max_length": "512"}, "model_max_length in FILE must be a number .*, not '512'"),
        ({"model_max_length": 0}, "model_max_length in FILE must be a number .*, not 0"),
        ({"model_max_length": True}, "model_max_length in FILE must be a number .*, not True"),
        ({"truncation_side": "up"}, "truncation_side in FILE must be 'left' or 'right', not 'up'"),
        ({"add_prefix_space": 1}, "add_prefix_space in FILE must be true or false, not 1"),
        ({"split_special_tokens": "yes"}, "split_special_tokens in FILE must be true or false"),
        ({"added_tokens_decoder": [3]}, "added_tokens_decoder in FILE must be an object"),
        ({"added_tokens_decoder": {"x": ENTITY}}, "added_tokens_decoder .* ids as keys, not 'x'"),
        ({"added_tokens_decoder": {"9": 3}}, "added_tokens_decoder .* a text under content, not 3"),
        (
            {"added_tokens_decoder": {str(NEXT): ENTITY | {"lstrip": 1}}},
            r"lstrip of '\[ENT\]' in added_tokens_decoder in FILE must be true or false, not 1",
        ),
        ({"added_tokens_decoder": {str(NEXT + 3): ENTITY}}, f"not {NEXT + 3}"),
        ({"extra_special_tokens": "x"}, "extra_special_tokens in FILE must be a list"),
        ({"extra_special_tokens": [4]}, "extra_special_tokens in FILE must be texts"),
    ],
)
def test_a_setting_of_another_kind_is_refused_by_file_key_and_value(tmp_path, settings, message):
    with pytest.raises(CheckpointError, match=message.replace("FILE", ".*tokenizer_config.json")):
        Tokenizer.from_pretrained(folder(tmp_path, settings))


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": ' + "9" * 5000 + "}", "[" * 100_000, "\udc80", "[]", ""]
)
def test_settings_that_are_no_sound_object_are_refused_by_their_file(tmp_path, text):
    path = folder(tmp_path)
    (path / "tokenizer_config.json").write_text(text, "utf-8", "surrogatepass")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json must "):
        Tokenizer.from_pretrained(path)


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 471295593\n"


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
)
def test_a_pointer_of_git_lfs_is_named_for_what_it_is(tmp_path, name):
    path = folder(tmp_path)
    (path / name).write_text(POINTER)
    with pytest.raises(CheckpointError, match=f"{name} must be the file itself, not a git-lfs"):
        Tokenizer.from_pretrained(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "added_tokens.json"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    path = folder(tmp_path)
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    with pytest.raises(CheckpointError, match=f"{name} must be a regular file"):
        Tokenizer.from_pretrained(path)


def test_the_shipped_tokenizer_is_left_as_it_is(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "copy")
    text = "The king's <mask> lived in a large house."
    assert ids(tmp_path / "copy", text) == ids(folder(tmp_path / "plain"), text)
