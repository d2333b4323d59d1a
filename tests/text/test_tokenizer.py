"""The tokenizer: the ids of each kind of folder, the true limits, and every refusal."""

from __future__ import annotations

import json
import shutil
import sys
import threading

import numpy as np
import pytest

from pyroberta import CheckpointError, InputError, RobertaConfig
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer

pytest.importorskip("tokenizers")

CONFIG = RobertaConfig.from_pretrained(SHIPPED)
TEXTS = [
    "The king lived in a large house.",
    "",
    " two  spaces ",
    "a<mask> of <mask>.",
    "naïve café — 東京 🙂",
    "</s> in the text <s>",
    "tab\tand\nnewline",
    "nul \x00 byte",
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_pretrained(SHIPPED, config=CONFIG)


@pytest.fixture
def bpe_folder(tmp_path):
    """The shipped vocabulary as vocab.json and merges.txt."""
    model = json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))["model"]
    added = json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    vocab = model["vocab"] | {token["content"]: token["id"] for token in added}
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    return tmp_path


def unigram_folder(folder):
    """A small SentencePiece-like tokenizer, as XLM-R and CamemBERT have them."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", "▁king", ".", "'", "s", "▁not", "<mask>"]
    special = [w for w in words if w.startswith("<")]
    flags = {"single_word": False, "rstrip": False, "normalized": False, "special": True}
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [
                    {"id": words.index(w), "content": w, "lstrip": w == "<mask>"} | flags
                    for w in special
                ],
                "pre_tokenizer": {
                    "type": "Metaspace",
                    "replacement": "▁",
                    "prepend_scheme": "always",
                },
                "post_processor": {
                    "type": "RobertaProcessing",
                    "sep": ["</s>", 2],
                    "cls": ["<s>", 0],
                    "trim_offsets": True,
                    "add_prefix_space": False,
                },
                "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
                "model": {
                    "type": "Unigram",
                    "unk_id": 3,
                    "vocab": [[w, 0.0 if w in special else -1.0 - len(w) / 10] for w in words],
                },
            }
        ),
        "utf-8",
    )
    return folder


def test_ids_stand_between_the_special_tokens(tokenizer):
    (ids,) = tokenizer.encode(["The king"])
    assert ids[0] == CONFIG.bos_token_id
    assert ids[-1] == CONFIG.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "The king"


def test_a_pair_has_two_separators_between(tokenizer):
    first, second = tokenizer.encode(["one", "two"])
    assert tokenizer.encode([("one", "two")]) == [[*first, CONFIG.eos_token_id, *second[1:]]]


def test_without_special_tokens_the_text_alone_is_encoded(tokenizer):
    with_them = tokenizer.encode(TEXTS)
    without = tokenizer.encode(TEXTS, add_special_tokens=False)
    assert without == [ids[1:-1] for ids in with_them]


def test_an_empty_text_is_its_special_tokens(tokenizer):
    assert tokenizer.encode([""]) == [[CONFIG.bos_token_id, CONFIG.eos_token_id]]
    assert tokenizer.encode([]) == []


def test_the_mask_takes_the_space_before_it(tokenizer):
    assert tokenizer.encode(["a <mask>"]) == tokenizer.encode(["a<mask>"])
    assert tokenizer.mask_token == "<mask>"
    assert tokenizer.encode(["<mask>"])[0][1] == tokenizer.mask_token_id


@pytest.mark.parametrize("limit", [3, 7, None])
def test_texts_are_cut_to_the_limit_and_keep_their_end(tokenizer, limit):
    cut = Tokenizer.from_pretrained(SHIPPED, config=CONFIG, max_tokens=limit)
    (ids,) = cut.encode(["a word " * 500])
    assert len(ids) == (limit or CONFIG.max_positions - CONFIG.pad_token_id - 1)
    assert ids[-1] == CONFIG.eos_token_id


@pytest.mark.parametrize("said", [10**30, 1e30, 514, 100, 5, None])
def test_of_the_models_limit_and_model_max_length_the_smaller_holds(tmp_path, said):
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": said}))
    tokenizer = Tokenizer.from_pretrained(tmp_path, config=CONFIG)
    limit = min(CONFIG.max_tokens, said or 10**9)
    assert len(tokenizer.encode(["a word " * 500])[0]) == tokenizer.max_tokens == limit


def test_padding_and_truncation_of_the_file_are_not_used(tmp_path, tokenizer):
    content = json.loads((SHIPPED / "tokenizer.json").read_text("utf-8"))
    content["truncation"] = {
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
        "direction": "Right",
    }
    content["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 1,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    other = Tokenizer.from_pretrained(tmp_path, config=CONFIG)
    assert other.encode(TEXTS) == tokenizer.encode(TEXTS)


def test_a_limit_below_the_special_tokens_is_refused(tokenizer):
    tight = Tokenizer.from_pretrained(SHIPPED, config=CONFIG, max_tokens=1)
    with pytest.raises(InputError, match=r"texts\[0\] must encode to at most max_tokens \(1\)"):
        tight.encode(["hello"])


def test_without_a_limit_in_any_file_nothing_is_cut(tmp_path):
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path)
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.max_tokens is None
    assert len(tokenizer.encode(["a word " * 500])[0]) > 500
    assert tokenizer.pad_token_id == 1


def test_an_id_that_the_model_lacks_names_text_id_and_limit(tokenizer):
    small = RobertaConfig(vocab_size=tokenizer.mask_token_id, max_positions=130)
    other = Tokenizer.from_pretrained(SHIPPED, config=small)
    message = (
        rf"texts\[1\] must encode to ids below vocab_size \({small.vocab_size}\), "
        rf"not {small.vocab_size} \('<mask>'\)"
    )
    with pytest.raises(InputError, match=message):
        other.encode(["fine", "a <mask>"])


def test_a_lone_surrogate_is_refused_by_its_place(tokenizer):
    with pytest.raises(InputError, match=r"texts\[1\] must be text .* '\\udc80' at 2"):
        tokenizer.encode(["fine", "ab\udc80"])


@pytest.mark.parametrize(("text", "shown"), [(3, "int"), (None, "NoneType"), (b"x", "bytes")])
def test_a_text_that_is_no_str_is_refused(tokenizer, text, shown):
    with pytest.raises(InputError, match=rf"texts\[1\] must be a str, not {shown}"):
        tokenizer.encode(["fine", text])


def test_one_str_in_place_of_a_list_is_refused(tokenizer):
    with pytest.raises(InputError, match="texts must be a list of str, not 'fine'"):
        tokenizer.encode("fine")


def test_pad_fills_up_on_the_right(tokenizer):
    ids, attended = tokenizer.pad([[0, 7, 2], [0, 2], []])
    assert ids.tolist() == [[0, 7, 2], [0, 2, 1], [1, 1, 1]]
    assert attended.tolist() == [[True, True, True], [True, True, False], [False] * 3]
    assert ids.dtype == np.int64
    assert tokenizer.pad([])[0].shape == (0, 0)


def test_vocab_and_merges_give_the_ids_of_tokenizer_json(bpe_folder, tokenizer):
    built = Tokenizer.from_pretrained(bpe_folder, config=CONFIG)
    assert built.encode(TEXTS) == tokenizer.encode(TEXTS)
    assert built.encode([("one", "two")]) == tokenizer.encode([("one", "two")])
    assert built.mask_token_id == tokenizer.mask_token_id
    for ids in tokenizer.encode(TEXTS):
        assert built.decode(ids) == tokenizer.decode(ids)


def test_add_prefix_space_is_read_for_vocab_and_merges(bpe_folder, tokenizer):
    (bpe_folder / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    built = Tokenizer.from_pretrained(bpe_folder, config=CONFIG)
    assert built.encode(["king"]) == tokenizer.encode([" king"])


@pytest.mark.parametrize("file", ["special_tokens_map.json", "tokenizer_config.json"])
@pytest.mark.parametrize("as_object", [False, True])
def test_special_tokens_are_read_by_their_role(bpe_folder, file, as_object):
    mask = {"content": "house", "lstrip": True} if as_object else "house"
    (bpe_folder / file).write_text(json.dumps({"mask_token": mask}))
    built = Tokenizer.from_pretrained(bpe_folder, config=CONFIG)
    assert built.mask_token == "house"
    assert built.mask_token_id in built.encode(["a house"])[0]


def test_added_tokens_are_read_and_must_have_the_next_ids(bpe_folder):
    words = len(json.loads((bpe_folder / "vocab.json").read_text("utf-8")))
    (bpe_folder / "added_tokens.json").write_text(json.dumps({"[B]": words + 1, "[A]": words}))
    built = Tokenizer.from_pretrained(bpe_folder)
    assert built.encode(["[A][B]"]) == [[0, words, words + 1, 2]]
    (bpe_folder / "added_tokens.json").write_text(json.dumps({"[A]": words + 9}))
    with pytest.raises(CheckpointError, match=rf"must number the added token '\[A\]' {words}, as"):
        Tokenizer.from_pretrained(bpe_folder)


def test_a_vocabulary_without_a_mask_has_no_mask_token(bpe_folder):
    vocab = json.loads((bpe_folder / "vocab.json").read_text("utf-8"))
    del vocab["<mask>"]
    (bpe_folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    built = Tokenizer.from_pretrained(bpe_folder)
    assert built.mask_token is None
    assert built.mask_token_id is None


def test_a_vocabulary_without_separators_is_refused(bpe_folder):
    vocab = json.loads((bpe_folder / "vocab.json").read_text("utf-8"))
    del vocab["</s>"]
    (bpe_folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    with pytest.raises(CheckpointError, match=r"sep_token in .* must be a word of the vocabulary"):
        Tokenizer.from_pretrained(bpe_folder)


def test_a_unigram_tokenizer_is_read_and_cleaned_where_its_settings_say(tmp_path):
    folder = unigram_folder(tmp_path)
    assert Tokenizer.from_pretrained(folder).decode([6, 4, 7]) == "king ."
    (folder / "tokenizer_config.json").write_text('{"clean_up_tokenization_spaces": true}')
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.kind == "Unigram"
    assert tokenizer.encode(["the king <mask>."]) == [[0, 5, 6, 11, 4, 7, 2]]
    assert tokenizer.decode([6, 4, 7]) == "king."


def test_byte_level_text_is_never_cleaned(tmp_path, tokenizer):
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"clean_up_tokenization_spaces": true}')
    ids = tokenizer.encode(["a house ."])[0]
    other = Tokenizer.from_pretrained(tmp_path)
    assert other.decode(ids, skip_special_tokens=True) == "a house ."


def test_a_folder_without_a_tokenizer_says_what_is_missing(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"must hold tokenizer\.json, or one of: vocab\.json and merges"
    ):
        Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="path must be a tokenizer's folder"):
        Tokenizer.from_pretrained(tmp_path / "none")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (file, content)
        for file in ("tokenizer.json", "vocab.json", "tokenizer_config.json")
        for content in (b"", b"[", b"[]", b"\xff\xfe", b"[" * 100_000)
    ]
    + [("tokenizer.json", b"{}")],
    ids=lambda value: str(value)[:12],
)
def test_a_malformed_file_is_refused_by_name(bpe_folder, file, content):
    (bpe_folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=file):
        Tokenizer.from_pretrained(bpe_folder)


def test_a_special_token_that_is_no_text_is_refused(bpe_folder):
    (bpe_folder / "special_tokens_map.json").write_text('{"mask_token": [1]}')
    with pytest.raises(CheckpointError, match=r"mask_token in .* must be a text, not \[1\]"):
        Tokenizer.from_pretrained(bpe_folder)


def test_the_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r'pip install "pyroberta\[text\]"'):
        Tokenizer.from_pretrained(SHIPPED)


def test_several_threads_get_the_same_ids(tokenizer):
    wanted = tokenizer.encode(TEXTS)
    results = []
    threads = [
        threading.Thread(target=lambda: results.extend(tokenizer.encode(TEXTS) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [wanted] * 80


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_ids_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(SHIPPED)
    ours = Tokenizer.from_pretrained(SHIPPED)
    assert ours.encode(TEXTS) == theirs(TEXTS)["input_ids"]
    assert ours.encode([("one", "two")]) == theirs(["one"], ["two"])["input_ids"]
    for ids in ours.encode(TEXTS):
        assert ours.decode(ids) == theirs.decode(ids)
