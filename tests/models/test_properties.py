"""A row's bits depend on that row alone: for every build and compute type, by drawn batches."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builds import ISAS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import CLASSES, HEADS, MAX_TOKENS, TINY, main_output, make_folder, on_build, runs_here

import pyroberta
from pyroberta.compute_types import COMPUTE_TYPES

WORDS = TINY["vocab_size"]
PAD = TINY["pad_token_id"]
LM = "for_masked_language_modeling"
# Widths that int8 turns by 16 and by 32 columns at a time, one of them more than a group of 768.
TURNED = {"hidden_size": 48, "intermediate_size": 800}

# The fixtures here set up what does not change between examples.
few = functools.partial(
    settings,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# A row is its words (never the pad, so that positions count them alone).
rows = st.lists(
    st.integers(0, WORDS - 1).filter(lambda word: word != PAD), min_size=1, max_size=MAX_TOKENS
)
batches = st.lists(rows, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    turned = make_folder(root / "turned", "for_token_classification", **TURNED)
    return {name: make_folder(root / name, name) for name in HEADS} | {"turned": turned}


def both(examples: int, check: Any, **drawn: st.SearchStrategy[Any]) -> tuple[Any, Any]:
    """Two tests of what ``check`` draws: all examples on the build in use, 10 on each other one.

    What differs from build to build is in the kernels, which tests/kernels runs on each in full;
    what is drawn here (padding, order, threads) goes through the same code above them.
    """

    @few(max_examples=examples)
    @given(**drawn)
    def on_the_build_in_use(fastest, restored_threads, **values):
        check(fastest, **values)

    @few(max_examples=10)
    @given(**drawn)
    def on_other_builds(other, restored_threads, **values):
        check(other, **values)

    return on_the_build_in_use, on_other_builds


@pytest.fixture(params=COMPUTE_TYPES)
def compute_type(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(isa: str, folders: dict[str, Path], compute_type: str) -> Any:
    return load(folders, compute_type)


@pytest.fixture
def fastest(folders: dict[str, Path], compute_type: str) -> Any:
    return load(folders, compute_type)


@pytest.fixture(params=[isa for isa in ISAS if runs_here(isa)][:-1])
def other(request: pytest.FixtureRequest, folders: dict[str, Path], compute_type: str) -> Any:
    with on_build(request.param):
        return load(folders, compute_type)


def load(folders: dict[str, Path], compute_type: str) -> Any:
    name = "for_token_classification"
    folder = folders[name if compute_type == "float32" else "turned"]
    return CLASSES[name].from_pretrained(folder, compute_type=compute_type)


def look(model: Any, ids: Any, mask: Any) -> list[np.ndarray]:
    """Logits, hidden states and attentions."""
    output = model(ids, mask, output_hidden_states=True, output_attentions=True)
    return [output.logits, *output.hidden_states, *output.attentions]


def alone(model: Any, row: list[int]) -> list[np.ndarray]:
    return [array[0] for array in look(model, [row], None)]


def spread(batch: list[list[int]], data: st.DataObject) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rows at drawn places of a padded array, in their order; and where each row stands."""
    width = max(map(len, batch)) + data.draw(st.integers(0, 9), label="extra columns")
    ids = np.full((len(batch), width), PAD)
    places = []
    for i, row in enumerate(batch):
        kind = data.draw(st.sampled_from(["right", "left", "scattered"]), label="padding")
        if kind == "right":
            columns = np.arange(len(row))
        elif kind == "left":
            columns = np.arange(width - len(row), width)
        else:
            free = data.draw(st.permutations(range(width)), label="columns")
            columns = np.sort(free[: len(row)])
        ids[i, columns] = row
        places.append(columns)
    return ids, places


def assert_same_bits(ours: np.ndarray, expected: np.ndarray) -> None:
    assert ours.dtype == expected.dtype
    assert ours.tobytes() == np.ascontiguousarray(expected).tobytes()


def assert_row(arrays: list[np.ndarray], i: int, columns: np.ndarray, single: Any) -> None:
    """Row ``i`` at ``columns`` has the bits of ``single``, and zeros everywhere else."""
    for array, expected in zip(arrays, single, strict=True):
        row = array[i]
        at = (slice(None), columns[:, None], columns) if row.ndim == 3 else (columns,)
        assert_same_bits(row[at], expected)
        rest = row.copy()
        rest[at] = 0
        assert not rest.any()


def check_a_row_has_the_same_bits_in_any_batch_padding_and_number_of_threads(
    model, batch, threads, data
):
    pyroberta.set_num_threads(1)
    singles = [alone(model, row) for row in batch]
    ids, places = spread(batch, data)
    mask = np.zeros(ids.shape, bool)
    for i, columns in enumerate(places):
        mask[i, columns] = True
    pyroberta.set_num_threads(threads)
    arrays = look(model, ids, mask)
    for i, single in enumerate(singles):
        assert_row(arrays, i, places[i], single)


(
    test_a_row_has_the_same_bits_in_any_batch_padding_and_number_of_threads,
    test_a_row_has_the_same_bits_in_any_batch_padding_and_number_of_threads_elsewhere,
) = both(
    50,
    check_a_row_has_the_same_bits_in_any_batch_padding_and_number_of_threads,
    batch=batches,
    threads=st.integers(1, 4),
    data=st.data(),
)


def check_rows_in_another_order_give_the_same_rows_in_that_order(model, batch, threads, data):
    pyroberta.set_num_threads(threads)
    ids, _ = spread(batch, data)
    mask = ids != PAD
    order = np.array(data.draw(st.permutations(range(len(batch)))))
    before, after = look(model, ids, mask), look(model, ids[order], mask[order])
    for one, other in zip(before, after, strict=True):
        assert_same_bits(other, one[order])


(
    test_rows_in_another_order_give_the_same_rows_in_that_order,
    test_rows_in_another_order_give_the_same_rows_in_that_order_elsewhere,
) = both(
    25,
    check_rows_in_another_order_give_the_same_rows_in_that_order,
    batch=batches,
    threads=st.integers(1, 4),
    data=st.data(),
)


def check_asking_for_more_outputs_changes_no_bit_of_the_others(
    model, batch, hidden, attentions, data
):
    ids, _ = spread(batch, data)
    plain = model(ids, ids != PAD)
    looked = model(ids, ids != PAD, output_hidden_states=hidden, output_attentions=attentions)
    assert_same_bits(looked.logits, plain.logits)
    assert plain.hidden_states is None
    assert plain.attentions is None
    full = look(model, ids, ids != PAD)
    if hidden:
        for one, other in zip(looked.hidden_states, full[1:4], strict=True):
            assert_same_bits(one, other)
    if attentions:
        for one, other in zip(looked.attentions, full[4:], strict=True):
            assert_same_bits(one, other)


(
    test_asking_for_more_outputs_changes_no_bit_of_the_others,
    test_asking_for_more_outputs_changes_no_bit_of_the_others_elsewhere,
) = both(
    25,
    check_asking_for_more_outputs_changes_no_bit_of_the_others,
    batch=batches,
    hidden=st.booleans(),
    attentions=st.booleans(),
    data=st.data(),
)


@few(max_examples=10)
@given(batch=batches, words=st.lists(st.integers(0, WORDS - 1), min_size=9, max_size=9))
def test_what_stands_at_masked_places_after_a_row_changes_no_bit_of_it(model, batch, words):
    """Not even another word than the pad, which would move the positions of what follows it."""
    ids = np.full((len(batch), MAX_TOKENS + 9), PAD)
    for i, row in enumerate(batch):
        ids[i, : len(row)] = row
        ids[i, len(row) : len(row) + 9] = words
    mask = np.arange(ids.shape[1]) < np.array([len(row) for row in batch])[:, None]
    arrays = look(model, ids, mask)
    for i, row in enumerate(batch):
        assert_row(arrays, i, np.arange(len(row)), alone(model, row))


@few(max_examples=8)
@given(batch=batches, threads=st.integers(2, 4), width=st.integers(0, 9))
@pytest.mark.parametrize(
    ("architecture", "compute_type"),
    [*((name, "float32") for name in HEADS), *((LM, one) for one in COMPUTE_TYPES[1:])],
)
def test_every_head_gives_a_row_the_same_bits_alone_and_in_a_batch(
    isa, folders, restored_threads, architecture, compute_type, batch, threads, width
):
    folder = folders[architecture]
    model = CLASSES[architecture].from_pretrained(folder, compute_type=compute_type)
    longest = max(map(len, batch))
    ids = np.array([row + [PAD] * (longest + width - len(row)) for row in batch])
    choices = architecture == "for_multiple_choice"
    if choices:
        ids = ids[None]  # the rows are the choices of one question
    pyroberta.set_num_threads(threads)
    together = main_output(model(ids, ids != PAD))
    together = together[0] if choices else together
    pyroberta.set_num_threads(1)
    for i, row in enumerate(batch):
        one = main_output(model([[row]] if choices else [row]))
        one = one[0, 0] if choices else one[0]
        ours = together[i] if one.ndim < 2 else together[i][: len(row)]
        assert_same_bits(np.ascontiguousarray(ours), one)


def test_a_row_has_the_same_bits_where_a_batch_is_cut_into_groups(isa, tmp_path, compute_type):
    """More tokens than the encoder takes at once (4,096), a long row across the border."""
    path = make_folder(tmp_path, "base", max_position_embeddings=1202)
    model = CLASSES["base"].from_pretrained(path, compute_type=compute_type)
    rng = np.random.default_rng(5)
    lengths = [1100, 700, 1200, 1090, 3, 1200, 512]
    ids = np.full((len(lengths), 1200), PAD)
    for i, length in enumerate(lengths):
        ids[i, :length] = rng.integers(2, WORDS, length)
    together = model(ids, ids != PAD).last_hidden_state
    for i, length in enumerate(lengths):
        one = model(ids[i : i + 1, :length]).last_hidden_state[0]
        assert_same_bits(together[i, :length], one)
