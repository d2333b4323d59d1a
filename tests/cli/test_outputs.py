"""The files that commands write: an old one stays until the new one is whole."""

import json
import os

import numpy as np
import pytest

from pyroberta import InputError, cli
from pyroberta.cli import files
from pyroberta.shipped import SHIPPED

pytest.importorskip("tokenizers")

BROKEN = '{"text": "a"}\n{"text": "b"}\nno json\n'
TEXT = "The <mask> sat."


def commands(texts):
    """For each command that writes a file, its line without ``--output``, and the file's end."""
    return {
        "embed, JSON lines": (["embed", texts], ".jsonl"),
        "embed, NumPy": (["embed", texts], ".npy"),
        "fill-mask": (["fill-mask", TEXT], ".jsonl"),
        "accuracy": (["accuracy", SHIPPED, "--texts", texts, "--compute-type", "int8"], ".json"),
    }


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"text": "hello"}) + "\n")
    return file


@pytest.fixture
def full_disk(monkeypatch):
    """Whatever is brought to the disk at the end finds no room."""

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("name", commands("").keys())
def test_a_full_disk_leaves_the_old_file(name, texts, tmp_path, full_disk, capsys):
    argv, end = commands(texts)[name]
    output = tmp_path / f"old{end}"
    output.write_text("old")
    before = sorted(tmp_path.iterdir())
    assert cli.main([*map(str, argv), "--output", str(output)]) != 0
    assert f"No space left on device: '{output}'" in capsys.readouterr().err
    assert output.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("end", [".jsonl", ".npy"])
def test_a_bad_last_line_leaves_the_old_file(end, texts, tmp_path, capsys):
    texts.write_text(BROKEN)
    output = tmp_path / f"old{end}"
    output.write_text("old")
    assert cli.main(["embed", str(texts), "--output", str(output)]) != 0
    assert "line 3" in capsys.readouterr().err
    assert output.read_text() == "old"


@pytest.mark.parametrize("name", commands("").keys())
def test_a_new_file_takes_the_old_one_s_place_and_mode(name, texts, tmp_path, capsys):
    argv, end = commands(texts)[name]
    output, link = tmp_path / f"old{end}", tmp_path / f"link{end}"
    output.write_text("old" * 10000)
    output.chmod(0o640)
    link.symlink_to(output)
    assert cli.main([*map(str, argv), "--output", str(link)]) == 0
    assert link.is_symlink()
    assert output.stat().st_mode & 0o777 == 0o640
    if end == ".npy":
        assert np.load(output).shape[0] == 1
    else:
        text = output.read_text()
        json.loads(text if end == ".json" else text.splitlines()[0])


def test_a_new_file_grows_as_it_is_written(tmp_path):
    file = tmp_path / "new.jsonl"

    def break_off(text):
        with files.open_output(str(file)) as out:
            out.write(text)
            raise InputError("a bad line")

    for text in ("first\n", "second\n"):
        with pytest.raises(InputError, match="a bad line"):
            break_off(text)
        assert file.read_text() == "first\n"
        assert sorted(tmp_path.iterdir()) == [file]


def test_what_is_no_regular_file_is_written_to(capsys):
    with files.open_output("/dev/null") as out:
        out.write("gone")
    assert os.path.exists("/dev/null")
    assert not os.path.isfile("/dev/null")
