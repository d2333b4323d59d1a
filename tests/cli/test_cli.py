"""The command line: what it prints and writes, its exit statuses, its one-line errors."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support import needs_core

import pyroberta
from pyroberta import cli, pipeline
from pyroberta.shipped import SHIPPED

pytest.importorskip("tokenizers")

COMMAND = [sys.executable, "-m", "pyroberta.cli"]
TEXTS = ["hello there", "", "The king lived in a large house.", "café 東京"]


@pytest.fixture
def run(capsys):
    """Runs a command line here: its status, stdout and stderr."""

    def run(*argv):
        status = cli.main(list(map(str, argv)))
        return (status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def vectors():
    return pipeline("sentence-embedding")(TEXTS)


def texts_file(folder, texts=TEXTS):
    file = folder / "texts.txt"
    file.write_text("\n".join(texts) + "\n", "utf-8")
    return file


def test_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"pyroberta {pyroberta.__version__}\n"


def test_help_names_the_commands_and_imports_no_text():
    code = (
        "import sys; from pyroberta import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'tokenizers', 'pyroberta.text', 'pyroberta.accuracy', 'tqdm'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("fill-mask", "embed", "generate", "accuracy", "info", "config"):
        assert command in done.stdout
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("argv", [[], ["nothing"], ["fill-mask"], ["embed"], ["info", "--what"]])
def test_a_wrong_command_line_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(argv)
    assert exit.value.code == 2
    assert "usage: pyroberta" in capsys.readouterr().err


def test_config_shows_what_runs_here(run):
    status, out, _ = run("config")
    assert status == 0
    assert f"pyroberta      {pyroberta.__version__}" in out


def test_fill_mask_prints_an_aligned_table(run):
    text = "The king lived in a large <mask>."
    status, out, err = run("fill-mask", text, "--top-k", 3)
    assert (status, err) == (0, "")
    header, *lines = out.splitlines()
    assert header.split() == ["score", "word", "sequence"]
    for line, answer in zip(lines, pipeline("fill-mask")(text, top_k=3), strict=True):
        assert line.startswith(f"{answer['score']:.4f}  {answer['token_str'].strip()} ")
        assert line.index(answer["sequence"]) == header.index("sequence")


def test_fill_mask_numbers_the_masks_and_names_the_texts(run):
    status, out, _ = run("fill-mask", "a <mask> of <mask>", "b <mask>", "--top-k", 1)
    assert status == 0
    assert [line for line in out.splitlines() if line in ("mask 1", "mask 2")] == [
        "mask 1",
        "mask 2",
    ]
    assert "a <mask> of <mask>\n" in out
    assert "\nb <mask>\n" in out


def test_fill_mask_writes_json_lines(run, tmp_path):
    texts = ["a <mask>", "b <mask> c <mask>"]
    wanted = [
        {"text": text, "answers": answer}
        for text, answer in zip(texts, pipeline("fill-mask")(texts), strict=True)
    ]
    status, out, _ = run("fill-mask", *texts, "--output", "-")
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == wanted
    file = tmp_path / "answers.jsonl"
    assert run("fill-mask", *texts, "--output", file) == (0, "", "")
    assert file.read_text("utf-8") == out


def test_what_could_change_the_terminal_is_escaped(run):
    status, out, _ = run("fill-mask", "a \x1b[31m\r<mask>", "b <mask>")
    assert status == 0
    assert "a \\x1b[31m\\r<mask>" in out
    assert "\x1b" not in out


def test_embed_writes_an_array(run, tmp_path, vectors):
    file = tmp_path / "vectors.npy"
    assert run("embed", texts_file(tmp_path), "--output", file) == (0, "", "")
    array = np.load(file)
    assert array.dtype == np.float32
    assert array.tobytes() == vectors.tobytes()


@needs_core
@pytest.mark.parametrize("output", ["-", "vectors.jsonl"])
def test_embed_writes_json_lines_that_give_the_float32_back(run, tmp_path, vectors, output):
    file = tmp_path / output if output != "-" else "-"
    status, out, _ = run("embed", texts_file(tmp_path), "--output", file, "--batch-tokens", 9)
    assert status == 0
    if output != "-":
        assert out == ""
        out = file.read_text("utf-8")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in lines] == TEXTS
    got = np.array([line["embedding"] for line in lines], np.float32)
    assert got.tobytes() == vectors.tobytes()


@pytest.mark.parametrize(("name", "flags"), [("texts.jsonl", []), ("texts", ["--jsonl"])])
def test_embed_reads_json_lines(run, tmp_path, vectors, name, flags):
    file = tmp_path / name
    lines = [json.dumps({"text": text, "id": i}) for i, text in enumerate(TEXTS)]
    file.write_text("\n\n".join(lines), "utf-8")
    assert run("embed", file, *flags, "--output", tmp_path / "v.npy")[0] == 0
    assert np.load(tmp_path / "v.npy").tobytes() == vectors.tobytes()


def test_embed_of_an_empty_file_has_no_rows(run, tmp_path):
    file = texts_file(tmp_path)
    file.write_bytes(b"")
    assert run("embed", file, "--output", tmp_path / "v.npy")[0] == 0
    assert np.load(tmp_path / "v.npy").shape == (0, 128)
    assert run("embed", file) == (0, "", "")


@needs_core
def test_embed_reads_stdin_as_utf_8_and_drops_a_byte_order_mark(vectors):
    done = subprocess.run(
        [*COMMAND, "embed", "-", "--threads", "1"],
        input=b"\xef\xbb\xbf" + "\r\n".join(TEXTS).encode(),
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert done.stderr == b""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines] == TEXTS
    got = np.array([line["embedding"] for line in lines], np.float32)
    assert got.tobytes() == vectors.tobytes()


@needs_core
@pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent in another way on Windows")
def test_an_interrupt_ends_with_130_and_no_traceback(tmp_path):
    output = tmp_path / "vectors.jsonl"
    with subprocess.Popen(
        [*COMMAND, "embed", "-", "--threads", "1", "--batch-tokens", "8", "--output", str(output)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background job would ignore the signal, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        # More than is held before the first vectors are written; then it waits for more texts.
        process.stdin.write(b"some words\n" * 2000)
        process.stdin.flush()
        end = time.monotonic() + 20
        while not (output.exists() and output.stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == b""
    assert output.read_bytes().startswith(b'{"text": "some words"')


@needs_core
@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error on Windows")
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path):
    file = texts_file(tmp_path, ["some words"] * 500)
    with subprocess.Popen(
        [*COMMAND, "embed", str(file), "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        process.wait(30)
    assert process.returncode == 141
    assert err == b""


def test_a_progress_bar_is_drawn_for_a_terminal_alone(monkeypatch, tmp_path):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(["embed", str(texts_file(tmp_path)), "--output", "-"]) == 0
    assert "4/4" in terminal.getvalue()


def test_info_says_what_is_in_the_folder(run):
    status, out, _ = run("info")
    assert status == 0
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    lines = {name.strip(): value.strip() for name, value in lines.items()}
    assert lines["folder"] == str(SHIPPED)
    assert lines["architecture"] == "RobertaForMaskedLM"
    assert lines["opens as"].split(", ")[:2] == ["RobertaModel", "RobertaForMaskedLM"]
    assert lines["usable length"].startswith("128 tokens")
    assert lines["tokenizer"] == "tokenizer.json: BPE, mask token <mask>"
    assert lines["prefix"] == "'roberta.'"
    assert lines["dtypes"].startswith("F16")
    assert run("info", SHIPPED) == (0, out, "")


def test_info_counts_the_parameters(run, tmp_path):
    config = pyroberta.RobertaConfig(
        vocab_size=50, hidden_size=8, num_blocks=1, num_attention_heads=2, intermediate_size=16
    )
    pyroberta.RobertaForTokenClassification.from_config(config, seed=0).save_pretrained(tmp_path)
    _, out, _ = run("info", tmp_path)
    embeddings = (50 + 512 + 2 + 2) * 8
    block = 4 * (8 * 8 + 8) + 2 * 8 * 16 + 16 + 8 + 2 * 2 * 8
    assert f"parameters     {embeddings + block + 2 * 8 + 2:,}\n" in out
    assert "opens as       RobertaModel, RobertaForTokenClassification\n" in out
    assert "tokenizer      none: " in out


def test_info_knows_a_sentence_transformers_folder(run, tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "0", ignore=shutil.ignore_patterns("make", "__*"))
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": "0"},
        {"type": "sentence_transformers.models.Pooling", "path": "1"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert "sentences      cls pooling, not normalised\n" in run("info", tmp_path)[1]
    (tmp_path / "1" / "config.json").write_text('{"pooling_mode": "median"}')
    assert "sentences      not computed: " in run("info", tmp_path)[1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fill-mask", "no"], "texts[0] must hold the mask token '<mask>', not 'no'"),
        (["fill-mask", "a [MASK]"], "must hold the mask token '<mask>', not 'a [MASK]'"),
        (["fill-mask", "a <mask>", "--top-k", "0"], "top_k must be a whole number of at least 1"),
        (["fill-mask", "a <mask>", "--threads", "0"], "--threads must be a whole number of at"),
        (["fill-mask", "a <mask>", "--batch-tokens", "0"], "batch_tokens must be a whole number"),
        (["fill-mask", "a <mask>", "--compute-type", "int3"], "compute_type must be"),
        (
            ["fill-mask", "a <mask>", "--model", "none"],
            "model must be a checkpoint's folder, not 'none'",
        ),
        (["fill-mask", "a <mask>", "--output", "a.txt"], "--output must be - or end in .jsonl"),
        (["embed", "none.txt"], "FILE must be a file or -, not 'none.txt'"),
        (["embed", "."], "Is a directory"),
        (["embed", "t.txt", "--output", "a.csv"], "must be - or end in .npy or .jsonl, not 'a.csv"),
        (["embed", "t.txt", "--output", "no/a.npy"], "--output must be in a folder that exists"),
        (["embed", "t.jsonl", "--output", "t.jsonl"], "--output must be another file than FILE"),
        (["embed", "t2.jsonl"], "t2.jsonl, line 1, must have the keys text"),
        (["embed", "bad.jsonl"], "bad.jsonl, line 1, must be JSON, not what it holds"),
        (["embed", "latin.txt"], "latin.txt must be text in UTF-8"),
        (["embed", "surrogate.jsonl"], "surrogate.jsonl, line 1, must be text that UTF-8 can hold"),
        (["info", "none"], "path must be a checkpoint's folder, not 'none'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_of_the_user_is_one_line_and_exits_with_2(
    run, tmp_path, monkeypatch, argv, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("a\n")
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    (tmp_path / "t2.jsonl").write_text('{"txt": "b"}\n')
    (tmp_path / "bad.jsonl").write_text("{\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "surrogate.jsonl").write_text('{"text": "\\ud800"}\n')
    status, out, err = run(*argv)
    assert status == 2
    assert out == ""
    assert err.startswith("pyroberta: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert (tmp_path / "t.jsonl").read_text() == '{"text": "a"}\n{"txt": "b"}\n'


def test_a_missing_library_is_told_with_its_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    status, _, err = run("fill-mask", "a <mask>")
    assert status == 2
    assert 'pip install "pyroberta[text]"' in err
    assert "tokenizer      none: " in run("info")[1]


def test_a_fault_of_the_package_itself_is_not_hidden(monkeypatch):
    def broken():
        raise ValueError("not an error of the user's")

    monkeypatch.setattr("pyroberta.kernels.show_config", broken)
    with pytest.raises(ValueError, match="not an error of the user's"):
        cli.main(["config"])


def test_help_comes_at_once():
    begin = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], check=True, capture_output=True)
    # 0.2 s on an idle machine; the libraries for text alone would be as much again.
    assert time.perf_counter() - begin < 5
