"""What the program around sets of its arithmetic changes no bit, raises nothing, and is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from guest.floating_point import (
    DIVISION,
    DOWNWARD,
    INEXACT,
    INVALID,
    OVERFLOW,
    TOWARD_ZERO,
    UNDERFLOW,
    UPWARD,
    control_word,
    on_glibc,
    set_to,
)
from support import CLASSES, batch_for, main_output, make_folder, needs_core

import pyroberta

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "upward": {"rounding": UPWARD},
    "downward": {"rounding": DOWNWARD},
    "toward zero": {"rounding": TOWARD_ZERO},
    "subnormals as zero": {"subnormals_as_zero": True},
    "traps": {"traps": INVALID | DIVISION | OVERFLOW},
    "all traps, upward": {"rounding": UPWARD, "traps": 61 | UNDERFLOW | INEXACT},
}
IDS = np.array([[0, 5, 6, 2], [0, 7, 2, 1]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])


def decoder(**options: Any) -> pyroberta.RobertaForCausalLM:
    config = pyroberta.RobertaConfig(
        vocab_size=50,
        num_blocks=2,
        hidden_size=32,
        num_attention_heads=2,
        intermediate_size=64,
        max_positions=40,
        initializer_range=0.3,
    )
    return pyroberta.RobertaForCausalLM.from_config(config, seed=0, **options)


@on_glibc
@needs_core
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("compute_type", ["float32", "bfloat16x3", "bfloat16", "int8"])
def test_a_call_has_the_usual_bits_and_leaves_the_environment(environment, compute_type, isa):
    model = decoder(compute_type=compute_type)
    asks: list[Callable[[], Any]] = [
        lambda: model(IDS, MASK).logits,
        lambda: model(IDS, MASK, output_attentions=True).attentions[1],
        lambda: model.encode_rows([[0, 5, 6], [0, 7]]).logits,
        lambda: decoder(compute_type=compute_type)(IDS, MASK).logits,  # packed there
    ]
    want = [ask().tobytes() for ask in asks]
    with set_to(**ENVIRONMENTS[environment]):
        before = control_word()
        got = [ask().tobytes() for ask in asks]
        after = control_word()
    assert got == want
    # Flags that say what happened (the lowest six bits) may be NumPy's own.
    assert before & ~0x3F == after & ~0x3F


@on_glibc
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("architecture", CLASSES)
def test_every_head_has_the_usual_bits(environment, architecture, tmp_path):
    path = make_folder(tmp_path, architecture)
    models = [
        CLASSES[architecture].from_pretrained(path, backend=backend)
        for backend in ("native", "reference")
    ]
    ids = batch_for(architecture, [[0, 5, 6, 2], [0, 7, 2, 4]])
    want = [main_output(model(ids)).tobytes() for model in models]
    with set_to(**ENVIRONMENTS[environment]):
        got = [main_output(model(ids)).tobytes() for model in models]
    assert got == want


@on_glibc
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("strategy", ["greedy", "sampling", "beam", "contrastive"])
def test_the_same_tokens_are_generated(environment, strategy):
    model = decoder()
    options: dict[str, Any] = {"strategy": strategy, "max_new_tokens": 5}
    options |= {"seed": 3, "temperature": 1.7} if strategy == "sampling" else {}
    options |= {"top_k": 4, "alpha": 0.6} if strategy == "contrastive" else {}
    want = model.generate(IDS[:, :3], **options)
    with set_to(**ENVIRONMENTS[environment]):
        got = model.generate(IDS[:, :3], **options)
        if strategy != "beam":
            streamed = np.stack(list(model.stream(IDS[:, :3], **options)), axis=1)
    np.testing.assert_array_equal(got, want)
    if strategy != "beam":
        np.testing.assert_array_equal(streamed, want[:, 3:])


@on_glibc
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_texts_have_the_usual_vectors_and_answers(environment):
    pytest.importorskip("tokenizers")
    embed, fill = pyroberta.pipeline("sentence-embedding"), pyroberta.pipeline("fill-mask")
    vectors, answers = embed(["A dog runs.", ""]), fill("The <mask> runs.")
    with set_to(**ENVIRONMENTS[environment]):
        again = embed(["A dog runs.", ""]), fill("The <mask> runs.")
    np.testing.assert_array_equal(again[0], vectors)
    assert again[1] == answers


@on_glibc
@needs_core
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_same_files_are_written(environment, tmp_path):
    for name in ("usual", "other"):
        with set_to(**(ENVIRONMENTS[environment] if name == "other" else {})):
            decoder().save_pretrained(tmp_path / name / "checkpoint")
            decoder(compute_type="int8").save_packed(tmp_path / name / "packed")
    for file in ("checkpoint/model.safetensors", "packed/model.packed.safetensors"):
        assert (tmp_path / "usual" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_numpys_own_settings_change_nothing(backend):
    model = decoder(backend=backend)
    ask = {"max_new_tokens": 4, "strategy": "sampling", "seed": 0}
    want = model(IDS, MASK).logits, model.generate([[0, 5]], **ask)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(model(IDS, MASK).logits, want[0])
        np.testing.assert_array_equal(model.generate([[0, 5]], **ask), want[1])
        assert np.geterr()["under"] == "raise"
