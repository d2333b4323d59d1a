"""The names of a checkpoint's files, which readers and writers share."""

from __future__ import annotations

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TORCH_FILE = "pytorch_model.bin"
TORCH_INDEX_FILE = "pytorch_model.bin.index.json"
PACKED_FILE = "model.packed.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
# An adapter's weights, in the order in which they are looked for.
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

# The weights of a folder, in the order in which they are looked for; an index names its shards.
WEIGHTS = (PACKED_FILE, SINGLE_FILE, INDEX_FILE, TORCH_FILE, TORCH_INDEX_FILE)
