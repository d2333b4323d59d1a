"""Attention masks, head masks and the positions that follow from them: taken and refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import CLASSES, HEADS, batch_for, main_output, make_folder

from pyroberta import InputError

IDS = [[0, 5, 6, 2], [0, 7, 2, 1]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]
READ_FIRST = ["base", "for_sequence_classification", "for_multiple_choice"]


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


@pytest.mark.parametrize("architecture", READ_FIRST)
@pytest.mark.parametrize("row", [[0, 0, 0, 0], [0, 1, 1, 1]], ids=["all masked", "first masked"])
def test_a_head_that_reads_the_first_token_refuses_a_row_that_masks_it(models, architecture, row):
    mask = batch_for(architecture, [[1, 1, 1, 1], row])
    message = (
        "attention_mask must attend to the first token of every row, which this model's head "
        "reads, not mask it in row 1"
    )
    with pytest.raises(InputError, match=exactly(message)):
        models[architecture](batch_for(architecture, IDS), mask)


@pytest.mark.parametrize("architecture", [h for h in HEADS if h not in READ_FIRST[1:]])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_other_heads_give_zeros_for_a_fully_masked_row(architecture, backend, tmp_path):
    model = CLASSES[architecture].from_pretrained(
        make_folder(tmp_path, architecture), backend=backend, add_pooling_layer=False
    )
    output = model(IDS, [[0] * 4, MASK[1]], output_hidden_states=True, output_attentions=True)
    empty = -np.inf if architecture == "for_question_answering" else 0
    main = main_output(output)
    assert (main[0] == empty).all()
    assert (main[1, 3] == empty).all()
    assert np.array_equal(main[1:], main_output(model(IDS[1:], MASK[1:])))
    for array in (*output.hidden_states, *output.attentions):
        assert not array[0].any()
        assert array[1].any()


def test_a_masked_first_token_leaves_the_others_as_they_would_be_without_it(models):
    model = models["for_token_classification"]
    logits = model([[1, 0, 5, 2]], [[0, 1, 1, 1]]).logits
    assert np.array_equal(logits[:, 1:], model([[0, 5, 2]]).logits)
    assert not logits[:, 0].any()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "attention_mask must not be negative (above 0 means attended), not -1"),
        (-1e9, "attention_mask must not be negative (above 0 means attended), not -1000000000.0"),
        (np.nan, "attention_mask must be finite (above 0 means attended), not nan"),
        (-np.inf, "attention_mask must be finite (above 0 means attended), not -inf"),
        (np.inf, "attention_mask must be finite (above 0 means attended), not inf"),
    ],
)
def test_a_mask_that_looks_additive_is_refused(model, value, message):
    with pytest.raises(InputError, match=exactly(f"{message}: is it an additive mask?")):
        model(IDS, [[1, 1, 1, 1], [1, 1, 1, value]])


@pytest.mark.parametrize("shape", [(4,), (2, 4, 4), (2, 1, 1, 4)])
def test_a_mask_for_each_query_is_refused(model, shape):
    message = (
        f"attention_mask must be [batch, tokens], not of shape {list(shape)}: "
        "masks for each query and additive masks are not read"
    )
    with pytest.raises(InputError, match=exactly(message)):
        model(IDS, np.ones(shape))


@pytest.mark.parametrize("dtype", ["U1", complex, object])
def test_a_mask_must_hold_numbers(model, dtype):
    with pytest.raises(InputError, match="attention_mask must be bool, integer or float, not "):
        model(IDS, np.ones((2, 4), dtype))


@pytest.mark.parametrize("value", [0.5, 2, 1e-30, 255, True])
def test_any_mask_value_above_zero_attends(model, value):
    mask = np.array(MASK) * value
    assert np.array_equal(model(IDS, mask).logits, model(IDS, MASK).logits)


def test_pads_without_a_mask_are_attended_to_and_warned_of_where_the_call_stands(model):
    message = r"^input_ids hold pad_token_id \(1\) and no attention_mask was given"
    with pytest.warns(UserWarning, match=message) as caught:
        logits = model(IDS).logits
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__)
    assert logits[1, 3].any()
    assert np.array_equal(logits, model(IDS, np.ones((2, 4))).logits)


def test_attended_pads_take_the_pads_position_and_are_not_counted(model):
    ids = [[5, 1, 6, 1, 7]]
    right = model(ids, np.ones((1, 5)), position_ids=[[2, 1, 3, 1, 4]]).logits
    assert np.array_equal(model(ids, np.ones((1, 5))).logits, right)


def test_a_masked_word_still_counts_for_the_positions_of_what_follows(model):
    ids, mask = [[5, 6, 7]], [[1, 0, 1]]
    right = model([[5, 7]], position_ids=[[2, 4]]).logits
    assert np.array_equal(model(ids, mask).logits[:, [0, 2]], right)


def test_token_type_zero_is_added_where_no_types_are_given(model, tmp_path):
    assert np.array_equal(model(IDS, MASK).logits, model(IDS, MASK, np.zeros((2, 4), int)).logits)
    assert not np.array_equal(model(IDS, MASK).logits, model(IDS, MASK, MASK).logits)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 2), (2, 1, 3)])
def test_a_head_mask_has_an_entry_for_each_head_of_each_block(model, shape):
    message = (
        "attention_head_mask must be [num_blocks, num_attention_heads] [2, 3], "
        f"not of shape {list(shape)}"
    )
    with pytest.raises(InputError, match=exactly(message)):
        model(IDS, MASK, attention_head_mask=np.ones(shape))


def test_a_head_mask_holds_finite_numbers(model):
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match=f"attention_head_mask must be finite, not {value}"):
            model(IDS, MASK, attention_head_mask=[[1, 1, 1], [1, value, 1]])
    with pytest.raises(InputError, match="attention_head_mask must hold numbers, not <U1"):
        model(IDS, MASK, attention_head_mask=[["a"] * 3] * 2)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_head_mask_multiplies_the_returned_attentions_and_ones_change_nothing(backend, tmp_path):
    model = CLASSES["base"].from_pretrained(make_folder(tmp_path, "base"), backend=backend)
    ids = [[0, 5, 6, 2]]
    plain = model(ids, output_attentions=True)
    ones = model(ids, attention_head_mask=np.ones((2, 3), int), output_attentions=True)
    assert np.array_equal(ones.last_hidden_state, plain.last_hidden_state)
    mask = np.array([[0.5, 0, -2.0], [1, 1, 1]])
    masked = model(ids, attention_head_mask=mask, output_attentions=True)
    assert np.array_equal(
        masked.attentions[0], plain.attentions[0] * np.float32(mask[0, :, None, None])
    )
    assert not np.array_equal(masked.last_hidden_state, plain.last_hidden_state)
    assert model(ids, attention_head_mask=np.zeros((2, 3))).last_hidden_state.any()
