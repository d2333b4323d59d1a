"""An encoder's class with ``is_decoder`` is causal, as in transformers: every head."""

from __future__ import annotations

import numpy as np
import pytest

import pyroberta

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)


@pytest.mark.parametrize("head", HEADS)
def test_the_numbers_are_those_of_transformers(head, tmp_path):
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        type_vocab_size=1,
        initializer_range=0.3,
        is_decoder=True,
    )
    theirs = getattr(transformers, f"Roberta{head}")(config).eval()
    theirs.save_pretrained(tmp_path)
    ids = np.array([[0, 5, 6, 7, 2], [0, 9, 11, 2, 1]])
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    if head == "ForMultipleChoice":
        ids, mask = (np.repeat(array[:, None], 2, axis=1) for array in (ids, mask))
    with torch.no_grad():
        want = theirs(torch.tensor(ids), attention_mask=torch.tensor(mask))[0].numpy()
    ours = pyroberta.from_pretrained(tmp_path)(ids, mask)
    names = ("logits", "start_logits", "last_hidden_state")
    got = next(getattr(ours, name) for name in names if hasattr(ours, name))
    if got.shape[: mask.ndim] == mask.shape:
        got, want = got[mask > 0], want[mask > 0]
    np.testing.assert_allclose(got, want, atol=2e-5)
