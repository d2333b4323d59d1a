"""The files of a model: what it was loaded from is replaced, cannot be mapped, has an odd name."""

import gc
import itertools
import json
import os
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import pyroberta
from pyroberta import CheckpointError, RobertaConfig, RobertaForMaskedLM, from_pretrained
from pyroberta.checkpoint import open_file, whole_files
from pyroberta.checkpoint.pair import SAVED_AS

SIZES = {
    "vocab_size": 100,
    "num_blocks": 3,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_positions": 66,
    "initializer_range": 0.3,
}
IDS = [[0, 5, 6, 2]]


def new(seed: int = 0, **more) -> RobertaForMaskedLM:
    return RobertaForMaskedLM.from_config(RobertaConfig(**SIZES | more), seed=seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    from_pretrained(folder).save_packed(tmp_path / "packed")
    return tmp_path / "packed"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


# What is saved is what was loaded.


@pytest.mark.parametrize("how", ["another model", "a longer header", "no folder"])
def test_a_model_saves_what_it_is_after_its_file_was_replaced(how, folder, tmp_path):
    before = contents(folder)
    model = from_pretrained(folder)
    wanted = model(IDS).logits
    if how == "another model":
        new(seed=1).save_pretrained(folder)
    elif how == "a longer header":
        from safetensors.numpy import load_file, save_file

        other = tmp_path / "other.safetensors"
        save_file(load_file(folder / "model.safetensors"), other, metadata={"a": "b" * 1000})
        os.replace(other, folder / "model.safetensors")
    else:
        shutil.rmtree(folder)
    model.save_pretrained(tmp_path / "saved")
    assert contents(tmp_path / "saved") == before
    model.save_packed(tmp_path / "packed")
    assert np.array_equal(from_pretrained(tmp_path / "packed")(IDS).logits, wanted)
    trained = model(IDS, training=True, rng=np.random.default_rng(0)).logits
    assert np.isfinite(trained).all()


@pytest.mark.parametrize("way", ["save_pretrained", "save_packed"])
@pytest.mark.parametrize("change", ["longer", "shorter", "other bytes"])
def test_a_file_that_was_written_in_place_is_not_saved_from(way, change, folder, tmp_path):
    model = from_pretrained(folder, memory_map=False)
    file = folder / "model.safetensors"
    data = file.read_bytes()
    changed = {"longer": data + b"?", "shorter": data[:-1], "other bytes": data[:-1] + b"?"}
    with file.open("r+b") as out:
        out.truncate(len(changed[change]))
        out.write(changed[change])
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))  # a clock of another tick
    with pytest.raises(
        CheckpointError, match=re.escape(str(file)) + ".* (written since|it was cut)"
    ):
        getattr(model, way)(tmp_path / "saved")
    assert not (tmp_path / "saved").exists() or not contents(tmp_path / "saved")


def test_a_model_takes_two_descriptors_at_most_and_gives_them_back(folder, packed):
    for path in (folder, packed):
        for memory_map in (True, False):
            before = descriptors()
            model = from_pretrained(path, memory_map=memory_map)
            model(IDS)
            assert descriptors() - before <= 2
            del model
            assert descriptors() == before


# Mounts that map no files.


@pytest.mark.parametrize("memory_map", [True, False])
def test_files_that_cannot_be_mapped_are_read(memory_map, folder, packed, monkeypatch):
    wanted = new()(IDS).logits

    def refuse(*args, **kwargs):
        raise OSError(19, "No such device")

    monkeypatch.setattr(open_file.mmap, "mmap", refuse)
    for path in (folder, packed):
        assert np.array_equal(from_pretrained(path, memory_map=memory_map)(IDS).logits, wanted)


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff\xfe", b"a\x80/b\x81"])
def test_names_that_are_not_utf8(name, folder, packed, tmp_path):
    odd = os.fsencode(tmp_path) + b"/" + name
    os.makedirs(odd)
    path = os.fsdecode(odd)
    model = new()
    model.save_pretrained(path + "/saved")
    wanted = model(IDS).logits
    assert np.array_equal(from_pretrained(path + "/saved")(IDS).logits, wanted)
    from_pretrained(path + "/saved").save_packed(path + "/packed")
    assert np.array_equal(from_pretrained(path + "/packed")(IDS).logits, wanted)
    pytest.importorskip("tokenizers")
    shutil.copytree(Path(pyroberta.__file__).parent / "shipped", path + "/shipped")
    text = "Paris is the <mask> of France."
    assert pyroberta.pipeline("fill-mask", path + "/shipped")(text) == pyroberta.pipeline(
        "fill-mask"
    )(text)


# Writers.


def test_two_threads_that_save_into_one_folder_leave_one_of_two_models(tmp_path):
    models = [new(seed) for seed in (0, 1)]
    alone = []
    for seed, model in enumerate(models):
        model.save_pretrained(tmp_path / str(seed))
        alone.append(contents(tmp_path / str(seed)))
    errors = []

    def save(model):
        try:
            for _ in range(20):
                model.save_pretrained(tmp_path / "both")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(model,)) for model in models]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    found = contents(tmp_path / "both")
    assert not errors
    assert found.keys() == alone[0].keys()
    assert all(found[name] in (alone[0][name], alone[1][name]) for name in found)


class Stop(BaseException):
    """As KeyboardInterrupt, which nothing catches by accident."""


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Stop()])
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_save_that_fails_anywhere_leaves_the_old_folder(
    call, error, folder, tmp_path, monkeypatch
):
    """Over every call of each kind: the old model stays, or all of the new one is there."""
    model = new(seed=1, num_attention_heads=2)
    model.save_pretrained(tmp_path / "alone")
    before, after = contents(folder), contents(tmp_path / "alone")
    real = open if call == "open" else getattr(os, call)
    failed = 0
    for n in range(100):
        calls = itertools.count()

        def fail(*args, calls=calls, n=n, **kwargs):
            if next(calls) == n:
                raise error
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(whole_files if call == "open" else os, call, fail, raising=False)
            try:
                model.save_pretrained(folder)
                break
            except Stop:
                pass
            except OSError as caught:
                said = str(caught)
                assert str(folder) in said
        failed += 1
        assert contents(folder) in (before, after)
        assert not isinstance(error, OSError) or contents(folder) == before
    folder_is_synced = call == "fsync" and isinstance(error, Stop)
    assert failed == {"fsync": 2, "replace": 2, "open": 2}[call] + folder_is_synced
    assert np.array_equal(from_pretrained(folder)(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("way", ["save_pretrained", "save_packed"])
def test_weights_under_the_config_of_another_model_are_refused(way, folder, tmp_path):
    for heads in (4, 2):
        new(num_attention_heads=heads).save_pretrained(tmp_path / f"source{heads}")
        getattr(from_pretrained(tmp_path / f"source{heads}"), way)(tmp_path / str(heads))
    shutil.copy(tmp_path / "2" / "config.json", tmp_path / "4" / "config.json")
    with pytest.raises(CheckpointError, match="must be the one that was saved with model"):
        from_pretrained(tmp_path / "4")
    config = json.loads((tmp_path / "4" / "config.json").read_text())
    del config[SAVED_AS]
    (tmp_path / "4" / "config.json").write_text(json.dumps(config))
    from_pretrained(tmp_path / "4")


def test_a_config_edited_by_hand_and_weights_of_another_writer_are_read(folder):
    from safetensors.numpy import load_file, save_file

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.5}))
    assert from_pretrained(folder).config.dropout_rate == 0.5
    file = folder / "model.safetensors"
    save_file(load_file(file), file, metadata={"format": "pt"})
    from_pretrained(folder)
