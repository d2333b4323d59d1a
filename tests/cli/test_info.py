"""``pyroberta info``: what each file is, what of it counts, and what would be refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from convert.bert_folders import write_bert
from safetensors.numpy import save_file
from support import TINY, make_folder

from pyroberta import cli

pytest.importorskip("tokenizers")


@pytest.fixture
def info(capsys):
    """The facts of a folder, by the command; and the lines that it prints without --json."""

    def info(path, *argv):
        assert cli.main(["info", str(path), "--json", *argv]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert cli.main(["info", str(path), *argv]) == 0
        return facts, capsys.readouterr().out

    return info


def test_files_keys_and_sizes(info, tmp_path):
    path = make_folder(tmp_path, "for_sequence_classification", top_k=5, mine=1, use_cache=True)
    (path / "pytorch_model.bin").write_bytes(b"")
    (path / "training_args.bin").write_bytes(b"")
    (path / "vocab.json").write_text("{}")
    facts, lines = info(path)
    what = {file["name"]: file["what"] for file in facts["files"]}
    assert what == {
        "config.json": "configuration",
        "model.safetensors": "weights",
        "pytorch_model.bin": "other weights, not read",
        "training_args.bin": "not read",
        "vocab.json": "tokenizer",
    }
    assert facts["config"]["without effect"] == ["top_k", "use_cache"]
    assert facts["config"]["other"] == ["mine"]
    assert facts["opens as"] == ["RobertaModel", "RobertaForSequenceClassification"]
    assert facts["sizes"]["num_labels"] == 4
    assert facts["limit"] == {
        "tokens": 20,
        "by": "the model's positions",
        "said": {"the model's positions": 20},
    }
    assert "keys           other: mine\n" in lines
    assert "file           pytorch_model.bin: other weights, not read\n" in lines
    assert facts["tokenizer"] is None
    assert any("must hold tokenizer.json, or one of" in one for one in facts["refused"])


def test_the_limit_that_holds(info, tmp_path):
    path = make_folder(tmp_path, "base")
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b"]
    (path / "vocab.txt").write_text("\n".join(words) + "\n")
    said = {"tokenizer_class": "BertTokenizer", "model_max_length": 9}
    roles = ("cls", "pad", "sep", "unk", "mask")
    said |= {f"{role}_token": word for role, word in zip(roles, words, strict=False)}
    (path / "tokenizer_config.json").write_text(json.dumps(said))
    facts, lines = info(path)
    assert (facts["limit"]["tokens"], facts["limit"]["by"]) == (9, "tokenizer_config.json")
    assert "usable length  9 tokens, by tokenizer_config.json (the model's positions: 20)" in lines
    rows = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1", "type": "sentence_transformers.models.Pooling"},
    ]
    (path / "modules.json").write_text(json.dumps(rows))
    (path / "1").mkdir()
    (path / "1/config.json").write_text("{}")
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    facts, _ = info(path)
    assert (facts["limit"]["tokens"], len(facts["limit"]["said"])) == (7, 3)
    assert facts["sentences"]["poolings"] == ["mean"]


REFUSED = [
    ({"attention_window": [512]}, "attention_window must be empty or absent in config.json"),
    ({"model_type": "mpnet"}, "model_type must be one of roberta"),
    ({"layer_norm_eps": "x"}, "layer_norm_eps in config.json must be a number"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_would_be_refused(change, message, info, tmp_path):
    facts, lines = info(make_folder(tmp_path, "base", **change))
    assert any(message in one for one in facts["refused"])
    assert f"refused        {message}" in lines
    assert "opens as" not in facts


def test_broken_weights_and_missing_files(info, tmp_path):
    path = make_folder(tmp_path, "base")
    (path / "model.safetensors").write_bytes(b"none")
    assert any("must be a safetensors file" in one for one in info(path)[0]["refused"])
    (path / "model.safetensors").unlink()
    assert any("must hold model.safetensors" in one for one in info(path)[0]["refused"])
    (path / "config.json").unlink()
    assert any("a checkpoint's configuration" in one for one in info(path)[0]["refused"])


def test_a_bert_folder_is_told_of_convert(info, tmp_path):
    facts, _ = info(write_bert(tmp_path / "old"))
    assert any("`pyroberta convert OLD NEW`" in one for one in facts["refused"])
    assert facts["architecture"] == ["BertModel"]


def test_an_adapter(info, tmp_path):
    base = make_folder(tmp_path / "base", "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    at = "base_model.model.encoder.layer.0.attention.self.query"
    tensors = {
        f"{at}.lora_A.weight": np.zeros((2, TINY["hidden_size"]), np.float32),
        f"{at}.lora_B.weight": np.zeros((TINY["hidden_size"], 2), np.float32),
    }
    save_file(tensors, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "base_model_name_or_path": str(base)}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    facts, lines = info(adapter)
    assert facts["folder"] == str(base)
    assert facts["adapter"]["layers"] == ["encoder.layer.0.attention.self.query"]
    assert facts["adapter"]["scales"] == [1.5]
    assert "adapter        LoRA on 1 layers, scale 1.5, merged at load\n" in lines
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    assert any("use_dora in" in one for one in info(adapter)[0]["refused"])
