"""What a user names, found: folders, names in the Hub's cache, and what is said of the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import pyroberta
from pyroberta import CheckpointError, ConfigError, InputError, RobertaConfig, RobertaModel
from pyroberta.opening import find_checkpoint, find_folder
from pyroberta.opening.cache import cache_folder, is_hub_name, is_offline
from pyroberta.opening.layout import files_to_read, is_complete
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer

FIRST, SECOND = "a" * 40, "b" * 40
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def copy(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(SHIPPED / name, folder)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The Hub's cache with org/name: two commits, of which main is the second."""
    root = tmp_path / "hub"
    repository = root / "models--org--name"
    for commit in (FIRST, SECOND):
        copy(repository / "snapshots" / commit)
    for ref, commit in (("main", SECOND), ("v1", FIRST), ("refs/pr/3", FIRST)):
        file = repository / "refs" / ref
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(root))
    return root


@pytest.mark.parametrize(
    ("revision", "commit"),
    [(None, SECOND), ("main", SECOND), ("v1", FIRST), ("refs/pr/3", FIRST), (FIRST, FIRST)],
)
def test_a_name_is_found_in_the_cache_at_its_revision(cache, revision, commit):
    snapshot = cache / "models--org--name" / "snapshots" / commit
    assert find_folder("org/name", revision=revision) == snapshot
    assert find_folder(cache / "models--org--name", revision=revision) == snapshot
    assert find_folder(str(cache / "models--org--name"), revision=revision) == snapshot


def test_a_name_opens_wherever_a_folder_does(cache):
    assert isinstance(pyroberta.from_pretrained("org/name"), pyroberta.RobertaForMaskedLM)
    assert RobertaModel.from_pretrained("org/name", revision="v1", add_pooling_layer=False)
    assert RobertaConfig.from_pretrained("org/name").hidden_size == 128
    assert Tokenizer.from_pretrained("org/name", revision=FIRST).encode_one("a")
    assert pyroberta.pipeline("fill-mask", "org/name", revision="v1")("a <mask>.")
    assert pyroberta.pipeline("sentence-embedding", "org/name")("a").shape == (128,)


def test_the_only_commit_serves_a_repository_without_refs(cache):
    repository = cache / "models--org--name"
    shutil.rmtree(repository / "refs")
    with pytest.raises(FileNotFoundError):
        find_folder(repository)
    shutil.rmtree(repository / "snapshots" / FIRST)
    assert find_folder(repository).name == SECOND
    assert find_folder("org/name").name == SECOND


@pytest.mark.parametrize("revision", ["v2", "c" * 40, "refs/pr/4"])
def test_a_revision_that_is_not_there_is_told(cache, revision):
    with pytest.raises(FileNotFoundError, match=f"at revision {revision!r} it is not in the cache"):
        find_folder("org/name", revision=revision)
    with pytest.raises(FileNotFoundError, match=f"with the revision {revision!r} in its snapshots"):
        find_folder(cache / "models--org--name", revision=revision)


@pytest.mark.parametrize("revision", ["", "../main", "/etc", "a\0b", 3])
def test_what_can_be_no_revision_is_refused(cache, revision):
    with pytest.raises(InputError, match="revision must be a branch, a tag or a commit, not"):
        find_folder("org/name", revision=revision)


def test_a_folder_has_no_revision(tmp_path):
    with pytest.raises(InputError, match="revision must be left out for a folder"):
        RobertaModel.from_pretrained(copy(tmp_path / "a"), revision="main")
    with pytest.raises(ConfigError, match="revision must be left out for a folder"):
        pyroberta.pipeline("fill-mask", SHIPPED, revision="main")
    model = pyroberta.from_pretrained(SHIPPED)
    with pytest.raises(ConfigError, match="revision must be left out for a loaded model"):
        pyroberta.pipeline("fill-mask", model, tokenizer=SHIPPED, revision="main")


@pytest.mark.parametrize("name", ["org/none", "none", "FacebookAI/roberta-none"])
def test_a_name_that_is_nowhere_is_told_of_the_cache(cache, name):
    for call in (
        pyroberta.from_pretrained,
        Tokenizer.from_pretrained,
        RobertaConfig.from_pretrained,
    ):
        with pytest.raises(
            FileNotFoundError, match=f"not {name!r}; as a name of the Hub's it is no"
        ):
            call(name)


@pytest.mark.parametrize(
    "path", ["./none", "/none/x", "a/b/c", "../x", "~/x", "a b", "x" * 200, ""]
)
def test_what_is_no_name_is_a_path(path):
    assert not is_hub_name(path)
    with pytest.raises(
        FileNotFoundError, match=r"path must be a checkpoint's folder, not|must be a fi"
    ):
        RobertaConfig.from_pretrained(path)


@pytest.mark.parametrize("path", [3, None, ["a"], b"x"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InputError, match="path must be a folder's path, not"):
        find_folder(path)


def test_a_path_object_is_never_a_name(cache):
    with pytest.raises(FileNotFoundError, match="path must be a checkpoint's folder"):
        RobertaConfig.from_pretrained(Path("org/name"))


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/c", "HF_HOME": "/b"}, "/c"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/d"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({}, str(Path("~/.cache/huggingface/hub").expanduser())),
    ],
)
def test_the_cache_is_where_the_hubs_library_has_it(environment, folder):
    assert str(cache_folder(environment)) == folder


@pytest.mark.parametrize(
    ("environment", "offline"),
    [
        ({"HF_HUB_OFFLINE": "1"}, True),
        ({"TRANSFORMERS_OFFLINE": "yes"}, True),
        ({"HF_HUB_OFFLINE": "true"}, True),
        ({"HF_HUB_OFFLINE": "0"}, False),
        ({"HF_HUB_OFFLINE": ""}, False),
        ({}, False),
    ],
)
def test_offline_mode_is_read_as_by_the_hubs_library(environment, offline):
    assert is_offline(environment) is offline


def sentence_folder(folder: Path, inside: str = "0_Transformer") -> Path:
    copy(folder / inside)
    (folder / "config.json").write_text('{"__version__": "0.3.8"}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    kinds = (("Transformer", inside), ("Pooling", "1_Pooling"))
    rows = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds]
    rows = [row | {"name": str(n)} for n, row in enumerate(rows)]
    (folder / "modules.json").write_text(json.dumps(rows))
    return folder


def test_the_old_layout_of_sentence_transformers_opens_everywhere(tmp_path, run_cli):
    folder = sentence_folder(tmp_path / "st")
    assert find_checkpoint(folder) == folder / "0_Transformer"
    assert isinstance(pyroberta.from_pretrained(folder), pyroberta.RobertaForMaskedLM)
    assert RobertaModel.from_pretrained(folder, add_pooling_layer=False).config.hidden_size == 128
    assert Tokenizer.from_pretrained(folder).encode_one("a")
    assert pyroberta.pipeline("fill-mask", folder)("a <mask>.")
    assert "sentences      mean pooling" in run_cli("info", str(folder))
    (tmp_path / "t.txt").write_text("a\n")
    assert "embedding" in run_cli("embed", "--model", str(folder), str(tmp_path / "t.txt"))
    assert run_cli("fill-mask", "--model", str(folder), "a <mask>.")
    assert run_cli("pack", str(folder), str(tmp_path / "packed"))
    assert (tmp_path / "packed" / "0_Transformer" / "model.packed.safetensors").is_file()


def test_the_command_line_takes_names(cache, tmp_path, run_cli):
    assert "RobertaForMaskedLM" in run_cli("info", "org/name", "--revision", "v1")
    assert run_cli("fill-mask", "--model", "org/name", "--revision", FIRST, "a <mask>.")
    assert run_cli("pack", "org/name", str(tmp_path / "packed"))
    assert "not 'org/none'" in run_cli("info", "org/none", status=2)


@pytest.fixture
def run_cli(capsys):
    def run(*argv, status=0):
        from pyroberta.cli import main

        assert main(argv) == status, capsys.readouterr()
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return run


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["adapter_config.json", "adapter_model.safetensors"],
            "holds an adapter alone, whose base 'org/base' .* must be a folder or a Hub name",
        ),
        (["tf_model.h5"], "tf_model.h5 alone: convert TensorFlow's"),
        (["flax_model.msgpack"], "flax_model.msgpack alone: convert Flax's"),
        (["model.onnx"], "model.onnx alone: ONNX holds no checkpoint"),
        (["openvino_model.xml"], "openvino_model.xml alone: OpenVINO holds no"),
        (["model.gguf"], "model.gguf alone: GGUF holds no"),
    ],
)
@pytest.mark.parametrize("has_config", [True, False])
def test_a_folder_of_something_else_is_named_for_what_it_is(tmp_path, files, message, has_config):
    for file in files:
        (tmp_path / file).write_text('{"base_model_name_or_path": "org/base"}')
    if has_config:
        shutil.copy(SHIPPED / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        pyroberta.from_pretrained(tmp_path)


def test_which_files_of_a_repository_are_read():
    names = [
        "README.md", "config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin",
        "tf_model.h5", "onnx/model.onnx", "modules.json", "1_Pooling/config.json",
        "2_Dense/config.json", "2_Dense/pytorch_model.bin", "sentence_bert_config.json",
        "adapter/adapter_model.safetensors", "training_args.bin",
    ]  # fmt: skip
    assert list(files_to_read(names, ["1_Pooling", "2_Dense"])) == [
        "config.json", "model.safetensors", "modules.json", "sentence_bert_config.json",
        "tokenizer.json", "1_Pooling/config.json", "2_Dense/config.json",
        "2_Dense/pytorch_model.bin",
    ]  # fmt: skip
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = "model.safetensors.index.json"
    assert list(files_to_read([*shards, index, "other.safetensors"], [])) == [*shards, index]


def test_a_snapshot_without_all_of_its_files_is_not_whole(tmp_path):
    folder = sentence_folder(tmp_path / "st")
    assert is_complete(folder)
    shutil.move(folder / "1_Pooling", tmp_path / "moved")
    assert not is_complete(folder)
    shutil.move(tmp_path / "moved", folder / "1_Pooling")
    weights = folder / "0_Transformer" / "model.safetensors"
    weights.rename(weights.with_name("shard.safetensors"))
    assert not is_complete(folder)
    index = {"weight_map": {"a": "shard.safetensors", "b": "missing.safetensors"}}
    (weights.parent / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not is_complete(folder)
    (weights.parent / "missing.safetensors").touch()
    assert is_complete(folder)


@pytest.mark.parametrize(
    "modules", ["{", '{"a": 1}', '[{"type": 3}]', '[{"type": "a", "path": ".."}]']
)
def test_a_malformed_modules_file_is_refused(tmp_path, modules):
    copy(tmp_path / "st")
    (tmp_path / "st" / "modules.json").write_text(modules)
    with pytest.raises((ConfigError, CheckpointError), match=r"modules\.json"):
        pyroberta.from_pretrained(tmp_path / "st")
