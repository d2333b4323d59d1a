"""The packed file itself: what is in it, what its bytes mean, whose memory it is, its writing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint.packing import LM, bits, needs_core, pack
from safetensors import safe_open
from support import TINY, draw_tensors, make_folder, on_build, run_python, write_folder

import pyroberta
from pyroberta import kernels
from pyroberta.checkpoint import PACKED_FILE, PackedSource
from pyroberta.compute_types import COMPUTE_TYPES

pytestmark = needs_core


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_a_file_holds_each_block_once_and_all_of_it_aligned(compute_type, isa, tmp_path):
    folder = make_folder(tmp_path / "a", LM)
    file = pack(folder, tmp_path / "b", compute_type=compute_type) / PACKED_FILE
    with safe_open(str(file), framework="numpy") as opened:  # others can list it
        names, metadata = set(opened.keys()), opened.metadata()
    kept = {
        name.removeprefix("roberta.")
        for name in draw_tensors(TINY, LM)
        if "encoder.layer" not in name
    }
    packed = {f"packed.encoder.layer.{n}" for n in range(2)}
    if compute_type in ("bfloat16", "int8"):
        packed |= {"packed.lm_head.dense.weight", "packed.lm_head.decoder.weight"}
    assert names == kept | packed
    assert metadata["compute_type"] == compute_type
    assert len(json.loads(metadata["shapes"])) == 2 * 16
    source = PackedSource(tmp_path / "b")
    for name in packed:
        for mapped in (True, False):
            source._memory_map = mapped
            array = source.packed(name.removeprefix("packed."))
            assert array.ctypes.data % 64 == 0
            assert array.size % 64 == 0
            assert array.flags.writeable is not mapped


def test_a_table_that_the_head_multiplies_by_is_stored_as_the_products_read_it(tmp_path):
    """Else each process would widen it to float32 in memory of its own."""
    tensors = {name: array.astype("<f2") for name, array in draw_tensors(TINY, LM).items()}
    hf = TINY | {"architectures": ["RobertaForMaskedLM"]}
    folder = write_folder(tmp_path / "a", hf, tensors)
    for compute_type, dtype in (("float32", "F32"), ("bfloat16x3", "F32"), ("bfloat16", "F16")):
        out = pack(folder, tmp_path / compute_type, compute_type=compute_type)
        found = {name: tensor.dtype for name, tensor in PackedSource(out).tensors.items()}
        assert found["embeddings.word_embeddings.weight"] == dtype
        assert found["lm_head.dense.weight"] == dtype
        assert found["embeddings.position_embeddings.weight"] == "F16"
        for tensor in PackedSource(out).tensors.values():  # else they would be read, not mapped
            assert tensor.offset % {"F32": 4, "F16": 2}.get(tensor.dtype, 1) == 0
    out = pack(folder, tmp_path / "base", architecture="base")
    assert PackedSource(out).tensors["embeddings.word_embeddings.weight"].dtype == "F16"


def stable_folder(path: Path) -> Path:
    """A checkpoint whose numbers are no library's random ones."""
    tensors = draw_tensors(TINY | {"hidden_size": 48, "intermediate_size": 80}, "base")
    for name, array in tensors.items():
        codes = np.arange(array.size, dtype=np.uint64) * 2654435761 % 4093
        tensors[name] = (codes.astype(np.float32) / 2048 - 1).reshape(array.shape)
    hf = TINY | {"hidden_size": 48, "intermediate_size": 80, "architectures": ["RobertaModel"]}
    return write_folder(path, hf, tensors)


# The first digits of the checksum of all packed bytes of `stable_folder` in layout version 1.
PACKED_BYTES = {
    "float32 in panels of 8": "78fb066f188b",
    "float32 in panels of 16": "7e101eb2ffdc",
    "float32 in panels of 64": "28b51567129c",
    "bfloat16x3 in panels of 64": "0c3a8beedaef",
    "bfloat16 in panels of 8": "bc508a85abe3",
    "bfloat16 in panels of 16": "5889fda90411",
    "bfloat16 in panels of 16, words by two": "4cdf8c442b20",
    "bfloat16 in panels of 64": "2942c62666cd",
    "int8 in panels of 8": "aa9f506296a0",
    "int8 in panels of 16": "372f445ab91c",
    "int8 in panels of 16, words by two": "26286e869269",
    "int8 in panels of 64": "28d62ab0e176",
}


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_the_bytes_of_a_layout_version_do_not_change(compute_type, isa, tmp_path):
    """A file that was packed before must still mean what it meant.

    If a change to the layout makes this fail, count LAYOUT in checkpoint/packed.py up, and put the
    new digits here. A build with a family of its own adds a line.
    """
    source = PackedSource(
        pack(stable_folder(tmp_path / "a"), tmp_path / "b", compute_type=compute_type)
    )
    digest = hashlib.sha256()
    for name in ("encoder.layer.0", "encoder.layer.1"):
        digest.update(source.packed(name))
    assert digest.hexdigest()[:12] == PACKED_BYTES[source.family]


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_one_file_serves_every_build_of_its_family_and_no_other(compute_type, tmp_path):
    folder = stable_folder(tmp_path / "a")
    files: dict[str, tuple[Path, bytes]] = {}
    for isa in kernels.available_isas():
        with on_build(isa):
            out = pack(folder, tmp_path / isa, compute_type=compute_type)
            family = PackedSource(out).family
            data = (out / PACKED_FILE).read_bytes()
            assert files.setdefault(family, (out, data))[1] == data
            plain = pyroberta.from_pretrained(folder, compute_type=compute_type)
            for other, (path, _) in files.items():
                if other == family:
                    assert bits(pyroberta.from_pretrained(path)) == bits(plain)
                    continue
                message = (
                    f"must be packed for {family}, the layout of .*, not for {other}: pack the"
                )
                with pytest.raises(pyroberta.CheckpointError, match=message):
                    pyroberta.from_pretrained(path)
    assert len(files) > 1 or len(kernels.available_isas()) == 1


on_linux = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells in /proc whose memory"
)
MIB = 2**20

# A process that loads the model of argv[1] and calls it.
LOADED = """
import sys
import pyroberta

def own_memory():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Anonymous:")) << 10

pyroberta.set_num_threads(1)
pyroberta.RobertaModel.from_config(
    pyroberta.RobertaConfig(hidden_size=12, vocab_size=100), seed=0
)([[0, 5, 6, 2]])
before = own_memory()
model = pyroberta.from_pretrained(sys.argv[1])
loaded = own_memory()
model([[0, 5, 6, 2]])
print(loaded - before, own_memory() - before, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A masked LM of 63 MB in float32: its checkpoint, and packed in each compute type."""
    root = tmp_path_factory.mktemp("large")
    config = pyroberta.RobertaConfig(num_blocks=2, vocab_size=2000)
    model = pyroberta.RobertaForMaskedLM.from_config(config, seed=0)
    model.save_pretrained(root / "checkpoint")
    for compute_type in COMPUTE_TYPES:
        pack(root / "checkpoint", root / compute_type, compute_type=compute_type)
    return {path.name: path for path in root.iterdir()}


def start(folder: Path) -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", LOADED, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@on_linux
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_nothing_is_converted_on_load_or_in_a_call(compute_type, large):
    """What a process has for itself: norms, biases of heads, the workspace; no matrix."""
    with start(large[compute_type]) as process:
        out, _ = process.communicate(timeout=60)
    loaded, called = map(int, out.split())
    assert loaded < 1.5 * MIB
    assert called < 2 * MIB
    if compute_type == "float32":  # the same weights as a checkpoint has them are packed anew
        with start(large["checkpoint"]) as process:
            out, _ = process.communicate(timeout=60)
        assert int(out.split()[0]) > 50 * MIB


def mapped(pid: int, file: Path) -> dict[str, int]:
    """The sums, in bytes, of what /proc says of a process's mappings of a file."""
    sums: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        key, value = line.split()[:2]
        if not key.endswith(":"):  # the head of the next mapping
            inside = line.endswith(str(file))
        elif inside and value.isdigit():
            sums[key[:-1]] = sums.get(key[:-1], 0) + int(value) * 1024
    return sums


@on_linux
def test_two_processes_hold_the_weights_once(large):
    file = large["float32"] / PACKED_FILE
    size = file.stat().st_size
    with start(file.parent) as one, start(file.parent) as other:
        for process in (one, other):
            assert process.stdout.readline()
        both = [mapped(process.pid, file) for process in (one, other)]
        for process in (one, other):
            process.stdin.close()
    for sums in both:
        assert sums["Rss"] > 0.9 * size  # all of it was used, and where it stands
        assert (
            sums["Shared_Clean"] + sums["Shared_Dirty"] > 0.9 * size
        )  # dirty: not on the disk yet
        assert sums["Anonymous"] == 0
    assert both[0]["Pss"] + both[1]["Pss"] < 1.05 * size


def test_a_file_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path):
    folder = make_folder(tmp_path / "a", LM, vocab_size=4000)
    code = f"""
import resource, pyroberta
model = pyroberta.from_pretrained({str(folder)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    model.save_packed({str(tmp_path / "b")!r})
except OSError as error:
    print(error)
"""
    done = run_python(code)
    assert "File too large" in done.stdout, done.stderr
    assert list((tmp_path / "b").iterdir()) == []


def test_a_packed_file_replaces_one_whole_and_no_checkpoint(tmp_path):
    """Those who have the old one mapped keep it."""
    old = make_folder(tmp_path / "a", "base", seed=1)
    new = make_folder(tmp_path / "b", "base", seed=2)
    out = pack(old, tmp_path / "c")
    model = pyroberta.from_pretrained(out)
    before = bits(model)
    pack(new, out)
    assert bits(model) == before == bits(pyroberta.from_pretrained(old))
    assert bits(pyroberta.from_pretrained(out)) == bits(pyroberta.from_pretrained(new)) != before
    with pytest.raises(
        pyroberta.InputError, match=r"a folder without model.safetensors, not '.*a'"
    ):
        pyroberta.from_pretrained(new).save_packed(old)
    assert not (old / PACKED_FILE).exists()
