"""Public repositories: what their small files say, written anew from their values.

Each has its ``config.json`` and the settings of its tokenizer as they stand on the Hub; the widths
and the vocabularies are made small where a folder is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyroberta
from pyroberta.architectures import class_named

_BASE: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "model_type": "roberta",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "vocab_size": 50265,
}
_XLM = _BASE | {"model_type": "xlm-roberta", "output_past": True, "vocab_size": 250002}
_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
}
_NEW = {"classifier_dropout": None, "position_embedding_type": "absolute", "use_cache": True}
_ROLES = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": "<mask>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}
_MASK = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False}
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {
        "idx": 2,
        "name": "2",
        "path": "2_Normalize",
        "type": "sentence_transformers.models.Normalize",
    },
]
_MEAN = {"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True}


def _labels(*names: str) -> dict[str, Any]:
    return {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


# By repository: config, the tokenizer's kind and settings, other files, the most tokens of a text,
# and the keys that no class reads.
PUBLIC: dict[str, dict[str, Any]] = {
    "FacebookAI/roberta-base": {
        "config": _BASE | {"architectures": ["RobertaForMaskedLM"]},
        "tokenizer": "byte-level",
        "settings": {"model_max_length": 512},
        "limit": 512,
    },
    "FacebookAI/xlm-roberta-base": {
        "config": _XLM
        | {"architectures": ["XLMRobertaForMaskedLM"], "transformers_version": "4.17.0.dev0"}
        | {"position_embedding_type": "absolute", "use_cache": True},
        "tokenizer": "sentencepiece",
        "settings": {"model_max_length": 512, "tokenizer_class": "XLMRobertaTokenizer"},
        "limit": 512,
    },
    "almanach/camembert-base": {
        "config": _BASE
        | {"architectures": ["CamembertForMaskedLM"], "model_type": "camembert"}
        | {"bos_token_id": 5, "eos_token_id": 6, "output_past": True, "vocab_size": 32005},
        "tokenizer": "sentencepiece",
        "settings": {"model_max_length": 512, "tokenizer_class": "CamembertTokenizer"},
        "limit": 512,
    },
    "cardiffnlp/twitter-roberta-base-sentiment-latest": {
        "config": _BASE
        | _NEW
        | {"architectures": ["RobertaForSequenceClassification"], "torch_dtype": "float32"}
        | {"gradient_checkpointing": False, "_name_or_path": "tweet_eval/sentiment"}
        | _labels("negative", "neutral", "positive"),
        "tokenizer": "byte-level",
        "special": _ROLES | {"mask_token": _MASK},
        "limit": 512,
    },
    "deepset/roberta-base-squad2": {
        "config": _BASE
        | {"architectures": ["RobertaForQuestionAnswering"], "language": "english"}
        | {"name": "Roberta"},
        "tokenizer": "byte-level",
        "settings": {"do_lower_case": False, "model_max_length": 512, "full_tokenizer_file": None},
        "limit": 512,
        "other": ["language", "name"],
    },
    "FacebookAI/roberta-large-mnli": {
        "config": _BASE
        | _LARGE
        | {"architectures": ["RobertaForSequenceClassification"], "_num_labels": 3}
        | _labels("CONTRADICTION", "NEUTRAL", "ENTAILMENT"),
        "tokenizer": "byte-level",
        "settings": {"model_max_length": 512},
        "limit": 512,
        "other": ["_num_labels"],
    },
    "BAAI/bge-m3": {
        "config": _XLM
        | _LARGE
        | _NEW
        | {"architectures": ["XLMRobertaModel"], "max_position_embeddings": 8194},
        "tokenizer": "sentencepiece",
        "settings": {
            "clean_up_tokenization_spaces": True,
            "mask_token": _MASK | {"__type": "AddedToken"},
            "model_max_length": 8192,
            "sp_model_kwargs": {},
            "tokenizer_class": "XLMRobertaTokenizer",
        },
        "files": {
            "modules.json": MODULES,
            "1_Pooling/config.json": {
                "word_embedding_dimension": 1024,
                "pooling_mode_cls_token": True,
                "pooling_mode_mean_tokens": False,
            },
            "sentence_bert_config.json": {"max_seq_length": 8192, "do_lower_case": False},
        },
        "limit": 8192,
    },
    "BAAI/bge-reranker-base": {
        "config": _XLM
        | _NEW
        | {"architectures": ["XLMRobertaForSequenceClassification"], "_name_or_path": "x"}
        | _labels("LABEL_0"),
        "tokenizer": "sentencepiece",
        "settings": {"model_max_length": 512, "tokenizer_class": "XLMRobertaTokenizer"},
        "limit": 512,
    },
    "intfloat/multilingual-e5-base": {
        "config": _XLM | _NEW | {"architectures": ["XLMRobertaModel"]},
        "tokenizer": "sentencepiece",
        "settings": {"model_max_length": 512, "tokenizer_class": "XLMRobertaTokenizer"},
        "files": {
            "modules.json": MODULES,
            "1_Pooling/config.json": _MEAN,
            "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
        },
        "limit": 512,
    },
    "sentence-transformers/all-distilroberta-v1": {
        "config": _BASE
        | _NEW
        | {"architectures": ["RobertaModel"], "gradient_checkpointing": False}
        | {"num_hidden_layers": 6},
        "tokenizer": "byte-level",
        "settings": {
            **_ROLES,
            "add_prefix_space": False,
            "errors": "replace",
            "model_max_length": 512,
            "tokenizer_class": "RobertaTokenizer",
            "trim_offsets": True,
        },
        "files": {
            "modules.json": MODULES,
            "1_Pooling/config.json": _MEAN,
            "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
        },
        "limit": 512,
    },
    "microsoft/codebert-base": {
        "config": _BASE | {"architectures": ["RobertaModel"], "output_past": True},
        "tokenizer": "byte-level",
        "settings": {"model_max_length": 512},
        "limit": 512,
    },
    "vinai/phobert-base": {
        "config": _BASE
        | {"architectures": ["RobertaForMaskedLM"], "max_position_embeddings": 258}
        | {"tokenizer_class": "PhobertTokenizer", "vocab_size": 64001},
        "tokenizer": "fast BPE",
        "settings": {},
        "limit": 256,
    },
    "papluca/xlm-roberta-base-language-detection": {
        "config": _XLM
        | _NEW
        | {"architectures": ["XLMRobertaForSequenceClassification"], "torch_dtype": "float32"}
        | {"problem_type": "single_label_classification"}
        | _labels("ja", "nl", "ar", "pl", "de", "it", "pt", "tr", "es", "hi"),
        "tokenizer": "sentencepiece",
        "settings": {"model_max_length": 512, "tokenizer_class": "XLMRobertaTokenizer"},
        "limit": 512,
    },
}


def write_public(folder: Path, name: str) -> Path:
    """The repository in small: two narrow blocks, and a vocabulary of some words."""
    public = PUBLIC[name]
    config = pyroberta.RobertaConfig.from_hf(
        public["config"],
        vocab_size=300,
        hidden_size=16,
        num_blocks=2,
        num_attention_heads=2,
        intermediate_size=24,
    )
    class_named(public["config"]).from_config(config, seed=0).save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    small = {key: written[key] for key in _WIDTHS}
    (folder / "config.json").write_text(json.dumps(public["config"] | small))
    _TOKENIZERS[public["tokenizer"]](folder)
    files = {"tokenizer_config.json": public.get("settings"), **public.get("files", {})}
    for file, content in (files | {"special_tokens_map.json": public.get("special")}).items():
        if content is not None:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(json.dumps(content))
    return folder


_WIDTHS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    "intermediate_size",
)
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _byte_level(folder: Path) -> None:
    letters = list("ĠabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'")
    merges = [("t", "h"), ("th", "e"), ("d", "o"), ("do", "g"), ("Ġ", "dog"), ("Ġ", "the")]
    words = [*_SPECIAL[:4], *letters, *(a + b for a, b in merges), "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    text = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    (folder / "merges.txt").write_text(text, "utf-8")


def _sentencepiece(folder: Path) -> None:
    from text.test_vocabularies import model

    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁the", -1.0), ("▁dog", -2.0)]
    (folder / "sentencepiece.bpe.model").write_bytes(model(pieces))


def _fast_bpe(folder: Path) -> None:
    (folder / "vocab.txt").write_text("the 5\ndog 4\n")
    (folder / "bpe.codes").write_text("t h 4\nth e</w> 4\nd o 3\ndo g</w> 3\n")


_TOKENIZERS = {
    "byte-level": _byte_level,
    "sentencepiece": _sentencepiece,
    "fast BPE": _fast_bpe,
}
