"""Rows of Parquet files: parts, going on, values of other types, and errors."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path

import pytest

from pyroberta.cli.command import main

pytest.importorskip("tokenizers")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TEXTS = [f"The king lived {i} " + "in a house " * (i % 5) for i in range(50)]


@pytest.fixture
def file(tmp_path):
    pq.write_table(
        pa.table({"id": range(50), "text": TEXTS}), tmp_path / "t.parquet", row_group_size=7
    )
    return str(tmp_path / "t.parquet")


def embed(file, tmp_path, *arguments):
    out = tmp_path / "out.jsonl"
    assert main(["embed", file, "--output", str(out), *arguments]) == 0
    return out.read_text()


@pytest.mark.parametrize("parts", [1, 2, 3, 9, 60])
def test_parts_joined_are_the_whole(file, tmp_path, parts):
    whole = embed(file, tmp_path)
    assert [json.loads(line)["id"] for line in whole.splitlines()] == list(range(50))
    joined = [embed(file, tmp_path, "--shard", f"{i + 1}/{parts}") for i in range(parts)]
    assert "".join(joined) == whole


@pytest.mark.parametrize("kept", [0, 1, 7, 13, 50])
def test_a_run_goes_on(file, tmp_path, kept):
    whole = embed(file, tmp_path)
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out.jsonl").write_text("".join(lines[:kept]) + lines[0][:9])
    assert embed(file, tmp_path, "--resume") == whole


def test_values_of_other_types_are_kept_as_they_are_written(tmp_path):
    values = {
        "text": ["a"],
        "when": [datetime.datetime(2026, 1, 2, 3, 4)],
        "cost": [decimal.Decimal("1.50")],
        "tags": [["x", "y"]],
        "none": pa.array([None], pa.int64()),
    }
    pq.write_table(pa.table(values), tmp_path / "t.parquet")
    row = json.loads(embed(str(tmp_path / "t.parquet"), tmp_path))
    assert row["when"] == "2026-01-02 03:04:00"
    assert row["cost"] == "1.50"
    assert (row["tags"], row["none"]) == (["x", "y"], None)


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def flip(path):
    data = bytearray(path.read_bytes())
    for i in range(4, 200):
        data[i] ^= 0x5A
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [cut, flip, lambda path: path.write_bytes(b"text\na\n")])
def test_a_harmed_file_is_refused_by_name(file, tmp_path, harm, capsys):
    harm(Path(file))
    assert main(["embed", file, "--output", "-"]) == 2
    assert f"{file} must be Parquet, not what it holds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "arguments", "said"),
    [
        ({"body": ["a"]}, [], "must have a column 'text', not only ['body']"),
        ({"text": ["a", None, "b"]}, [], "t.parquet, row 2, must be a str, not NoneType"),
        ({"text": [1, 2]}, [], "t.parquet, row 1, must be a str, not int"),
    ],
)
def test_rows_that_do_not_fit_are_told_by_number(table, arguments, said, tmp_path, capsys):
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    assert main(["embed", str(tmp_path / "t.parquet"), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_stdin_and_a_file_that_is_not_there_are_refused(tmp_path, capsys):
    assert main(["embed", "-", "--format", "parquet"]) == 2
    assert "FILE must be a file for Parquet" in capsys.readouterr().err
    assert main(["embed", str(tmp_path / "no.parquet")]) == 2
    assert "FILE must be a file or -" in capsys.readouterr().err


def test_a_run_goes_on_without_the_row_groups_that_are_done(file, tmp_path, monkeypatch):
    whole = embed(file, tmp_path)
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out.jsonl").write_text("".join(lines[:30]))
    read, iterate = [], pq.ParquetFile.iter_batches

    def watched(self, *args, row_groups, **kwargs):
        read.extend(row_groups)
        return iterate(self, *args, row_groups=row_groups, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    assert embed(file, tmp_path, "--resume") == whole
    assert read == [4, 5, 6, 7]  # of 7 rows each
