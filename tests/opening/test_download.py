"""Hub names that are not in the cache, downloaded from a Hub of the tests' own on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from opening.hub import COMMIT, Hub
from opening.public import MODULES

from pyroberta import RobertaConfig, RobertaModel
from pyroberta.opening.download import download
from pyroberta.shipped import SHIPPED

pytest.importorskip("huggingface_hub")

SMALL = ("config.json", "tokenizer.json")
LARGE = ("config.json", "model.safetensors")
OTHERS = ("README.md", "tf_model.h5", "onnx/model.onnx", "pytorch_model.bin", "training_args.bin")

# The library reads its environment once, as it is imported: each try is a process of its own.
TRY = """
import sys, pyroberta
try:
    print(type(eval(sys.argv[1])).__name__)
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def files():
    files = {name: (SHIPPED / name).read_bytes() for name in (*SMALL, "model.safetensors")}
    return files | dict.fromkeys(OTHERS, b"never read")


@pytest.fixture
def attempt(tmp_path):
    """Runs an expression of pyroberta's in a process whose Hub is the one given."""

    def run(hub, expression, **environment):
        given = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
        given |= {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", TRY, expression], env=given, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def fetched(hub):
    return {file for file, _ in hub.fetched}


def test_a_name_is_downloaded_once_and_only_what_is_read(files, attempt, tmp_path):
    with Hub("org/name", files).running() as hub:
        assert attempt(hub, "pyroberta.from_pretrained('org/name')") == "RobertaForMaskedLM"
        assert fetched(hub) == {*SMALL, "model.safetensors"}
        hub.asked.clear()
        assert attempt(hub, "pyroberta.pipeline('fill-mask', 'org/name')") == "FillMask"
        assert hub.asked == []  # from the cache, without the network
    snapshot = tmp_path / "home" / "hub" / "models--org--name" / "snapshots" / COMMIT
    assert (snapshot / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_a_revision_is_downloaded(files, attempt):
    with Hub("org/name", files, ("v2",)).running() as hub:
        call = "pyroberta.RobertaModel.from_pretrained('org/name', revision={!r}, {})"
        bare = "add_pooling_layer=False"
        assert attempt(hub, call.format("v2", bare)) == "RobertaModel"
        assert attempt(hub, call.format(COMMIT, bare)) == "RobertaModel"
        got = attempt(hub, call.format("v3", bare))
        assert got.startswith("FileNotFoundError: path must be")
        assert "'org/name' at revision 'v3'" in got


def test_a_sentence_folder_is_downloaded_with_its_modules(files, attempt):
    files["modules.json"] = json.dumps(MODULES).encode()
    files["1_Pooling/config.json"] = b'{"pooling_mode_cls_token": true}'
    files["3_Other/config.json"] = b"{}"
    with Hub("org/sentences", files).running() as hub:
        call = "pyroberta.pipeline('sentence-embedding', 'org/sentences')('a')"
        assert attempt(hub, call) == "ndarray"
        assert fetched(hub) == {
            *SMALL,
            "model.safetensors",
            "modules.json",
            "1_Pooling/config.json",
        }
        hub.asked.clear()
        assert attempt(hub, call) == "ndarray"
        assert hub.asked == []


def test_shards_are_downloaded_together_with_their_index(attempt, tmp_path):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(SHIPPED / "model.safetensors")
    parts = [dict(list(tensors.items())[i::2]) for i in range(2)]
    files = {name: (SHIPPED / name).read_bytes() for name in SMALL}
    weight_map = {}
    for i, part in enumerate(parts, 1):
        name = f"model-0000{i}-of-00002.safetensors"
        save_file(part, tmp_path / name)
        files[name] = (tmp_path / name).read_bytes()
        weight_map |= dict.fromkeys(part, name)
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    with Hub("org/shards", files | {"pytorch_model.bin": b""}).running() as hub:
        assert attempt(hub, "pyroberta.from_pretrained('org/shards')") == "RobertaForMaskedLM"
        assert fetched(hub) == {*files}


def test_a_download_that_broke_off_is_gone_on_with(attempt, tmp_path):
    # The library keeps pieces of 10 MB, so the file has to be larger than one.
    config = RobertaConfig(vocab_size=60_000, hidden_size=96, num_blocks=1, intermediate_size=8)
    RobertaModel.from_config(config, seed=0).save_pretrained(tmp_path / "model")
    files = {name: (tmp_path / "model" / name).read_bytes() for name in LARGE}
    with Hub("org/name", files).running() as hub:
        hub.breaks_after = 12_000_000
        call = "pyroberta.from_pretrained('org/name')"
        got = attempt(hub, call)
        if got != "RobertaModel":  # the library gave up: the next call goes on
            assert got.startswith("FileNotFoundError: path must be")
            assert attempt(hub, call) == "RobertaModel"
        ranges = [asked for file, asked in hub.fetched if file == "model.safetensors"]
        assert any(asked and not asked.startswith("bytes=0-") for asked in ranges), ranges


def test_what_a_snapshot_lacks_is_fetched(files, attempt, tmp_path):
    snapshot = tmp_path / "home" / "hub" / "models--org--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text(COMMIT)
    for name in SMALL:
        (snapshot / name).write_bytes(files[name])
    with Hub("org/name", files).running() as hub:
        assert attempt(hub, "pyroberta.from_pretrained('org/name')") == "RobertaForMaskedLM"
        assert "model.safetensors" in fetched(hub)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_mode_asks_nobody(files, attempt, variable):
    with Hub("org/name", files).running() as hub:
        got = attempt(hub, "pyroberta.from_pretrained('org/name')", **{variable: "1"})
        assert got.startswith(
            "FileNotFoundError: path must be a checkpoint's folder, not 'org/name'"
        )
        assert "offline mode forbids" in got
        assert hub.asked == []


@pytest.mark.parametrize("name", ["org/other", "other"])
def test_a_repository_that_there_is_not_is_told_by_name(files, attempt, name):
    with Hub("org/name", files).running() as hub:
        got = attempt(hub, f"pyroberta.from_pretrained({name!r})")
    assert got.startswith("FileNotFoundError: path must be a checkpoint's folder or a name of the")
    assert repr(name) in got
    assert "Traceback" not in got


class Unreachable:
    """In place of the library, which tries for 24 s to reach a Hub before it gives up."""

    def __init__(self, error):
        self.error = error

    def HfApi(self):
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError("no route\nto host"), RuntimeError("closed"), ValueError("")]
)
def test_a_hub_that_cannot_be_reached_is_told(tmp_path, monkeypatch, error):
    monkeypatch.setattr("pyroberta.opening.download.import_hub", lambda: Unreachable(error))
    with pytest.raises(
        FileNotFoundError, match=f"download failed: {type(error).__name__}: '"
    ) as got:
        download("org/name", None, tmp_path)
    assert "\n" not in str(got.value)
    assert got.value.__cause__ is error
