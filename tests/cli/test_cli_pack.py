"""``pyroberta pack``, and the other commands on what it wrote."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyroberta
from pyroberta import cli, kernels, pipeline
from pyroberta.checkpoint import PACKED_FILE
from pyroberta.compute_types import COMPUTE_TYPES
from pyroberta.shipped import SHIPPED

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.skipif(
    not kernels.has_core(), reason="only the compiled extension packs and reads packed files"
)

COMMAND = [sys.executable, "-m", "pyroberta.cli"]
TEXT = "The king lived in a large <mask>."


@pytest.fixture
def run(capsys):
    """Runs a command line here: its status, stdout and stderr."""

    def run(*argv):
        status = cli.main(list(map(str, argv)))
        return (status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The shipped checkpoint, packed in each compute type."""
    root = tmp_path_factory.mktemp("packed")
    for compute_type in COMPUTE_TYPES:
        argv = ["pack", str(SHIPPED), str(root / compute_type), "--compute-type", compute_type]
        assert cli.main(argv) == 0
    return root


@pytest.fixture
def broken(packed, tmp_path):
    """A packed folder with one bit of a weight changed."""
    folder = Path(shutil.copytree(packed / "int8", tmp_path / "broken"))
    data = bytearray((folder / PACKED_FILE).read_bytes())
    data[-1000] ^= 1
    (folder / PACKED_FILE).write_bytes(data)
    return folder


def info(run, *argv):
    status, out, err = run("info", *argv)
    assert (status, err) == (0, "")
    lines = (line.split("  ", 1) for line in out.splitlines())
    return {name.strip(): value.strip() for name, value in lines}


def error(run, *argv):
    """The one line that a command ends with."""
    status, out, err = run(*argv)
    assert (status, out, err.count("\n")) == (2, "", 1)
    return err.removeprefix("pyroberta: error: ")


def test_pack_writes_all_that_the_tasks_need_and_says_how_much(run, tmp_path):
    out = tmp_path / "new" / "packed"
    status, text, err = run("pack", SHIPPED, out, "--compute-type", "int8", "--threads", 1)
    assert (status, err) == (0, "")
    size = sum(file.stat().st_size for file in out.iterdir()) / 2**20
    assert text == f"{out}  int8, {size:.1f} MiB\n"
    small = {"config.json", "tokenizer.json", "tokenizer_config.json", "prompts.json"}
    assert {file.name for file in out.iterdir()} == {PACKED_FILE, *small}
    for name in small - {"config.json"}:
        assert (out / name).read_bytes() == (SHIPPED / name).read_bytes()
    assert run("pack", SHIPPED, tmp_path / "plain")[1].split()[1] == "float32,"


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_the_tasks_take_a_packed_folder_in_its_own_type(run, packed, compute_type, tmp_path):
    folder = packed / compute_type
    fill = pipeline("fill-mask", compute_type=compute_type)
    texts = tmp_path / "texts.txt"
    texts.write_text("hello there\n")
    vectors = pipeline("sentence-embedding", compute_type=compute_type)(["hello there"])
    for asked in ([], ["--compute-type", compute_type]):
        status, out, _ = run("fill-mask", TEXT, "--model", folder, "--output", "-", *asked)
        assert status == 0
        assert json.loads(out) == {"text": TEXT, "answers": fill(TEXT)}
        argv = ["embed", texts, "--model", folder, "--output", tmp_path / "v.npy", *asked]
        assert run(*argv) == (0, "", "")
        assert np.load(tmp_path / "v.npy").tobytes() == vectors.tobytes()
        argv = ["generate", "hello", "--model", folder, "--max-new-tokens", "3", *asked]
        assert run(*argv)[0] == 0
    assert pipeline("fill-mask", folder)(TEXT) == fill(TEXT)
    assert pipeline("feature-extraction", folder).model.compute_type == compute_type
    other = "int8" if compute_type != "int8" else "float32"
    message = f"compute_type must be {compute_type!r}, for which {folder / PACKED_FILE} was packed"
    argv = ["fill-mask", TEXT, "--model", folder, "--compute-type", other]
    assert error(run, *argv) == f"{message}, not {other!r}\n"


def test_accuracy_compares_what_a_packed_file_can_be_compared_in(run, packed, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("hello there\n")
    argv = ["accuracy", packed / "float32", "--texts", texts, "--compute-type", "float32"]
    assert run(*argv, "--against", "float32")[0] == 0
    assert error(run, *argv).startswith("backend must be 'native', compiled, for the packed file")


def test_info_says_what_a_packed_folder_is_for(run, packed):
    for compute_type in COMPUTE_TYPES:
        lines = info(run, packed / compute_type)
        plain = info(run, SHIPPED)
        for name in ("architecture", "opens as", "blocks", "words", "usable length", "parameters"):
            assert lines[name] == plain[name]
        assert lines["tokenizer"] == plain["tokenizer"]
        family = kernels.NativeKernels(compute_type).family
        assert lines["packed for"] == f"{compute_type}: {family}"
        size = (packed / compute_type / PACKED_FILE).stat().st_size
        assert lines["files"] == f"{PACKED_FILE} {size / 2**20:.1f} MiB"
        assert "prefix" not in lines
        usable, _, others = lines["usable here by"].partition("; not by ")
        chosen = f"{kernels.chosen_isa()} (in use)"
        assert chosen in usable.split(", ")
        named = [name.removesuffix(" (in use)") for name in f"{usable}, {others}".split(", ")]
        assert sorted(filter(None, named)) == sorted(kernels.available_isas())


def test_info_knows_the_kernels_that_cannot_use_it(packed):
    """In a process that is told to use others."""
    code = (
        "from pyroberta import cli, kernels; import os, sys\n"
        "os.environ['PYROBERTA_ISA'] = 'scalar'\n"
        f"sys.exit(cli.main(['info', {str(packed / 'int8')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("usable here by"))
    if kernels.NativeKernels("int8").family == "int8 in panels of 8":
        assert "scalar (in use)" in line.partition("; not by ")[0]
    else:
        assert "scalar (in use)" in line.partition("; not by ")[2]


def test_info_looks_at_the_checksum_on_request(run, packed, broken):
    assert info(run, packed / "int8")["checksum"].endswith(", not looked at without --checksum")
    assert info(run, packed / "int8", "--checksum")["checksum"].endswith(", which the file has")
    assert info(run, broken)["checksum"].endswith(", not looked at without --checksum")
    message = error(run, "info", broken, "--checksum")
    assert message.startswith(f"{broken / PACKED_FILE} must have the checksum ")
    message = "--checksum must be asked of a packed folder, not of "
    assert error(run, "info", SHIPPED, "--checksum") == f"{message}{str(SHIPPED)!r}\n"
    assert error(run, "info", "--checksum").startswith(message)


def test_info_of_a_packed_decoder_names_only_what_it_opens_as(run, tmp_path):
    config = pyroberta.RobertaConfig(
        vocab_size=50, hidden_size=8, num_blocks=1, num_attention_heads=2, use_cross_attention=True
    )
    model = pyroberta.RobertaForCausalLM.from_config(config, seed=0)
    model.save_pretrained(tmp_path / "a")
    model.save_packed(tmp_path / "b")
    plain, packed = info(run, tmp_path / "a"), info(run, tmp_path / "b")
    assert packed["opens as"] == "RobertaForCausalLM"
    assert packed["opens as"] in plain["opens as"]
    assert packed["parameters"] == plain["parameters"]


def test_pack_can_leave_the_head_out(run, tmp_path):
    assert run("pack", SHIPPED, tmp_path / "a", "--architecture", "base")[0] == 0
    lines = info(run, tmp_path / "a")
    assert (lines["architecture"], lines["opens as"]) == ("RobertaModel", "RobertaModel")


@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_a_sentence_transformers_folder_is_packed_whole(run, tmp_path, inside):
    folder = tmp_path / "sentences"
    shutil.copytree(SHIPPED, folder / inside, ignore=shutil.ignore_patterns("make", "__*"))
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": inside},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (folder / ".git").mkdir()
    (folder / ".git" / "a.json").write_text("{}")
    out = tmp_path / "packed"
    assert run("pack", folder, out, "--compute-type", "bfloat16")[0] == 0
    assert (out / inside / PACKED_FILE).is_file()
    assert not (out / ".git").exists()
    wanted = pipeline("sentence-embedding", folder, compute_type="bfloat16")(["hello there"])
    assert pipeline("sentence-embedding", out)(["hello there"]).tobytes() == wanted.tobytes()
    assert info(run, out)["sentences"] == "cls pooling, not normalised"


def test_other_folders_and_weights_stay_behind(run, tmp_path):
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "a", ignore=shutil.ignore_patterns("make")))
    (folder / "checkpoint-500").mkdir()
    (folder / "checkpoint-500" / "config.json").write_text("{}")
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    # Into a folder of its own, whose files are not packed in turn.
    assert run("pack", folder, folder / "packed")[0] == 0
    found = {str(path.relative_to(folder / "packed")) for path in (folder / "packed").rglob("*")}
    assert found == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "prompts.json", PACKED_FILE
    }  # fmt: skip


def test_what_cannot_be_packed_is_refused_before_anything_is_written(run, packed, tmp_path):
    out = tmp_path / "out"
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "encoder-decoder"}')
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "a").write_text("")
    for argv, message in (
        ([packed / "int8", out], "MODEL must be a checkpoint's folder, not a packed one: "),
        ([folder, out], "MODEL must be of one model, not of an encoder and a decoder: "),
        ([tmp_path / "none", out], "path must be a checkpoint's folder, not "),
        ([SHIPPED, taken], f"OUT must be a new or empty folder, not {str(taken)!r}\n"),
        ([SHIPPED, taken / "a"], "OUT must be a new or empty folder, not "),
        ([SHIPPED, out, "--compute-type", "int3"], "compute_type must be 'float32' or "),
        ([SHIPPED, out, "--compute-type", "float64"], "compute_type must be 'float32' or "),
        ([SHIPPED, out, "--architecture", "x"], "architecture must be one of base, "),
        (
            [SHIPPED, out, "--architecture", "for_question_answering"],
            "checkpoint must hold exactly",
        ),
    ):
        assert error(run, "pack", *argv).startswith(message)
        assert not out.exists()
    assert [file.name for file in taken.iterdir()] == ["a"]


@pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
@pytest.mark.parametrize("limit", [100_000, 4_500_000], ids=["weights", "copies"])
def test_a_full_disk_leaves_the_folder_as_it_was(there, limit, tmp_path):
    resource = pytest.importorskip("resource")
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "a", ignore=shutil.ignore_patterns("make")))
    (folder / "words.txt").write_bytes(b"x" * 5_000_000)
    out = tmp_path / "out"
    if there:
        out.mkdir()
    done = subprocess.run(
        [*COMMAND, "pack", str(folder), str(out), "--compute-type", "int8"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "File too large" in done.stderr
    assert out.exists() is there
    assert not there or list(out.iterdir()) == []


@pytest.mark.parametrize("embedding_type", ["float16", "int8"])
def test_the_word_table_is_packed_in_fewer_bits(embedding_type, run, tmp_path):
    sizes = {}
    for name, options in (("whole", []), ("narrow", ["--embedding-type", embedding_type])):
        out = tmp_path / name
        argv = ["pack", SHIPPED, out, "--compute-type", "int8", "--architecture", "base", *options]
        assert run(*argv)[0] == 0
        sizes[name] = (out / PACKED_FILE).stat().st_size
    if embedding_type == "int8":  # of float16, as the shipped file has it
        assert sizes["narrow"] < sizes["whole"] - 4800 * 128 * 0.9
    status, out, _ = run("info", tmp_path / "narrow")
    assert (status, bool(re.search(f"word table +{embedding_type}", out))) == (0, True)
    assert "word table" not in run("info", tmp_path / "whole")[1]
    texts = tmp_path / "texts.txt"
    texts.write_text("A dog runs.\n")
    vectors = {}
    for name, options in (
        ("whole", ["--model", tmp_path / "whole"]),
        ("narrow", ["--model", tmp_path / "narrow"]),
        ("shipped", ["--embedding-type", embedding_type, "--compute-type", "int8"]),
    ):
        file = tmp_path / f"{name}.npy"
        assert run("embed", texts, "--output", file, *options)[0] == 0
        vectors[name] = np.load(file)[0]
    assert vectors["whole"] @ vectors["narrow"] > 0.999
    np.testing.assert_array_equal(vectors["narrow"], vectors["shipped"])
    status, _, error = run("pack", SHIPPED, tmp_path / "x", "--embedding-type", "int4")
    assert (status, "embedding_type must be 'float16' or 'int8'" in error) == (2, True)
