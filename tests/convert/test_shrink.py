"""Fewer words: texts that they were kept for give the same bits, with each kind of tokenizer."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from text.models import save

import pyroberta
from pyroberta import CheckpointError, InputError, RobertaConfig, cli
from pyroberta.convert import shrink
from pyroberta.text.tokenizer import Tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="shrinking reads a tokenizer")

KINDS = ("shipped", "bpe", "bytes in bpe", "unigram", "wordpiece", "wordlevel")
TEXTS = [
    "The king lived in a large house by the sea.",
    "She opened the door, and nobody was there!",
    "Nobody lived there; the house was empty, and the sea was near.",
    "a <mask> house",
    "",
    "x",
]
OTHERS = ["An entirely different sentence about quantum chromodynamics.", "Größe, façade, 東京"]
CORPUS = [*TEXTS, *OTHERS, "One two three four five six seven eight nine ten. " * 3] * 4
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def make_tokenizer(kind: str) -> Any:
    models, trainers = tokenizers.models, tokenizers.trainers
    split = tokenizers.pre_tokenizers
    common = {"special_tokens": SPECIAL, "show_progress": False}
    if kind == "bpe":
        made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
        made.pre_tokenizer = split.Whitespace()
        trainer = trainers.BpeTrainer(vocab_size=300, end_of_word_suffix="</w>", **common)
    elif kind == "bytes in bpe":
        made = tokenizers.Tokenizer(models.BPE())
        made.pre_tokenizer = split.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=500, initial_alphabet=split.ByteLevel.alphabet(), **common
        )
    elif kind == "unigram":
        made = tokenizers.Tokenizer(models.Unigram())
        made.pre_tokenizer = split.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", **common)
    elif kind == "wordpiece":
        made = tokenizers.Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.pre_tokenizer = split.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=250, **common)
    else:
        made = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
        made.pre_tokenizer = split.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=250, **common)
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, made.token_to_id(name)) for name in ("<s>", "</s>")],
    )
    return made


def make_folder(kind: str, folder: Path, cls: Any = pyroberta.RobertaForMaskedLM) -> Path:
    """A model with every number drawn, and its tokenizer."""
    if kind == "shipped":
        save(cls, folder)
    else:
        made = make_tokenizer(kind)
        save(cls, folder, vocab_size=made.get_vocab_size())
        made.save(str(folder / "tokenizer.json"))
        settings: dict[str, Any] = {"pad_token": "<pad>", "mask_token": "<mask>"}
        settings["added_tokens_decoder"] = {
            str(made.token_to_id(name)): {"content": name, "special": True} for name in SPECIAL
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    file = folder / "model.safetensors"
    tensors = load_file(file)
    rng = np.random.default_rng(3)
    for values in tensors.values():
        if values.ndim == 1:
            values += rng.normal(0, 0.2, values.shape).astype(np.float32)
    save_file(tensors, file, {"format": "pt"})
    return folder


def inputs_of(folder: Path) -> tuple[Any, Any]:
    tokenizer = Tokenizer.from_pretrained(folder, config=RobertaConfig.from_pretrained(folder))
    return tokenizer.pad(tokenizer.encode(TEXTS))


@pytest.mark.parametrize("kind", KINDS)
def test_the_texts_give_the_same_bits(kind: str, tmp_path: Path) -> None:
    old, new = make_folder(kind, tmp_path / "old"), tmp_path / "new"
    made = shrink(old, new, TEXTS)
    config = RobertaConfig.from_pretrained(new)
    assert made.words_after == config.vocab_size < made.words_before
    assert made.bytes_after < made.bytes_before
    for compute_type in ("float32", "int8"):
        models = [
            pyroberta.RobertaForMaskedLM.from_pretrained(one, compute_type=compute_type)
            for one in (old, new)
        ]
        outputs = [
            model(*inputs_of(folder), output_hidden_states=True)
            for model, folder in zip(models, (old, new), strict=True)
        ]
        for a, b in zip(outputs[0].hidden_states, outputs[1].hidden_states, strict=True):
            np.testing.assert_array_equal(a, b)
        # The logits of the kept words are those columns of the old ones.
        kept = kept_of(old, new)
        np.testing.assert_array_equal(outputs[0].logits[..., kept], outputs[1].logits)


def kept_of(old: Path, new: Path) -> list[int]:
    """For each new id the old one, by the tokens' names."""
    both = [tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (old, new)]
    config = RobertaConfig.from_pretrained(new)
    names = [both[1].id_to_token(number) for number in range(config.vocab_size)]
    kept = [both[0].token_to_id(name) for name in names]
    assert None not in kept
    assert kept == sorted(kept)
    return kept


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_told(kind: str, tmp_path: Path) -> None:
    old = make_folder(kind, tmp_path / "old")
    made = shrink(old, tmp_path / "new", TEXTS, others=[*OTHERS, TEXTS[0]])
    assert made.others is not None
    assert (made.others.texts, made.others.changed) == (3, 2)
    if kind in ("shipped", "bytes in bpe"):  # any text can be read by bytes: into more tokens
        assert made.others.unknown == 0
        assert made.others.tokens_after > made.others.tokens_before
        ids = Tokenizer.from_pretrained(tmp_path / "new").encode(OTHERS)
        assert min(map(len, ids)) > 10
    elif kind != "unigram":  # which fuses unknown characters into one
        assert made.others.unknown > 0


@pytest.mark.parametrize("kind", KINDS)
def test_named_tokens_are_kept(kind: str, tmp_path: Path) -> None:
    old = make_folder(kind, tmp_path / "old")
    tokenizer = tokenizers.Tokenizer.from_file(str(old / "tokenizer.json"))
    vocab = sorted(tokenizer.get_vocab(), key=len)
    wanted = [one for one in vocab if one not in SPECIAL][-3:]
    file = tmp_path / "words.txt"
    file.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    command = ["shrink", str(old), str(tmp_path / "new"), "--keep-vocabulary", str(file)]
    assert cli.main(command) == 0
    small = tokenizers.Tokenizer.from_file(str(tmp_path / "new" / "tokenizer.json"))
    for token in wanted:
        assert small.token_to_id(token) is not None
    if kind not in ("bpe", "bytes in bpe"):  # which have no decoder
        text = tokenizer.decode([tokenizer.token_to_id(wanted[-1])])
        assert wanted[-1] in small.encode(text).tokens


def test_settings_follow_the_ids(tmp_path: Path) -> None:
    old = make_folder("unigram", tmp_path / "old", pyroberta.RobertaForCausalLM)
    tokenizer = tokenizers.Tokenizer.from_file(str(old / "tokenizer.json"))
    last = tokenizer.get_vocab_size() - 1
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(config | {"eos_token_id": last}))
    (old / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [2, last], "suppress_token_ids": None, "max_length": 9})
    )
    (old / "added_tokens.json").write_text(json.dumps({"<mask>": tokenizer.token_to_id("<mask>")}))
    made = shrink(old, tmp_path / "new", TEXTS[:2])
    kept = kept_of(old, tmp_path / "new")
    new = kept.index(last)
    said = {
        name: json.loads((tmp_path / "new" / name).read_text())
        for name in (
            "config.json",
            "generation_config.json",
            "added_tokens.json",
            "tokenizer_config.json",
        )
    }
    assert said["config.json"]["eos_token_id"] == new
    assert said["config.json"]["vocab_size"] == made.words_after
    assert said["generation_config.json"]["eos_token_id"] == [2, new]
    mask = kept.index(tokenizer.token_to_id("<mask>"))
    assert said["added_tokens.json"] == {"<mask>": mask}
    decoder = said["tokenizer_config.json"]["added_tokens_decoder"]
    assert decoder[str(mask)]["content"] == "<mask>"
    assert len(decoder) == len(SPECIAL)


def test_pairs_and_the_task_from_text(tmp_path: Path) -> None:
    old = make_folder("shipped", tmp_path / "old", pyroberta.RobertaForSequenceClassification)
    pairs = [("The king lived.", "She opened the door."), ("a house", "the sea")]
    shrink(old, tmp_path / "new", pairs)
    answers = [
        pyroberta.pipeline("text-classification", one)(
            [{"text": a, "text_pair": b} for a, b in pairs]
        )
        for one in (old, tmp_path / "new")
    ]
    assert answers[0] == answers[1]


def test_the_real_model_on_its_texts(tmp_path: Path) -> None:
    shared = Path(__file__).resolve().parents[2].parent / "shared" / "real_model"
    texts = shared / "stsb-en-dev.csv"
    if not texts.exists():
        pytest.skip("../shared/real_model is not here")
    with texts.open(encoding="utf-8", newline="") as lines:
        said = [text for row in csv.reader(lines) for text in row[:2]]
    made = shrink(pyroberta.shipped.SHIPPED, tmp_path / "new", said)
    both = [
        pyroberta.pipeline("sentence-embedding", one)(said[:200])
        for one in (pyroberta.shipped.SHIPPED, tmp_path / "new")
    ]
    np.testing.assert_array_equal(both[0], both[1])
    assert made.words_after < made.words_before


@pytest.mark.parametrize(
    ("texts", "keep", "error"),
    [
        ([], [], "texts or keep must have a text or a token, not none"),
        ([], ["no such token"], "keep must be tokens of the vocabulary"),
    ],
)
def test_what_is_refused(texts: Any, keep: Any, error: str, tmp_path: Path) -> None:
    old = make_folder("shipped", tmp_path / "old")
    with pytest.raises(InputError, match=error):
        shrink(old, tmp_path / "new", texts, keep=keep)
    assert not (tmp_path / "new").exists()


def test_folders_that_cannot_be_shrunk(tmp_path: Path) -> None:
    old = make_folder("shipped", tmp_path / "old")
    pyroberta.RobertaForMaskedLM.from_pretrained(old).save_packed(tmp_path / "packed")
    with pytest.raises(InputError, match="OLD must be a checkpoint's folder"):
        shrink(tmp_path / "packed", tmp_path / "new", TEXTS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(InputError, match="NEW must be"):
        shrink(old, tmp_path / "full", TEXTS)
    tensors = load_file(old / "model.safetensors")
    tensors["lm_head.bias"] = tensors["lm_head.bias"][:-1].copy()
    save_file(tensors, old / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lm_head.bias must have vocab_size 4800 rows"):
        shrink(old, tmp_path / "new", TEXTS)
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_was_lost(tmp_path: Path, capsys: Any) -> None:
    old = make_folder("wordpiece", tmp_path / "old")
    texts, others = tmp_path / "texts.txt", tmp_path / "others.jsonl"
    texts.write_text("\n".join(TEXTS[:3]) + "\n")
    others.write_text("".join(json.dumps({"text": text}) + "\n" for text in OTHERS))
    command = ["shrink", str(old), str(tmp_path / "new"), "--texts", str(texts)]
    assert cli.main([*command, "--check", str(others)]) == 0
    out = capsys.readouterr().out
    assert "words to" in out
    assert "of 2 other texts 2 are other tokens now" in out
    assert cli.main(["shrink", str(old), str(tmp_path / "new2")]) == 2
    assert "--texts or --keep-vocabulary must be given" in capsys.readouterr().err


def write_tokenizer(folder: Path, model: Any, pad: str) -> None:
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": pad}))


def test_the_score_of_the_unknown_stays(tmp_path: Path) -> None:
    """It is 10 below the lowest of all pieces, also of those that no text uses."""
    pieces = [("<unk>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("p", -27.5), ("qx", -27.5)]
    pieces += [("pq", -1.0), ("never", -2.0), ("<s>", 0.0), ("zzz", -50.0)]
    old = save(pyroberta.RobertaForMaskedLM, tmp_path / "old", vocab_size=len(pieces))
    write_tokenizer(old, tokenizers.models.Unigram(pieces, unk_id=0), "<pad>")
    made = shrink(old, tmp_path / "new", ["pqx", "p", "pq"])
    small = tokenizers.Tokenizer.from_file(str(tmp_path / "new" / "tokenizer.json"))
    assert [one for one in small.encode("pqx").tokens if "s>" not in one] == ["p", "qx"]
    assert made.words_after == len(pieces) - 1


@pytest.mark.parametrize("pad", [1, 4, 7])
def test_positions_are_counted_from_the_pad_as_before(pad: int, tmp_path: Path) -> None:
    """So the pad keeps its id, and all that stand before it theirs, though no text uses them."""
    words = [f"w{n}" for n in range(20)]
    words[0], words[2], words[pad], words[10] = "<s>", "</s>", "<pad>", "<unk>"
    old = save(pyroberta.RobertaForMaskedLM, tmp_path / "old", vocab_size=20, pad_token_id=pad)
    vocab = {word: number for number, word in enumerate(words)}
    write_tokenizer(old, tokenizers.models.WordLevel(vocab, unk_token="<unk>"), "<pad>")
    made = shrink(old, tmp_path / "new", ["w18 w15 w18", "w12"])
    assert RobertaConfig.from_pretrained(tmp_path / "new").pad_token_id == pad
    assert made.words_after == len({*range(pad + 1), 0, 2, 10, 12, 15, 18})
    outputs = []
    for folder in (old, tmp_path / "new"):
        tokenizer = Tokenizer.from_pretrained(folder, config=RobertaConfig.from_pretrained(folder))
        ids, mask = tokenizer.pad(tokenizer.encode(["w18 w15 w18", "w12"]))
        model = pyroberta.RobertaForMaskedLM.from_pretrained(folder)
        outputs.append(model(ids, mask, output_hidden_states=True).hidden_states[-1])
    np.testing.assert_array_equal(outputs[0], outputs[1])
