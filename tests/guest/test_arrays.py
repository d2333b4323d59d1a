"""Arrays of other kinds and other libraries: read, or refused by the argument's name."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from faults.arrays import ARGUMENTS, make_model

import pyroberta
from pyroberta import InputError


@pytest.fixture(scope="module")
def model() -> pyroberta.RobertaForCausalLM:
    return make_model()


class Unreadable:
    """An array of another library that NumPy cannot read, as some tensors are."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise self.error


ERRORS = [
    TypeError("Got unsupported ScalarType BFloat16"),
    RuntimeError("Can't call numpy() on Tensor that requires grad."),
    ValueError("no"),
    BufferError("x" * 10_000),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_numpy_cannot_read_is_refused_by_name(model, name, error):
    with pytest.raises(InputError) as caught:
        model(**ARGUMENTS | {name: Unreadable(error)})
    text = str(caught.value)
    assert text.startswith(f"{name} must be what NumPy can read, not this Unreadable (")
    assert "tensor.detach().float().numpy()" in text
    assert len(text) < 300


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_masked_array_is_refused_by_name(model, name):
    with pytest.raises(InputError, match=f"^{name} must be an array without a mask of its own"):
        model(**ARGUMENTS | {name: np.ma.masked_array(ARGUMENTS[name])})


@pytest.mark.parametrize("error", ERRORS[:3], ids=lambda error: type(error).__name__)
def test_a_row_that_numpy_cannot_read_is_refused_by_its_number(error):
    config = pyroberta.RobertaConfig(
        vocab_size=50, num_blocks=1, hidden_size=32, num_attention_heads=2, intermediate_size=64
    )
    encoder = pyroberta.RobertaModel.from_config(config, seed=0)
    with pytest.raises(InputError, match=re.escape("rows[1] must be what NumPy can read")):
        encoder.encode_rows([[0, 2], Unreadable(error)])
    with pytest.raises(InputError, match=re.escape("rows[0] must be an array without a mask")):
        encoder.encode_rows([np.ma.masked_array([0, 2]), [0, 2]])


@pytest.mark.parametrize("name", ["attention_mask", "encoder_hidden_state", "attention_head_mask"])
def test_a_tensor_of_pytorch_is_read_or_refused_by_name(model, name):
    torch = pytest.importorskip("torch")
    want = model(**ARGUMENTS).logits
    for tensor in (
        torch.tensor(ARGUMENTS[name]),
        torch.tensor(ARGUMENTS[name]).bfloat16(),
        torch.tensor(ARGUMENTS[name]).float().requires_grad_(),
    ):
        try:
            got = model(**ARGUMENTS | {name: tensor}).logits
        except InputError as error:
            assert str(error).startswith(name)  # noqa: PT017 (either way is right)
        else:
            np.testing.assert_array_equal(got, want)
