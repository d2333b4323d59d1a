"""BERT to RoBERTa: outputs, rows, tokenizers, and what is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from support import FLOAT64

import pyroberta
from pyroberta import cli
from pyroberta.convert import convert_folder
from pyroberta.errors import CheckpointError, ConfigError, InputError

pytest.importorskip("tokenizers")
from convert.bert_folders import HEADS, SIZES, TEXTS, WORDS, draw_tensors, unigram, write_bert
from safetensors.numpy import load_file, save_file

from pyroberta.text import Tokenizer

# What a RoBERTa class calls BERT's tensors, where the graph is the same but for the positions.
SAME_GRAPH = {
    "BertModel": (pyroberta.RobertaModel, {}),
    "BertForTokenClassification": (pyroberta.RobertaForTokenClassification, {}),
    "BertForQuestionAnswering": (pyroberta.RobertaForQuestionAnswering, {}),
    "BertForMultipleChoice": (pyroberta.RobertaForMultipleChoice, {}),
    "BertForSequenceClassification": (
        pyroberta.RobertaForSequenceClassification,
        {"bert.pooler.dense": "classifier.dense", "classifier": "classifier.out_proj"},
    ),
    "BertForMaskedLM": (
        pyroberta.RobertaForMaskedLM,
        {
            "cls.predictions.transform.dense": "lm_head.dense",
            "cls.predictions.transform.LayerNorm": "lm_head.layer_norm",
            "cls.predictions": "lm_head",
        },
    ),
}


def as_bert(named, folder):
    """The BERT itself: our graph over its tensors, with positions that are given."""
    cls, names = SAME_GRAPH[named]
    tensors = {}
    for name, tensor in draw_tensors(named, SIZES).items():
        layer, _, part = name.rpartition(".")
        ours = f"{names[layer]}.{part}" if layer in names else name
        tensors[ours.replace("bert.", "roberta.")] = tensor
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    labels = HEADS[named].get("classifier", (2,))[0]
    config = SIZES | {"model_type": "roberta", "num_labels": labels}
    (folder / "config.json").write_text(json.dumps(config))
    model = cls.from_pretrained(folder, **FLOAT64)

    def call(ids, types):
        positions = np.broadcast_to(np.arange(np.shape(ids)[-1]), np.shape(ids))
        return model(ids, np.ones(np.shape(ids)), types, positions)

    return call


def values(output):
    names = ("logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
    return [getattr(output, name) for name in names if getattr(output, name, None) is not None]


@pytest.mark.parametrize("named", HEADS)
def test_outputs_are_those_of_bert(named, tmp_path):
    old = write_bert(tmp_path / "old", named)
    made = convert_folder(old, tmp_path / "new")
    assert made.architecture == SAME_GRAPH[named][0].__name__
    ids = np.array([[2, 5, 6, 9, 3, 7, 3], [2, 20, 21, 1, 3, 29, 3]])
    types = np.array([[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1]])
    if named == "BertForMultipleChoice":
        ids, types = ids[None], types[None]
    want = values(as_bert(named, tmp_path / "same")(ids, types))
    for options, tolerance in ((FLOAT64, 1e-12), ({}, 1e-5)):
        model = pyroberta.from_pretrained(tmp_path / "new", **options)
        got = values(model(ids, None, types))
        assert len(got) == len(want) > 0
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("lower", [True, False])
def test_ids_are_those_of_wordpiece(lower, tmp_path):
    old = write_bert(tmp_path / "old")
    (old / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    before = Tokenizer.from_pretrained(old)
    convert_folder(old, tmp_path / "new")
    after = Tokenizer.from_pretrained(tmp_path / "new")
    assert after.encode([*TEXTS, ("the dog", "a cat")]) == before.encode(
        [*TEXTS, ("the dog", "a cat")]
    )
    assert after.encode(["The Dog"]) == [[2, 5, 6, 3] if lower else [2, 11, 12, 3]]
    assert after.pad_token_id == 0
    assert after.mask_token == "[MASK]"
    config = json.loads((tmp_path / "new/tokenizer_config.json").read_text())
    assert config["do_lower_case"] is lower
    assert (config["cls_token"], config["tokenizer_class"]) == ("[CLS]", "BertTokenizer")


@pytest.mark.parametrize("pad", [0, 1, 3])
@pytest.mark.parametrize("named", ["BertModel", "BertForMaskedLM"])
def test_a_pad_that_is_not_the_first_word_becomes_it(named, pad, tmp_path):
    """As in the multilingual E5 and MiniLM: XLM-RoBERTa's tokenizer before a BERT."""
    old = write_bert(tmp_path / "old", named)  # whose config.json says 0, as theirs do
    (old / "vocab.txt").unlink()
    unigram(pad).save(str(old / "tokenizer.json"))
    (old / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
    convert_folder(old, tmp_path / "new")
    before, after = (Tokenizer.from_pretrained(tmp_path / name) for name in ("old", "new"))
    assert after.pad_token_id == 0
    swap = {0: pad, pad: 0}
    texts = ["the dog", "a cat house!", ("the", "dog"), "", "<mask> house"]
    own = before.encode(texts)
    assert after.encode(texts) == [[swap.get(i, i) for i in row] for row in own]
    assert [after.decode(row) for row in after.encode(texts)] == list(map(before.decode, own))
    bert = as_bert(named, tmp_path / "same")
    model = pyroberta.from_pretrained(tmp_path / "new", **FLOAT64)
    columns = [swap.get(i, i) for i in range(SIZES["vocab_size"])]
    for row, moved in zip(own, after.encode(texts), strict=True):
        want, got = values(bert([row], None)), values(model([moved]))
        for one, other in zip(got, want, strict=True):
            if named == "BertForMaskedLM":
                one = one[..., columns]
            np.testing.assert_allclose(one, other, atol=1e-12, rtol=0)


def test_ids_with_a_role_move_with_the_words(tmp_path):
    old = write_bert(tmp_path / "old", bos_token_id=0, eos_token_id=[1, 5])
    (old / "vocab.txt").unlink()
    unigram(1).save(str(old / "tokenizer.json"))
    convert_folder(old, tmp_path / "new")
    config = pyroberta.RobertaConfig.from_pretrained(tmp_path / "new")
    assert (config.bos_token_id, config.eos_token_id) == (1, (0, 5))


def test_rows_move_behind_the_pad_and_bits_stay(tmp_path):
    old = write_bert(tmp_path / "old")
    half = {n: t.astype(np.float16) for n, t in load_file(old / "model.safetensors").items()}
    save_file(half, old / "model.safetensors")
    convert_folder(old, tmp_path / "new")
    new = load_file(tmp_path / "new/model.safetensors")
    table = "embeddings.position_embeddings.weight"
    np.testing.assert_array_equal(new[table][1:], half[table])
    assert not new[table][0].any()
    assert set(new) == set(half)
    assert all(tensor.dtype == np.float16 for tensor in new.values())
    config = json.loads((tmp_path / "new/config.json").read_text())
    assert (config["max_position_embeddings"], config["pad_token_id"]) == (21, 0)
    assert pyroberta.RobertaConfig.from_pretrained(tmp_path / "new").max_tokens == 20


def test_the_longest_text_is_read(tmp_path):
    convert_folder(write_bert(tmp_path / "old"), tmp_path / "new")
    model = pyroberta.from_pretrained(tmp_path / "new")
    assert model([[5] * 20]).last_hidden_state.shape == (1, 20, 18)
    with pytest.raises(InputError, match="20"):
        model([[5] * 21])


@pytest.mark.parametrize("named", ["BertForPreTraining", "BertLMHeadModel", None])
def test_other_names_of_the_language_model(named, tmp_path):
    old = write_bert(tmp_path / "old", "BertForMaskedLM", architectures=named and [named])
    tensors = load_file(old / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.seq_relationship.weight"] = np.zeros((2, 18), np.float32)
    tensors["bert.embeddings.position_ids"] = np.arange(20)[None]
    save_file(tensors, old / "model.safetensors")
    made = convert_folder(old, tmp_path / "new")
    wanted = "RobertaForCausalLM" if named == "BertLMHeadModel" else "RobertaForMaskedLM"
    assert made.architecture == wanted
    assert made.left_out == ("cls.predictions.decoder.weight", "cls.seq_relationship.weight")
    assert type(pyroberta.from_pretrained(tmp_path / "new")).__name__ == wanted


def test_an_untied_decoder_is_kept(tmp_path):
    old = write_bert(tmp_path / "old", "BertForMaskedLM", tie_word_embeddings=False)
    tensors = load_file(old / "model.safetensors")
    rng = np.random.default_rng(3)
    decoder = rng.standard_normal((SIZES["vocab_size"], 18)).astype(np.float32)
    tensors["cls.predictions.decoder.weight"] = decoder
    tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")
    save_file(tensors, old / "model.safetensors")
    convert_folder(old, tmp_path / "new")
    new = load_file(tmp_path / "new/model.safetensors")
    np.testing.assert_array_equal(new["lm_head.decoder.weight"], decoder)
    assert pyroberta.from_pretrained(tmp_path / "new")([[2, 5, 3]]).logits.shape[-1] == len(decoder)


def test_a_bert_folder_that_is_opened_is_told_of_the_command(tmp_path):
    old = write_bert(tmp_path / "old")
    for call in (pyroberta.from_pretrained, pyroberta.RobertaModel.from_pretrained):
        with pytest.raises(ConfigError, match=r"not 'bert' .*`pyroberta convert OLD NEW`"):
            call(old)
    with pytest.raises(ConfigError, match="pyroberta convert"):
        pyroberta.pipeline("sentence-embedding", old)


REFUSED = [
    ({"architectures": ["BertForNextSentencePrediction"]}, "architectures in config.json must be"),
    ({"position_embedding_type": "relative_key"}, "position_embedding_type must be 'absolute'"),
    ({"pruned_heads": {"0": [1]}}, "pruned_heads must be empty"),
    ({"hidden_act": "nonsense"}, "nonsense"),
    ({"num_hidden_layers": 3}, r"missing: .*encoder\.layer\.2"),
    ({"vocab_size": 99}, r"embeddings\.word_embeddings\.weight must be \[99, 18\]"),
    ({"max_position_embeddings": 512}, "must be"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_has_no_like_is_refused(changes, message, tmp_path):
    old = write_bert(tmp_path / "old", **changes)
    if changes == {"max_position_embeddings": 512}:
        write_bert(tmp_path / "other")
        (old / "model.safetensors").write_bytes((tmp_path / "other/model.safetensors").read_bytes())
    if changes in ({"num_hidden_layers": 3}, {"vocab_size": 99}):
        save_file(
            {n.removeprefix("bert."): t for n, t in draw_tensors("BertModel", SIZES).items()},
            old / "model.safetensors",
        )
    with pytest.raises((ConfigError, CheckpointError), match=message):
        convert_folder(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_head_with_another_activation_is_refused(tmp_path):
    old = write_bert(tmp_path / "old", "BertForMaskedLM", hidden_act="relu")
    with pytest.raises(ConfigError, match=r"hidden_act in config\.json must be 'gelu' for a lang"):
        convert_folder(old, tmp_path / "new")
    convert_folder(write_bert(tmp_path / "base", hidden_act="relu"), tmp_path / "new")


def test_sentence_folder(tmp_path):
    old = write_bert(tmp_path / "old")
    kinds = ["Transformer", "Pooling", "Normalize"]
    rows = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}", "type": LIBRARY + kind}
        for i, kind in enumerate(kinds)
    ]
    (old / "modules.json").write_text(json.dumps(rows))
    (old / "1_Pooling").mkdir()
    (old / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    convert_folder(old, tmp_path / "new")
    vectors = pyroberta.pipeline("sentence-embedding", tmp_path / "new")(TEXTS)
    same = as_bert("BertModel", tmp_path / "same")
    tokenizer = Tokenizer.from_pretrained(old)
    for vector, ids in zip(vectors, tokenizer.encode(TEXTS), strict=True):
        first = same([ids], None).last_hidden_state[0, 0]
        np.testing.assert_allclose(vector, first / np.linalg.norm(first), atol=1e-5)


LIBRARY = "sentence_transformers.models."


def test_the_command(tmp_path, capsys):
    old, new = write_bert(tmp_path / "old"), tmp_path / "new"
    assert cli.main(["convert", str(old), str(new)]) == 0
    said = capsys.readouterr().out
    assert re.match(rf"{re.escape(str(new))}  [\d.]+ MiB, RobertaModel of a BERT\n$", said)
    assert cli.main(["convert", str(old), str(new)]) == 2
    assert "NEW must be a new or empty folder" in capsys.readouterr().err
    assert cli.main(["convert", str(new), str(tmp_path / "again")]) == 0
    assert cli.main(["convert", str(tmp_path / "none"), str(tmp_path / "x")]) == 2
    assert "none" in capsys.readouterr().err


def test_words_of_the_vocabulary_are_where_they_were(tmp_path):
    convert_folder(write_bert(tmp_path / "old"), tmp_path / "new")
    tokenizer = Tokenizer.from_pretrained(tmp_path / "new")
    assert [tokenizer.id_to_token(i) for i in range(len(WORDS))] == WORDS
