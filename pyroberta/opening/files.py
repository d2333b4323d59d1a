"""The names of a checkpoint's files, which readers and writers share."""

from __future__ import annotations

from collections.abc import Collection

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TORCH_FILE = "pytorch_model.bin"
TORCH_INDEX_FILE = "pytorch_model.bin.index.json"
PACKED_FILE = "model.packed.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
INDEX = ".index.json"
# An adapter's weights, in the order in which they are looked for.
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

# The weights of a folder, in the order in which they are looked for; an index names its shards.
WEIGHTS = (PACKED_FILE, SINGLE_FILE, INDEX_FILE, TORCH_FILE, TORCH_INDEX_FILE)

# What else of a folder is read.
_READ = {
    CONFIG_FILE: "configuration",
    ADAPTER_CONFIG: "adapter, merged",
    **dict.fromkeys(ADAPTER_WEIGHTS, "adapter, merged"),
    **dict.fromkeys(
        ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
        "settings of the tokenizer",
    ),
    **dict.fromkeys(("modules.json", "config_sentence_transformers.json"), "sentences' settings"),
}
VOCABULARIES = (
    *("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "bpe.codes"),
    "sentencepiece.bpe.model",
)
# Whose own tokenizer stands before all others.
_TOKENIZER = "tokenizer.json"


def what_file_is(name: str, beside: Collection[str]) -> str:
    """What a file of a checkpoint's folder is, in a few words.

    Args:
        name: of the file.
        beside: the names of all files there.
    """
    if name in _READ:
        return _READ[name]
    if name.startswith("sentence_") and name.endswith("_config.json"):
        return "sentences' settings"
    if name in VOCABULARIES:
        is_read = name == _TOKENIZER or _TOKENIZER not in beside
        return "tokenizer" if is_read else "another form of the tokenizer, not read"
    read = next((one for one in WEIGHTS if one in beside), None)
    if read is not None and belongs(name, read):
        return "weights"
    if any(one in beside and belongs(name, one) for one in WEIGHTS):
        return "other weights, not read"
    return "not read"


def belongs(name: str, weights: str) -> bool:
    """Whether a file is these weights, or one of the shards of an index."""
    if not weights.endswith(INDEX):
        return name == weights
    stem, _, ending = weights.removesuffix(INDEX).rpartition(".")
    return name == weights or (name.startswith(f"{stem}-") and name.endswith(f".{ending}"))
