"""What a call takes and what it refuses, each refusal by name with both values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from support import CLASSES, FLOAT64, HEADS, MAX_TOKENS, main_output, make_folder

import pyroberta
from pyroberta import InputError
from pyroberta.models.inputs import read_batch

IDS = [[0, 5, 6, 2], [0, 7, 2, 1]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        name: cls.from_pretrained(make_folder(root / name, name), backend="reference")
        for name, cls in CLASSES.items()
    }


@pytest.fixture
def model(models: dict[str, Any]) -> Any:
    return models["for_token_classification"]


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


@pytest.mark.parametrize(
    ("ids", "positions"),
    [
        ([7, 8, 1, 9, 1], [2, 3, 1, 4, 1]),
        ([1, 1, 7, 8], [1, 1, 2, 3]),
        ([7, 1, 1, 8], [2, 1, 1, 3]),
        ([1, 1], [1, 1]),
    ],
)
def test_pads_are_not_counted_in_positions(model, ids, positions):
    ragged = read_batch(model.config, [ids], [[1] * len(ids)], None, None)
    np.testing.assert_array_equal(ragged.positions, positions)


@pytest.mark.parametrize("word", [-1, 37, 2**40])
def test_an_id_outside_the_vocabulary_is_refused_with_its_place(model, word):
    message = f"input_ids must be in [0, vocab_size) = [0, 37), not {word} at [1, 2]"
    with pytest.raises(InputError, match=exactly(message)):
        model([[0, 5, 2], [0, 5, word]])


def test_an_id_outside_the_vocabulary_is_refused_at_masked_places_too(model):
    with pytest.raises(InputError, match=r"input_ids must be in .* not 37 at \[0, 2\]"):
        model([[0, 5, 37]], [[1, 1, 0]])


@pytest.mark.parametrize("kind", [-1, 2])
def test_a_token_type_outside_the_table_is_refused_with_its_place(model, kind):
    message = f"token_type_ids must be in [0, max_token_types) = [0, 2), not {kind} at [1, 3]"
    with pytest.raises(InputError, match=exactly(message)):
        model(IDS, MASK, [[0, 0, 0, 0], [0, 0, 0, kind]])


@pytest.mark.parametrize("position", [-1, 22])
def test_a_position_outside_the_table_is_refused_with_its_place(model, position):
    message = f"position_ids must be in [0, max_positions) = [0, 22), not {position} at [0, 1]"
    with pytest.raises(InputError, match=exactly(message)):
        model(IDS, MASK, position_ids=[[2, position, 4, 5], [2, 3, 4, 5]])


@pytest.mark.parametrize("position", [-1, 22])
def test_a_position_at_a_masked_place_may_be_anything(model, position):
    right = model(IDS, MASK).logits
    places = [[2, 3, 4, 5], [2, 3, 4, position]]
    assert np.array_equal(model(IDS, MASK, position_ids=places).logits, right)


def test_a_row_of_the_full_length_is_taken_and_a_longer_one_refused(model):
    assert model([[5] * MAX_TOKENS]).logits.shape == (1, MAX_TOKENS, 4)
    message = (
        "input_ids must have at most 20 tokens a row (max_positions 22 less the offset of 2), "
        "not 21"
    )
    with pytest.raises(InputError, match=exactly(message)):
        model([[5] * (MAX_TOKENS + 1)])


def test_a_longer_row_is_taken_where_what_is_too_much_is_masked(model):
    """Wider than the position table, but no attended token is beyond it."""
    mask = np.arange(40) < MAX_TOKENS
    for rest in (1, 5):  # pads, or other words, which do count
        ids = np.where(mask, 5, rest)[None]
        logits = model(ids, mask[None]).logits
        assert np.array_equal(logits[:, :MAX_TOKENS], model([[5] * MAX_TOKENS]).logits)


@pytest.mark.parametrize("name", ["token_type_ids", "attention_mask", "position_ids"])
@pytest.mark.parametrize("shape", [(2, 3), (1, 4), (4, 2)])
def test_an_input_of_another_shape_than_the_ids_is_refused_with_both_shapes(model, name, shape):
    message = f"{name} must have the shape of input_ids [2, 4], not {list(shape)}"
    mask = {} if name == "attention_mask" else {"attention_mask": MASK}
    with pytest.raises(InputError, match=exactly(message)):
        model(IDS, **mask, **{name: np.ones(shape, int)})


@pytest.mark.parametrize("shape", [(), (4,), (1, 2, 2)])
def test_ids_must_be_a_matrix(model, shape):
    message = f"input_ids must be [batch, tokens], not of shape {list(shape)}"
    with pytest.raises(InputError, match=exactly(message)):
        model(np.full(shape, 5))


def test_multiple_choice_takes_a_third_axis(models):
    message = "input_ids must be [batch, choices, tokens], not of shape [2, 4]"
    with pytest.raises(InputError, match=exactly(message)):
        models["for_multiple_choice"](IDS)


@pytest.mark.parametrize("name", ["input_ids", "token_type_ids", "position_ids"])
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, bool, complex, object, "U1", "datetime64[s]"]
)
def test_ids_must_be_integers(model, name, dtype):
    values = {"input_ids": IDS, "attention_mask": MASK}
    values[name] = np.ones((2, 4), dtype) if dtype != "datetime64[s]" else np.zeros((2, 4), dtype)
    message = f"{name} must be integers, not {np.dtype(values[name].dtype)}"
    with pytest.raises(InputError, match=exactly(message)):
        model(**values)


def test_an_unsigned_id_beyond_64_bits_with_a_sign_is_not_wrapped(model):
    with pytest.raises(InputError, match=r"input_ids must .*not 18446744073709551615"):
        model(np.array([[2**64 - 1]], np.uint64))
    with pytest.raises(InputError, match="input_ids must be integers, not object"):
        model([[2**70]])


def forms(ids: np.ndarray) -> dict[str, Any]:
    """The same numbers in every form that a caller's array may have."""
    read_only = ids.copy()
    read_only.flags.writeable = False
    wide = np.full((ids.shape[0], ids.shape[1] * 2), 36)
    wide[:, ::2] = ids
    odd = np.zeros(ids.nbytes + 1, np.uint8)[1:].view(np.int64).reshape(ids.shape)
    odd[:] = ids
    return {
        "byte-swapped": ids.astype(">i8"),
        "read-only": read_only,
        "fortran": np.asfortranarray(ids),
        "strided": wide[:, ::2],
        "reversed": ids[:, ::-1].copy()[:, ::-1],
        "unaligned": odd,
        "int8": ids.astype(np.int8),
        "uint8": ids.astype(np.uint8),
        "int32": ids.astype(np.int32),
        "uint64": ids.astype(np.uint64),
        "lists": ids.tolist(),
        "rows": list(ids),
        "tuples": tuple(map(tuple, ids.tolist())),
    }


@pytest.mark.parametrize("form", forms(np.array(IDS)))
def test_every_form_of_array_gives_the_same_bits_and_is_left_as_it_was(model, form):
    ids = forms(np.array(IDS))[form]
    right = model(IDS, MASK, MASK, [[2, 3, 4, 5], [2, 3, 4, 5]]).logits
    before = np.array(ids)
    mask, positions = forms(np.array(MASK))[form], forms(np.array([[2, 3, 4, 5]] * 2))[form]
    assert np.array_equal(model(ids, mask, mask, positions).logits, right)
    assert np.array_equal(np.array(ids), before)


@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids", "position_ids"])
def test_a_ragged_list_is_refused_by_name(model, name):
    values = {"input_ids": IDS, "attention_mask": MASK, name: [[2, 2], [2]]}
    message = f"{name} must be an array with rows of one length, not a ragged list"
    with pytest.raises(InputError, match=exactly(message)):
        model(**values)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("architecture", HEADS)
def test_an_empty_batch_gives_empty_outputs(architecture, backend, tmp_path):
    model = CLASSES[architecture].from_pretrained(
        make_folder(tmp_path, architecture), backend=backend
    )
    shape = (0, 2, 5) if architecture == "for_multiple_choice" else (0, 5)
    ids = np.zeros(shape, np.int64)
    output = model(ids, ids, ids, output_hidden_states=True, output_attentions=True)
    expected = {
        "base": (0, 5, 18),
        "for_masked_language_modeling": (0, 5, 37),
        "for_sequence_classification": (0, 4),
        "for_token_classification": (0, 5, 4),
        "for_question_answering": (0, 5, 2),
        "for_multiple_choice": (0, 2),
    }
    assert main_output(output).shape == expected[architecture]
    assert main_output(output).dtype == np.float32
    assert [h.shape for h in output.hidden_states] == [(0, 5, 18)] * 3
    assert [a.shape for a in output.attentions] == [(0, 3, 5, 5)] * 2
    if architecture == "base":
        assert output.pooler_output.shape == (0, 18)


def test_rows_without_a_token_and_rows_without_a_choice_are_refused(models):
    with pytest.raises(InputError, match=r"at least one token a row, not \[2, 0\]"):
        models["base"](np.zeros((2, 0), int))
    with pytest.raises(InputError, match=r"at least one token a row, not \[1, 0\]"):
        models["base"]([[]])
    with pytest.raises(InputError, match=r"at least one choice, not \[2, 0, 4\]"):
        models["for_multiple_choice"](np.zeros((2, 0, 4), int))


@pytest.mark.parametrize("name", ["output_hidden_states", "output_attentions"])
def test_what_else_to_give_is_true_false_or_none(model, name):
    with pytest.raises(InputError, match=f"{name} must be True, False or None, not 'yes'"):
        model(IDS, MASK, **{name: "yes"})


def test_the_configuration_says_what_else_to_give_where_the_call_does_not(tmp_path):
    path = make_folder(tmp_path, "base")
    options = {"output_hidden_states": True, "output_attentions": True}
    model = pyroberta.from_pretrained(path, **FLOAT64, **options)
    assert len(model([[0, 2]]).hidden_states) == 3
    assert len(model([[0, 2]]).attentions) == 2
    off = model([[0, 2]], output_hidden_states=False, output_attentions=False)
    assert off.hidden_states is None
    assert off.attentions is None
