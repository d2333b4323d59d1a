"""The tasks that write texts, and the command that does."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

pytest.importorskip("tokenizers", reason="texts need the extra pyroberta[text]")

from generation.tiny import CONFIG

import pyroberta
from pyroberta import (
    ConfigError,
    InputError,
    RobertaConfig,
    RobertaEncoderDecoder,
    RobertaForCausalLM,
    RobertaModel,
    cli,
    pipeline,
)
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer

TEXTS = ["The king lived in a large", "A dog", "Once upon a time there"]
STREAMS = [
    {},
    {"strategy": "sampling", "seed": 4, "temperature": 1.2},
    {"strategy": "contrastive", "top_k": 3},
]


def save(folder, model):
    model.save_pretrained(folder)
    for file in SHIPPED.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


def make_config(**changes):
    vocab = RobertaConfig.from_pretrained(SHIPPED).vocab_size
    return RobertaConfig(**CONFIG | {"vocab_size": vocab, "max_positions": 66} | changes)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """The folder of a random causal model with a real tokenizer."""
    model = RobertaForCausalLM.from_config(make_config(), seed=1)
    return save(tmp_path_factory.mktemp("causal"), model)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The folder of a random encoder-decoder with a real tokenizer."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("both")
    cross = make_config(use_cross_attention=True)
    RobertaModel.from_config(make_config(), seed=1).save_pretrained(folder / "encoder")
    save(folder, RobertaForCausalLM.from_config(cross, seed=2))
    tensors = {f"decoder.{n}": a for n, a in load_file(folder / "model.safetensors").items()}
    encoder = load_file(folder / "encoder" / "model.safetensors")
    tensors |= {f"encoder.{n}": a for n, a in encoder.items()}
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "encoder-decoder",
        "encoder": json.loads((folder / "encoder" / "config.json").read_text()),
        "decoder": json.loads((folder / "config.json").read_text()),
        "decoder_start_token_id": 0,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def run(capsys, *argv):
    status = cli.main([str(arg) for arg in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_text_goes_on_from_its_last_word(causal):
    write = pipeline("text-generation", causal, max_new_tokens=6)
    (answer,) = write(TEXTS[0])
    ids = write.tokenizer.encode([TEXTS[0]])[0]
    assert ids[-1] == 2
    result = write.model.generate([ids[:-1]], max_new_tokens=6)[0]
    whole = write.tokenizer.decode(result.tolist(), skip_special_tokens=True)
    assert answer["generated_text"].startswith(TEXTS[0])
    assert answer["generated_text"] == whole
    (rest,) = write(TEXTS[0], return_full_text=False)
    assert TEXTS[0] + rest["generated_text"] == whole
    assert rest["generated_text"]


@pytest.mark.parametrize("options", [*STREAMS, {"strategy": "beam"}])
def test_a_list_gives_a_list_in_its_order_whatever_the_batches(causal, options):
    write = pipeline("text-generation", causal, max_new_tokens=6, **options)
    answers = write(TEXTS)
    assert [len(one) for one in answers] == [1, 1, 1]
    one_by_one = pipeline("text-generation", causal, max_new_tokens=6, batch_tokens=1, **options)
    assert one_by_one(TEXTS) == answers
    assert write(TEXTS[:1]) == answers[:1]
    assert write(TEXTS[0]) == answers[0]
    assert write([]) == []


@pytest.mark.parametrize("options", STREAMS)
def test_the_pieces_of_a_stream_are_the_text_of_a_call(causal, both, options):
    for task, folder in (("text-generation", causal), ("text2text-generation", both)):
        write = pipeline(task, folder, max_new_tokens=12)
        pieces = list(write.stream(TEXTS[0], **options))
        assert len(pieces) > 3
        extra = {"return_full_text": False} if folder is causal else {}
        (answer,) = write(TEXTS[0], **extra, **options)
        assert "".join(pieces) == answer["generated_text"]


def test_a_character_of_several_tokens_comes_whole(causal):
    write = pipeline("text-generation", causal)
    end = write.tokenizer.encode([" \N{GRINNING FACE} ok"], add_special_tokens=False)[0]
    assert len(end) > 4
    prompt = len(write.tokenizer.encode(["A dog"])[0]) - 1

    def follow(rows, logits):
        new = np.full_like(logits, -np.inf)
        for i, row in enumerate(rows):
            new[i, end[len(row) - prompt]] = 0
        return new

    pieces = list(write.stream("A dog", max_new_tokens=len(end), logits_processors=[follow]))
    assert "".join(pieces) == " \N{GRINNING FACE} ok"
    assert not any("\ufffd" in piece for piece in pieces)
    assert 1 < len(pieces) < len(end)


def test_a_text_is_written_for_each_text(both):
    write = pipeline("text2text-generation", both, max_new_tokens=6)
    answers = write(TEXTS)
    ids = write.tokenizer.encode(TEXTS)
    for row, answer in zip(ids, answers, strict=True):
        result = write.model.generate([row], max_new_tokens=6)[0, 1:]
        wanted = write.tokenizer.decode(result.tolist(), skip_special_tokens=True)
        assert answer == {"generated_text": wanted}
    assert write(TEXTS[1]) == answers[1:2]


def test_loaded_models_take_their_tokenizer(causal, both):
    model = RobertaForCausalLM.from_pretrained(causal)
    words = Tokenizer.from_pretrained(causal, config=model.config)
    write = pipeline("text-generation", model, tokenizer=words, max_new_tokens=4)
    assert write(TEXTS) == pipeline("text-generation", causal, max_new_tokens=4)(TEXTS)
    model = RobertaEncoderDecoder.from_pretrained(both)
    write = pipeline("text2text-generation", model, tokenizer=words, max_new_tokens=4)
    assert write(TEXTS) == pipeline("text2text-generation", both, max_new_tokens=4)(TEXTS)


def test_what_does_not_fit_is_refused(causal, both):
    with pytest.raises(ConfigError, match="model must be given for text2text-generation"):
        pipeline("text2text-generation")
    with pytest.raises(ConfigError, match="model_type must be 'encoder-decoder', not 'roberta'"):
        pipeline("text2text-generation", causal)
    with pytest.raises(ConfigError, match=r"model_type must be one of .* RobertaEncoderDecoder"):
        pipeline("text-generation", both)
    with pytest.raises(ConfigError, match="must be a RobertaForCausalLM for text-generation, not"):
        pipeline("text-generation", RobertaEncoderDecoder.from_pretrained(both))
    with pytest.raises(InputError, match="max_new_tokens must be a whole number of at least 1"):
        pipeline("text-generation", causal, max_new_tokens=0)
    write = pipeline("text-generation", causal)
    with pytest.raises(InputError, match=r"texts must be a str or a list of str, not int"):
        write(3)
    with pytest.raises(InputError, match=r"text must be a str, not list"):
        write.stream(TEXTS)
    with pytest.raises(InputError, match=r"one for each of 3 texts, not \[1, 2\]"):
        write(TEXTS, strategy="sampling", seed=[1, 2])
    with pytest.raises(InputError, match=r"texts\[1\] must encode to fewer than the model's 64"):
        write(["A dog", "dog " * 70])
    with pytest.raises(InputError, match="must be at most the model's 64, not 73 in row 0"):
        write(["dog " * 50], max_new_tokens=20)


@pytest.mark.parametrize("options", [*STREAMS, {"strategy": "beam", "num_beams": 3}])
def test_the_command_prints_what_the_task_writes(capsys, causal, both, options):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    for task, folder in (("text-generation", causal), ("text2text-generation", both)):
        status, out, err = run(
            capsys, "generate", TEXTS[0], "--model", folder, "--max-new-tokens", 6, *flags
        )
        (answer,) = pipeline(task, folder, max_new_tokens=6, **options)(TEXTS[0])
        assert (status, err) == (0, "")
        printable = re.sub(r"[^\x20-\x7e]", "", answer["generated_text"])
        assert re.sub(r"\\x\w\w|\\u\w{4}|[^\x20-\x7e]", "", out) == printable


def test_the_command_writes_json_lines(capsys, causal, tmp_path):
    answers = pipeline("text-generation", causal, max_new_tokens=4)(TEXTS)
    wanted = [{"text": text} | answer for text, (answer,) in zip(TEXTS, answers, strict=True)]
    argv = ["generate", *TEXTS, "--model", causal, "--max-new-tokens", 4, "--output"]
    status, out, _ = run(capsys, *argv, "-")
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == wanted
    assert run(capsys, *argv, tmp_path / "out.jsonl") == (0, "", "")
    assert (tmp_path / "out.jsonl").read_text() == out


def test_the_command_runs_with_what_is_shipped_and_says_what_that_is(capsys):
    status, out, err = run(capsys, "generate", "The king", "--max-new-tokens", 3)
    assert status == 0
    assert "the shipped checkpoint is a masked LM" in err
    assert out.startswith("The king")
    assert out.endswith("\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["x", "--top-p", "2"], "top_p must be left out with strategy='greedy'"),
        (["x", "--strategy", "best"], "strategy must be one of greedy, sampling, beam"),
        (["x", "--max-new-tokens", "0"], "max_new_tokens must be a whole number of at least 1"),
        (["x", "--output", "a.txt"], "--output must be - or end in .jsonl, not 'a.txt'"),
        (["x", "--model", "/nowhere"], "path must be a checkpoint's folder, not '/nowhere'"),
    ],
)
def test_an_error_of_the_user_is_one_line(capsys, argv, message):
    status, out, err = run(capsys, "generate", *argv)
    assert (status, out) == (2, "")
    assert err.startswith(f"pyroberta: error: {message}")
    assert err.count("\n") == 1


def test_control_characters_do_not_reach_the_terminal(capsys, causal):
    status, out, _ = run(capsys, "generate", "a\x1b[31m\nb", "--model", causal)
    assert status == 0
    assert "\x1b" not in out
    assert out.startswith("a\\x1b[31m\nb")


def test_the_tasks_are_public_names():
    assert {"TextGeneration", "Text2TextGeneration"} <= set(pyroberta.text.__all__)
