"""float32 has one answer: a model gives the same bits on each build that fuses multiply-adds."""

from __future__ import annotations

import numpy as np
import pytest
from builds import ISAS, fuses
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CLASSES, HEADS, MAX_TOKENS, TINY, main_output, make_folder, on_build, runs_here

HERE = [isa for isa in ISAS if runs_here(isa) and fuses(isa)]

pytestmark = pytest.mark.skipif(len(HERE) < 2, reason="one build alone runs here")

rows = st.lists(st.integers(3, TINY["vocab_size"] - 1), min_size=1, max_size=MAX_TOKENS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Gives the models of a head, one for each build."""
    root = tmp_path_factory.mktemp("models")
    made = {}

    def of(head):
        if head not in made:
            # Widths that are no multiple of a vector's lanes.
            folder = make_folder(root / head, head, hidden_size=36, intermediate_size=75)
            made[head] = []
            for isa in HERE:
                with on_build(isa):
                    made[head].append(CLASSES[head].from_pretrained(folder))
        return made[head]

    return of


@pytest.mark.parametrize("head", HEADS)
def test_every_head(models, head):
    of_builds = models(head)

    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(st.lists(rows, min_size=1, max_size=4))
    def same(batch):
        width = max(map(len, batch))
        ids = np.full((len(batch), width), TINY["pad_token_id"])
        for row, tokens in zip(ids, batch, strict=True):
            row[: len(tokens)] = tokens
        mask = np.arange(width) < np.array([[len(row)] for row in batch])
        if head == "for_multiple_choice":
            ids, mask = ids[:, None], mask[:, None]
        looks = [
            model(ids, mask, output_hidden_states=True, output_attentions=True)
            for model in of_builds
        ]
        first, *others = (
            [main_output(look), *look.hidden_states, *look.attentions] for look in looks
        )
        for other in others:
            for a, b in zip(first, other, strict=True):
                assert np.asarray(a).tobytes() == np.asarray(b).tobytes()

    same()
