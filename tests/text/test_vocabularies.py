"""Tokenizers built from vocabularies: WordPiece, fastBPE and SentencePiece without its library."""

from __future__ import annotations

import json
import struct

import pytest

from pyroberta.errors import CheckpointError
from pyroberta.text import Tokenizer

tokenizers = pytest.importorskip("tokenizers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "dog",
    "##s",
    "The",
    "é",
    "e",
    "東",
    "京",
    "東京",
    "\u3000",
    "x",
]


def folder(path, files):
    """``files``: names and what they hold, objects as JSON."""
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        if isinstance(content, bytes):
            (path / name).write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            (path / name).write_text(text, "utf-8")
    return path


def wordpiece(path, **settings):
    vocab = "\n".join(WORDS) + "\n"
    files = {"vocab.txt": vocab, "tokenizer_config.json": settings}
    return Tokenizer.from_pretrained(folder(path, files))


WORDPIECE = [
    ({}, [2, 5, 10, 11, 12, 6, 7, 3]),
    ({"tokenizer_class": "BertTokenizer"}, [2, 5, 10, 11, 12, 6, 7, 3]),
    ({"do_lower_case": False}, [2, 8, 9, 11, 12, 6, 7, 3]),
    ({"strip_accents": False}, [2, 5, 9, 11, 12, 6, 7, 3]),
    ({"tokenize_chinese_chars": False}, [2, 5, 10, 13, 6, 7, 3]),
    ({"tokenizer_class": "ElectraTokenizerFast", "cls_token": "x"}, [15, 5, 10, 11, 12, 6, 7, 3]),
]


@pytest.mark.parametrize(("settings", "ids"), WORDPIECE)
def test_wordpiece(settings, ids, tmp_path):
    tokenizer = wordpiece(tmp_path, **settings)
    assert tokenizer.encode(["The é 東京 dogs"]) == [ids]
    assert tokenizer.pad_token_id == 0
    assert tokenizer.mask_token == "[MASK]"
    assert tokenizer.kind == "WordPiece"
    assert tokenizer.id_to_token(14) == "\u3000"  # a line is not stripped


def test_wordpiece_pairs_have_types(tmp_path):
    tokenizer = wordpiece(tmp_path)
    pair = tokenizer.encode_with_offsets(("the", "dog x"))
    assert (pair.ids, pair.types) == ([2, 5, 3, 6, 15, 3], [0, 0, 0, 1, 1, 1])
    assert tokenizer.encode_with_offsets("the").types == [0, 0, 0]
    assert tokenizer.decode([2, 5, 6, 7, 3], skip_special_tokens=True) == "the dogs"
    other = wordpiece(tmp_path / "b", tokenizer_class="DistilBertTokenizer")
    assert other.encode_with_offsets(("the", "dog")).types is None


@pytest.mark.parametrize(
    "settings", [{}, {"do_lower_case": False}, {"tokenize_chinese_chars": False}]
)
@pytest.mark.parametrize("named", ["BertTokenizer", "BertTokenizerFast", "ElectraTokenizer"])
def test_a_class_of_wordpiece_normalises_by_the_settings_alone(named, settings, tmp_path):
    """Both majors of transformers leave aside what tokenizer.json says of it."""
    backend = wordpiece(tmp_path, do_lower_case=False, strip_accents=True)._backend
    files = {
        "tokenizer.json": backend.to_str(),
        "tokenizer_config.json": settings | {"tokenizer_class": named},
    }
    read = Tokenizer.from_pretrained(folder(tmp_path / "json", files))
    built = wordpiece(tmp_path / "txt", **settings)
    assert read.encode(["The é 東京 dogs"]) == built.encode(["The é 東京 dogs"])


def test_another_class_leaves_the_file_as_it_is(tmp_path):
    backend = wordpiece(tmp_path, do_lower_case=False)._backend
    files = {
        "tokenizer.json": backend.to_str(),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "do_lower_case": True,
        },
    }
    read = Tokenizer.from_pretrained(folder(tmp_path / "json", files))
    assert read.encode(["The"]) == [[2, 8, 3]]


VOCAB = "the 5\ndo@@ 4\ng 3\ne@@ 2\ncat 1\n"
CODES = "d o 4\nt h 3\nth e</w> 2\nc a 2\nca t</w> 1\n"


def fast_bpe(path, vocab=VOCAB, codes=CODES, **settings):
    settings = {"tokenizer_class": "PhobertTokenizer"} | settings
    files = {"vocab.txt": vocab, "bpe.codes": codes, "tokenizer_config.json": settings}
    return Tokenizer.from_pretrained(folder(path, files))


@pytest.mark.parametrize("named", ["PhobertTokenizer", "BertweetTokenizer"])
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("the dog", [0, 4, 5, 6, 2]),
        ("cat  cat", [0, 8, 8, 2]),
        ("<mask> g", [0, 9, 6, 2]),
        # "th" is a piece on the way, and no word; nor are letters.
        ("thx", [0, 3, 3, 2]),
        ("ʎg", [0, 3, 6, 2]),
        # A line's end belongs to the word before it, as in transformers.
        ("g\ncat", [0, 3, 3, 8, 2]),
        ("", [0, 2]),
        (("g", "cat"), [0, 6, 2, 2, 8, 2]),
    ],
)
def test_fast_bpe(named, text, ids, tmp_path):
    tokenizer = fast_bpe(tmp_path, tokenizer_class=named)
    assert tokenizer.encode([text]) == [ids]
    assert tokenizer.mask_token_id == 9
    assert tokenizer.token_to_id("th") is None
    assert tokenizer.decode([0, 4, 5, 6, 2], skip_special_tokens=True) == "the dog"


FAST_BPE_ERRORS = [
    ({"vocab": "the 5\ndog\n"}, "must hold a word and its count in line 2, not 'dog"),
    ({"vocab": "the 5\n\n"}, "must hold a word and its count in line 2"),
    ({"normalization": True}, "normalization in .*tokenizer_config.json must be false, not true"),
    ({"normalization": "no"}, "normalization in .*must be true or false, not 'no'"),
    ({"codes": b"\xff\xfe"}, "must be a text in UTF-8"),
]


@pytest.mark.parametrize(("changes", "message"), FAST_BPE_ERRORS)
def test_fast_bpe_that_is_refused(changes, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        fast_bpe(tmp_path, **changes)


def field(number, value):
    """A field of a protocol buffer's message: bytes, a float or a whole number."""
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes(found + bytes([number]))


PIECES = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁the", -1.0), ("▁dog", -2.0), ("s", -3.0)]


def model(pieces=PIECES, kind=1, more=b""):
    """A model of SentencePiece: unknown fields and other kinds of number in it are passed over."""
    made = [
        field(1, field(1, text.encode()) + field(2, score) + field(3, 1)) for text, score in pieces
    ]
    trainer = field(3, kind) + field(4, 8) + b"\x51" + bytes(8)
    return b"".join(made) + field(2, trainer) + field(3, field(1, b"nmt_nfkc")) + more


def unigram(path, content=None, **settings):
    settings = {"tokenizer_class": "XLMRobertaTokenizer"} | settings
    files = {
        "sentencepiece.bpe.model": model() if content is None else content,
        "tokenizer_config.json": settings,
    }
    return Tokenizer.from_pretrained(folder(path, files))


@pytest.mark.parametrize("named", ["XLMRobertaTokenizer", "XLMRobertaTokenizerFast"])
def test_sentencepiece_of_xlm_roberta(named, tmp_path):
    tokenizer = unigram(tmp_path, tokenizer_class=named)
    texts = ["the dogs", "  the   dog ", "the <mask>", ("the", "dog"), "x", ""]
    assert tokenizer.encode(texts) == [
        [0, 4, 5, 6, 2],
        [0, 4, 5, 2],
        [0, 4, 7, 2],
        [0, 4, 2, 2, 5, 2],
        [0, 3, 2],
        [0, 2],
    ]
    assert tokenizer.decode([4, 5, 6]) == "the dogs"


def test_sentencepiece_of_camembert(tmp_path):
    tokenizer = unigram(tmp_path, tokenizer_class="CamembertTokenizer")
    assert tokenizer.encode(["the dogs"]) == [[5, 7, 8, 9, 6]]
    assert (tokenizer.mask_token_id, tokenizer.pad_token_id) == (10, 1)


def test_the_models_type_tells_where_no_class_is_named(tmp_path):
    files = {"sentencepiece.bpe.model": model(), "config.json": {"model_type": "camembert"}}
    assert Tokenizer.from_pretrained(folder(tmp_path / "a", files)).encode(["the"]) == [[5, 7, 6]]
    files["config.json"] = {"model_type": "xlm-roberta"}
    assert Tokenizer.from_pretrained(folder(tmp_path / "b", files)).encode(["the"]) == [[0, 4, 2]]
    files["config.json"] = {"model_type": "roberta"}
    with pytest.raises(CheckpointError, match=r"tokenizer_class in .* must be XLMRobertaTokenizer"):
        Tokenizer.from_pretrained(folder(tmp_path / "c", files))


BROKEN = [
    (b"", "with its pieces, not of type 1 with 0"),
    (model(kind=2), "must be a Unigram model of SentencePiece with its pieces, not of type 2"),
    (model()[:-3], "cut or malformed"),
    (model(more=b"\x0b"), "wire type 3"),
    (model(more=b"\xff" * 20), "a number that does not end"),
    (field(1, b"\x0a\x02\xff\xff") * 5, "cut or malformed"),
    (field(1, field(2, 1.0)) * 5, "cut or malformed"),
    (field(1, 5) * 5, "cut or malformed"),
    (model(more=field(3, field(2, b"\x01\x02\x03"))), "a sound table of characters"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_broken_sentencepiece(content, message, tmp_path):
    with pytest.raises(CheckpointError, match=f"sentencepiece.*{message}"):
        unigram(tmp_path, content)


def test_every_cut_of_a_model_is_read_or_refused(tmp_path):
    whole, refused = model(), 0
    for end in range(len(whole)):
        try:
            unigram(tmp_path, whole[:end])
        except CheckpointError:
            refused += 1
    assert refused > len(whole) / 2


@pytest.mark.parametrize("piece", ["b", "é", "bb"])
def test_a_merge_longer_than_every_word_is_refused(piece, tmp_path, capfd):
    """The library fails at each with a panic, which is no ``Exception``."""
    ids = {"<s>": 0, "</s>": 1, "a": 2, piece: 3}
    long = "a" * 5
    files = {"vocab.json": ids | {long: 4}, "merges.txt": f"{long} {piece}\n"}
    with pytest.raises(CheckpointError, match=r"vocab\.json and merges\.txt must be of one"):
        Tokenizer.from_pretrained(folder(tmp_path, files))


@pytest.mark.parametrize("named", ["BertJapaneseTokenizer", "RobertaTokenizer", "T5Tokenizer"])
def test_a_vocabulary_for_another_class_is_refused(named, tmp_path):
    for build in (wordpiece, unigram):
        with pytest.raises(CheckpointError, match=f"tokenizer_class in .* not '{named}'"):
            build(tmp_path / build.__name__, tokenizer_class=named)
