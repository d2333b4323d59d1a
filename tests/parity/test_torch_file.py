"""``pytorch_model.bin`` as PyTorch itself writes it: the tensors of ``torch.save``, to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint.torch_folders import BIN, answer
from support import TINY, draw_tensors, make_folder

from pyroberta.checkpoint import open_checkpoint
from pyroberta.checkpoint.torch_file import read_torch_file

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.parity

every_format = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
FLOATS = ["float64", "float32", "float16", "bfloat16"]


def save(value: Any, file: Path, zipped: bool, **options: Any) -> None:
    torch.save(value, file, _use_new_zipfile_serialization=zipped, **options)


def check(file: Path, state: dict[str, Any]) -> None:
    """Every float of the file is that of the state dict."""
    found = read_torch_file(file)
    assert set(found) == set(state)
    for name, tensor in state.items():
        wanted = tensor.detach().double().numpy()
        assert found[name].shape == wanted.shape
        assert np.array_equal(found[name].read(np.float64), wanted)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", FLOATS)
@every_format
def test_each_dtype_under_each_protocol(zipped, dtype, protocol, tmp_path):
    drawn = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).to(getattr(torch, dtype))
    state = {"a.weight": drawn, "a.bias": drawn[0].clone(), "none": drawn[:0], "one": drawn.sum()}
    save(state, tmp_path / BIN, zipped, pickle_protocol=protocol)
    check(tmp_path / BIN, state)


@every_format
def test_views_share_a_storage(zipped, tmp_path):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "base": base,
        "transposed": base.T,
        "columns": base[:, 1::2],
        "rows": base[2:],
        "expanded": base[0, :1].expand(5),
        "parameter": torch.nn.Parameter(base),
    }
    save(state, tmp_path / BIN, zipped)
    check(tmp_path / BIN, state)


@every_format
def test_a_module_with_tied_weights_and_buffers(zipped, tmp_path):
    module = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Linear(4, 7, bias=False))
    module[1].weight = module[0].weight
    module.register_buffer("position_ids", torch.zeros(3))
    state = module.state_dict()  # an OrderedDict with _metadata
    save(state, tmp_path / BIN, zipped)
    check(tmp_path / BIN, state)


@pytest.mark.parametrize("architecture", ["base", "for_masked_language_modeling"])
@pytest.mark.parametrize("shards", [1, 2, 3])
@every_format
def test_a_model_gives_the_bits_of_its_safetensors(zipped, shards, architecture, tmp_path):
    folder = make_folder(tmp_path / "bin", architecture)
    (folder / "model.safetensors").unlink()
    drawn = draw_tensors(TINY, architecture)
    tensors = {name: torch.from_numpy(np.array(a)) for name, a in drawn.items()}
    if shards == 1:
        save(tensors, folder / BIN, zipped)
    else:
        of = {
            n: f"pytorch_model-{i % shards + 1:05}-of-{shards:05}.bin" for i, n in enumerate(drawn)
        }
        for shard in set(of.values()):
            save({n: t for n, t in tensors.items() if of[n] == shard}, folder / shard, zipped)
        (folder / f"{BIN}.index.json").write_text(json.dumps({"weight_map": of}))
    assert len({t.file for t in open_checkpoint(folder).values()}) == shards
    assert answer(folder) == answer(make_folder(tmp_path / "safetensors", architecture))
