"""Tiny BERT folders, written without the package's own writer, and the texts that they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers as tk
from safetensors.numpy import save_file

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "dog",
    "cat",
    "run",
    "##s",
    "##ning",
    "The",
    "Dog",
    "é",
    "##é",
    "e",
    "##e",
    "a",
    "b",
    "##b",
    "東",
    "京",
    "!",
    "?",
    ",",
    ".",
    "'",
    "1",
    "##2",
    "house",
]
SIZES: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": len(WORDS) + 2,  # padded, as many are
    "hidden_size": 18,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}
HEADS = {
    "BertModel": {"bert.pooler.dense": (18, 18)},
    "BertForMaskedLM": {"cls.predictions.transform.dense": (18, 18)},
    "BertForSequenceClassification": {"bert.pooler.dense": (18, 18), "classifier": (3, 18)},
    "BertForTokenClassification": {"classifier": (3, 18)},
    "BertForQuestionAnswering": {"qa_outputs": (2, 18)},
    "BertForMultipleChoice": {"bert.pooler.dense": (18, 18), "classifier": (1, 18)},
}
TEXTS = ["the dogs run", "The Dog's é!", "a 東京 house, running", "b", "", "[MASK] the cat"]


def draw_tensors(named: str, sizes: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """A BERT's tensors by its own names."""
    rng = np.random.default_rng(seed)
    hidden, wide = sizes["hidden_size"], sizes["intermediate_size"]
    linears = dict(HEADS[named])
    norms = ["bert.embeddings.LayerNorm"]
    for block in range(sizes["num_hidden_layers"]):
        at = f"bert.encoder.layer.{block}"
        for name in ("query", "key", "value"):
            linears[f"{at}.attention.self.{name}"] = (hidden, hidden)
        linears[f"{at}.attention.output.dense"] = (hidden, hidden)
        linears[f"{at}.intermediate.dense"] = (wide, hidden)
        linears[f"{at}.output.dense"] = (hidden, wide)
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    tensors = {
        f"bert.embeddings.{name}_embeddings.weight": rng.standard_normal((rows, hidden))
        for name, rows in (
            ("word", sizes["vocab_size"]),
            ("position", sizes["max_position_embeddings"]),
            ("token_type", sizes["type_vocab_size"]),
        )
    }
    for name, shape in linears.items():
        tensors[f"{name}.weight"] = rng.standard_normal(shape) * shape[1] ** -0.5
        tensors[f"{name}.bias"] = 0.3 * rng.standard_normal(shape[0])
    if named == "BertForMaskedLM":
        norms.append("cls.predictions.transform.LayerNorm")
        tensors["cls.predictions.bias"] = rng.standard_normal(sizes["vocab_size"])
    for name in norms:
        tensors[f"{name}.weight"] = 1 + 0.2 * rng.standard_normal(hidden)
        tensors[f"{name}.bias"] = 0.3 * rng.standard_normal(hidden)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def write_config(folder: Path, named: str, **changes: Any) -> dict[str, Any]:
    """``config.json``; gives it."""
    labels = {str(i): f"L{i}" for i in range(HEADS[named].get("classifier", (2,))[0])}
    config = SIZES | {"architectures": [named], "id2label": labels} | changes
    if named == "BertForQuestionAnswering":
        del config["id2label"]
    (folder / "config.json").write_text(json.dumps(config))
    return config


def write_bert(folder: Path, named: str = "BertModel", **changes: Any) -> Path:
    """A folder with a random BERT and a ``vocab.txt``; ``changes`` are of ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = write_config(folder, named, **changes)
    tensors = draw_tensors(named, config)
    if named == "BertModel":  # a base model's tensors have no prefix
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    return folder


def unigram(pad: int) -> tk.Tokenizer:
    """A tokenizer like XLM-RoBERTa's, whose pad has the id ``pad``."""
    words = ["<s>", "</s>", "<unk>", "<mask>"]
    words.insert(pad, "<pad>")
    pieces = [(word, 0.0) for word in words]
    pieces += [(f"▁{word}", -1.0 - i) for i, word in enumerate(("the", "dog", "cat", "house"))]
    pieces += [(letter, -9.0) for letter in "▁abcdeghnorstu!"]
    made = tk.Tokenizer(tk.models.Unigram(pieces, unk_id=words.index("<unk>")))
    made.pre_tokenizer = tk.pre_tokenizers.Metaspace()
    made.add_special_tokens(words)
    ends = {end: words.index(end) for end in ("<s>", "</s>")}
    made.post_processor = tk.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=list(ends.items())
    )
    return made
