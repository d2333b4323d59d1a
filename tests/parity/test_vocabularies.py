"""Tokenizers built from vocabularies give the ids of transformers."""

from __future__ import annotations

import json

import pytest

from pyroberta.text import Tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

TEXTS = [
    "the dog runs",
    "The DOG's house, naïve!",
    "  two  spaces\tand\na line\n",
    "<mask> the <mask>.",
    "東京 🙂 é e\u0301",
    "",
    "aaa bbb ccc ddd eee fff ggg " * 3,
    ("the dog", "a cat sleeps"),
]
CORPUS = ["the dog runs and the cat sleeps in a house", "naïve dogs run", "東京 is far"] * 5


def check(folder, texts=TEXTS):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = Tokenizer.from_pretrained(folder)
    for text in texts:
        want = theirs(*text) if isinstance(text, tuple) else theirs(text)
        assert ours.encode([text]) == [want["input_ids"]], text


def is_5():
    return int(transformers.__version__.split(".")[0]) >= 5


@pytest.mark.parametrize("cls", ["PhobertTokenizer", "BertweetTokenizer"])
def test_fast_bpe(cls, tmp_path):
    """Codes and vocabulary as fastBPE writes them, learnt here by counting pairs."""
    words = [w for line in CORPUS for w in line.split()]
    parts = {w: [*w[:-1], w[-1] + "</w>"] for w in words}
    codes = []
    for _ in range(40):
        counts = {}
        for w in words:
            for pair in zip(parts[w], parts[w][1:], strict=False):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        a, b = best = max(counts, key=lambda pair: (counts[pair], pair))
        codes.append((*best, counts[best]))
        for own in parts.values():
            at = 0
            while at + 1 < len(own):
                if (own[at], own[at + 1]) == (a, b):
                    own[at : at + 2] = [a + b]
                at += 1
    pieces = dict.fromkeys(
        p.removesuffix("</w>") if p.endswith("</w>") else f"{p}@@" for w in words for p in parts[w]
    )
    (tmp_path / "bpe.codes").write_text("".join(f"{a} {b} {n}\n" for a, b, n in codes), "utf-8")
    lines = [f"{piece} 1\n" for piece in list(pieces)[::2] + list(pieces)[1::2]]
    (tmp_path / "vocab.txt").write_text("".join(lines[:-2]), "utf-8")  # two are unknown
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": cls}))
    check(tmp_path)


@pytest.mark.parametrize("cls", ["XLMRobertaTokenizer", "CamembertTokenizer"])
@pytest.mark.parametrize("rule", ["nmt_nfkc", "identity"])
def test_sentencepiece(cls, rule, tmp_path):
    library = pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")  # by which transformers reads a model
    with open(tmp_path / "corpus.txt", "w", encoding="utf-8") as out:
        out.write("\n".join(CORPUS))
    library.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"),
        model_prefix=str(tmp_path / "sentencepiece.bpe"),
        vocab_size=60,
        normalization_rule_name=rule,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    (tmp_path / "sentencepiece.bpe.vocab").unlink()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": cls}))
    # Where the model itself does not, transformers 5 splits at tabs and lines all the same: 4 and
    # we keep to the model.
    texts = [text for text in TEXTS if rule != "identity" or "\n" not in text or not is_5()]
    check(tmp_path, texts)


@pytest.mark.parametrize(
    "settings",
    [{}, {"do_lower_case": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False}],
)
def test_wordpiece(settings, tmp_path):
    words = (
        "[PAD] [UNK] [CLS] [SEP] [MASK] the dog ##s runs The D ##OG naive naïve house ' , ! "
        "東 京 東京 a cat sleeps e é"
    )
    (tmp_path / "vocab.txt").write_text("\n".join(words.split()) + "\n", "utf-8")
    said = settings | {"tokenizer_class": "BertTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    check(tmp_path)
