"""Tiny random models with a tokenizer of each kind, and texts that are awkward to read."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers

from pyroberta.shipped import SHIPPED

KINDS = ("byte-level", "unigram", "wordpiece")
MAX_TOKENS = 96

_WORDS = [
    "the",
    "king",
    "of",
    "a",
    "house",
    "by",
    "sea",
    "and",
    "Ann",
    "lives",
    "in",
    "Oslo",
    "New",
    "York",
    "city",
    "dog",
    "cat",
    "not",
    "good",
    "bad",
]
_LETTERS = string.ascii_letters + string.digits + ".,;:!?'\"()-&@#"


def make_folder(folder: Path, kind: str, head: str, **config: Any) -> Path:
    """A model of transformers with the head ``head`` and its tokenizer, as it saves them."""
    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(folder, kind)
    torch.manual_seed(7)
    values: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "pad_token_id": 0 if kind == "wordpiece" else 1,
        "max_position_embeddings": MAX_TOKENS + 2,
        "initializer_range": 0.3,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }
    made = transformers.RobertaConfig(**(values | config))
    model = getattr(transformers, f"Roberta{head}")(made).eval()
    model.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, kind: str) -> int:
    """The tokenizer's files; gives the number of its words."""
    settings: dict[str, Any] = {
        "model_max_length": MAX_TOKENS,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if kind == "byte-level":
        shutil.copy(SHIPPED / "tokenizer.json", folder)
        settings["tokenizer_class"] = "RobertaTokenizerFast"
    elif kind == "unigram":
        _unigram().save(str(folder / "tokenizer.json"))
        settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "<s>"}
        settings |= {"sep_token": "</s>", "pad_token": "<pad>"}
        settings |= {"unk_token": "<unk>", "mask_token": "<mask>"}
    else:
        _wordpiece().save(str(folder / "tokenizer.json"))
        settings |= {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}
        settings |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
        settings |= {"unk_token": "[UNK]", "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    read = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return int(read.get_vocab_size())


def _unigram() -> tokenizers.Tokenizer:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(f"▁{word}", -6.0) for word in _WORDS] + [
        (word, -7.0) for word in _WORDS if word != "a"
    ]
    pieces += [(letter, -9.0) for letter in _LETTERS] + [("<mask>", 0.0)]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=3))
    made.normalizer = tokenizers.normalizers.NFKC()
    split = tokenizers.pre_tokenizers.WhitespaceSplit()
    space = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="always")
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, space])
    made.decoder = tokenizers.decoders.Metaspace(prepend_scheme="always")
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.add_special_tokens([tokenizers.AddedToken(name, normalized=False) for name in names])
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return made


def _wordpiece() -> tokenizers.Tokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS]
    words += (
        [f"##{letter}" for letter in _LETTERS]
        + [w for w in _WORDS if len(w) > 1]
        + ["##s", "##ing"]
    )
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.WordPiece()
    made.add_special_tokens(words[:5])
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return made


def same(ours, theirs, tolerance=1e-5):
    """Whether two answers are the same but for their scores' last digits."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            same(ours[key], theirs[key], tolerance)
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for one, two in zip(ours, theirs, strict=True):
            same(one, two, tolerance)
    elif isinstance(theirs, str):
        assert ours == theirs
    else:
        assert float(ours) == pytest.approx(float(theirs), abs=tolerance)
        assert type(ours) in (float, int)


TEXTS = [
    "",
    " ",
    "a",
    "I",
    "é",
    "e\u0301",  # NFD
    "The king of the house by the sea.",
    "Ann lives in Oslo and New York City.",
    "ann LIVES in oslo",
    "good",
    "not good, not bad!",
    "dogs and cats' houses",
    "Zu\u0308rich, Malmo\u0308",
    "naïve café — 東京 🙂",
    "🙂",
    "🙂🙂 🙂",
    "👩‍👩‍👧‍👦 family",
    "🇳🇴 Oslo",
    "שלום עולם",
    "مرحبا بالعالم",
    "\u202eright to left\u202c",
    "日本語のテキスト",
    "中文 text 混合",
    "한국어 문장",
    "Ελληνικά και Русский",
    "हिन्दी पाठ",
    "ไทย",
    "tab\tand\nnew line\r\n",
    "  two  spaces  ",
    "no\u00a0break\u00a0space",
    "zero\u200bwidth",
    "ideographic\u3000space",
    "soft\u00adhyphen",
    "nul \x00 byte",
    "bell \x07 and \x1b escape",
    "\ufeffbyte order mark",
    "\ufffd replaced",
    "<s> and </s> in the text",
    "<mask>",
    "[MASK] [SEP] [CLS]",
    "<pad><pad>",
    "a" * 300,
    "ab " * 200,
    "supercalifragilisticexpialidocious",
    "New-York's mother-in-law",
    "user@example.org https://example.org/a?b=c&d=e#f",
    "1,234.56 + 7e-8 = 1234.56000007",
    "100% of $5 is €5",
    "'quoted' \"double\" (brackets) [square] {curly}",
    "...!!!???",
    "---",
    "ALL CAPS AND l33t",
    "CamelCaseWordsInside",
    "snake_case_word",
    "ﬁ ligature and ½ and ²",
    "İstanbul straße ẞ",
    "x̷y̷ z͎a̴l̸g̵o",
    "\n\n\n",
    "The king. " * 30,
    " ".join(_WORDS[i % len(_WORDS)] for i in range(3000)),
]
