"""``pyroberta accuracy``: what it prints, writes and draws, and its exit statuses."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys

import pytest
from accuracy.cases import TEXTS, pair_lines, write
from support import needs_core

from pyroberta import cli
from pyroberta.accuracy import compare
from pyroberta.shipped import SHIPPED

pytest.importorskip("tokenizers")


def test_the_command_prints_a_table_of_what_compare_gives(run_accuracy, tmp_path, rough):
    file = write(tmp_path / "texts.txt", TEXTS)
    status, out, err = run_accuracy("--texts", file)
    assert (status, err) == (0, "")
    report = compare(None, TEXTS)
    assert out == str(report) + "\n"
    lines = out.splitlines()
    assert lines[0] == f"model    {SHIPPED} (RobertaForMaskedLM)"
    assert lines[1] == f"texts    4 ({report.tokens} tokens)"
    assert lines[2] == "against  float64"
    first, second = report.types
    for one in (first, second):
        at = next(
            n for n, line in enumerate(lines) if line.split()[:2] == [one.compute_type, "max"]
        )
        for n, d in enumerate(one.differences, 1):
            shown = [d.name, f"{d.max_error:.2e}", f"{d.mean_error:.2e}"]
            assert " ".join(lines[at + n].split()).startswith(" ".join(shown))
    assert lines[-1].split()[:2] == ["rough", f"{second.worst_error.max_error:.2e}"]
    assert lines[-1].endswith(f"{100 * second.agreement:.3f} %")
    assert len({len(line) for line in lines[-3:]}) == 1


def test_the_command_writes_json(run_accuracy, tmp_path, rough):
    file = write(tmp_path / "pairs.jsonl", pair_lines())
    status, out, _ = run_accuracy(
        SHIPPED, "--texts", file, "--output", "-", "--architecture", "base"
    )
    assert status == 0
    report = compare(SHIPPED, pair_lines(), architecture="base")
    assert json.loads(out) == report.to_dict()
    target = tmp_path / "report.json"
    status, table, _ = run_accuracy(
        SHIPPED, "--texts", file, "--output", target, "--architecture", "base", "--batch-tokens", 99
    )
    assert status == 0
    assert "spearman" in table
    written = json.loads(target.read_text("utf-8"))
    assert set(written) == {
        "model", "model_class", "against", "embedding_type", "kernels", "version", "texts",
        "tokens", "score_name", "score", "types", "broken",
    }  # fmt: skip
    assert [one["compute_type"] for one in written["types"]] == ["float32", "rough"]
    assert written["types"][0]["hidden_states"][6]["name"] == "block 5"
    assert written["types"][0]["logits"] is None
    assert written["broken"] == []


@pytest.mark.parametrize(
    ("thresholds", "status", "told"),
    [
        ([], 0, []),
        (["--max-error", 1e-4, "--min-cosine", 0.999, "--min-agreement", 1], 0, []),
        (["--max-score-drop", 0], 0, []),
        (["--max-error", 1e-9], 1, ["error of float32 must be at most 1e-09 (max_error), not "]),
        (["--min-cosine", 1], 1, ["mean cosine of float32 must be at least 1.0 (min_cosine), not"]),
        (["--max-error", 0, "--min-cosine", 1], 1, ["error of float32", "mean cosine of float32"]),
    ],
)
def test_thresholds_decide_the_status(run_accuracy, tmp_path, thresholds, status, told):
    file = write(tmp_path / "t.jsonl", [{"text": "He wrote a long <mask>.", "label": "letter"}])
    output = tmp_path / "report.json"
    command = ["--texts", file, "--compute-type", "float32", "--output", output, *thresholds]
    got, out, err = run_accuracy(*command)
    assert got == status
    lines = err.splitlines()
    assert len(lines) == len(told)
    for line, start in zip(lines, told, strict=True):
        assert line.startswith(f"pyroberta: failed: {start}")
    assert "all in all" in out
    assert json.loads(output.read_text())["broken"] == [
        line.removeprefix("pyroberta: failed: ") for line in lines
    ]


def test_each_type_that_breaks_a_threshold_is_named(run_accuracy, tmp_path, rough):
    file = write(tmp_path / "t.txt", TEXTS)
    status, _, err = run_accuracy(
        "--texts", file, "--min-agreement", 1, "--compute-type", "rough,float32"
    )
    assert status == 1
    assert err.startswith("pyroberta: failed: agreement of rough must be at least 1.0 (min_agree")
    assert err.count("\n") == 1


def test_a_drop_of_the_score_breaks_its_threshold(run_accuracy, tmp_path, rough):
    prompts = json.loads((SHIPPED / "prompts.json").read_text())
    lines = [{"text": one["text"], "label": one["expected"]} for one in prompts]
    file = write(tmp_path / "t.jsonl", lines)
    change = compare(None, lines).types[1].score_change
    assert change < 0
    assert run_accuracy("--texts", file, "--max-score-drop", -change)[0] == 0
    status, _, err = run_accuracy("--texts", file, "--max-score-drop", -change / 2)
    assert status == 1
    assert f"drop of accuracy of rough must be at most {-change / 2!r} (max_score_drop)" in err


def test_labels_stand_in_a_file_of_their_own(run_accuracy, tmp_path, make_model):
    folder = make_model("RobertaForSequenceClassification")
    texts = write(tmp_path / "t.txt", TEXTS)
    labels = write(tmp_path / "l.txt", ["good", "1", " bad ", "so so"])
    command = [folder, "--texts", texts, "--labels", labels, "--output", "-"]
    gold = [2, 1, 0, 1]
    wanted = compare(folder, [{"text": t, "label": n} for t, n in zip(TEXTS, gold, strict=True)])
    assert json.loads(run_accuracy(*command)[1]) == wanted.to_dict()
    status, out, _ = run_accuracy(*command, "--limit", 2)
    assert (status, json.loads(out)["texts"]) == (0, 2)


@needs_core
def test_stdin_and_jsonl_by_option():
    lines = "\n\n".join(json.dumps({"text": text}) for text in TEXTS)
    done = subprocess.run(
        [sys.executable, "-m", "pyroberta.cli", "accuracy", "--texts", "-", "--jsonl",
         "--compute-type", "float32", "--threads", "1", "--output", "-"],
        input=lines, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert json.loads(done.stdout)["texts"] == 4


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_plot_is_drawn(run_accuracy, tmp_path, rough, ending):
    pytest.importorskip("matplotlib")
    file = write(tmp_path / "t.txt", TEXTS[:1])
    plot = tmp_path / f"plot.{ending}"
    assert run_accuracy("--texts", file, "--against", "float32", "--plot", plot)[0] == 0
    start = plot.read_bytes()[:300]
    assert start.startswith(b"\x89PNG") if ending == "png" else b"<svg" in start
    # One that has nothing but zeros to show.
    same = ["--compute-type", "float32", "--against", "float32"]
    assert run_accuracy("--texts", file, *same, "--plot", plot)[0] == 0


def test_a_progress_bar_counts_the_texts_for_a_terminal(monkeypatch, tmp_path, capsys):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    file = write(tmp_path / "pairs.jsonl", pair_lines())
    assert cli.main(["accuracy", "--texts", str(file), "--compute-type", "float32"]) == 0
    assert "10/10" in terminal.getvalue()
    assert "all in all" in capsys.readouterr().out


def test_what_could_change_the_terminal_is_escaped(run_accuracy, tmp_path):
    folder = tmp_path / "\x1b[31m"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("make", "__*"))
    file = write(tmp_path / "t.txt", TEXTS[:1])
    _, out, _ = run_accuracy(folder, "--texts", file, "--compute-type", "float32")
    assert "\\x1b[31m" in out
    assert "\x1b" not in out
