"""Encodings: cuts are those of the tokenizers library, windows cover a text, offsets cut it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyroberta import InputError, RobertaConfig
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer
from pyroberta.text.encoding import cut, kept_tokens, windows

tokenizers = pytest.importorskip("tokenizers")

CONFIG = RobertaConfig.from_pretrained(SHIPPED)
TEXT = "The king lived in a large house by the sea and did not leave it."
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_pretrained(SHIPPED, config=CONFIG)


@pytest.mark.parametrize("side", ["left", "right"])
def test_cuts_are_those_of_the_library(tokenizer, side):
    library = tokenizers.Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    texts = [" ".join(WORDS[:n]) for n in (0, 1, 2, 3, 5, 8, 14)]
    pairs = list(itertools.product(texts, texts))
    for limit in (4, 5, 6, 7, 8, 9, 12, 15, 20):
        library.enable_truncation(limit, direction=side)
        for text in [*texts, *pairs]:
            parts = text if isinstance(text, tuple) else (text,)
            want = library.encode(*parts)
            whole = tokenizer.encode_with_offsets(text)
            got = cut(whole, limit, side)
            assert got.ids == want.ids
            assert got.offsets == want.offsets
            assert got.special_tokens_mask == want.special_tokens_mask
            assert got.word_ids == want.word_ids
            assert got.n_cut == len(whole) - len(got)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=2), st.integers(0, 59))
def test_what_is_kept_fills_the_room(lengths, room):
    if room >= sum(lengths):
        return
    kept = kept_tokens(lengths, room)
    assert sum(kept) == room
    assert all(k <= n for k, n in zip(kept, lengths, strict=True))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 19))
def test_windows_cover_all_and_share_the_stride(tokens, room, stride):
    if stride >= room:
        return
    found = list(windows(tokens, room, stride))
    assert found[0][0] == 0
    assert found[-1][1] == tokens
    assert all(end - start == room for start, end in found[:-1])
    for (_, end), (start, _) in itertools.pairwise(found):
        assert end - start == stride
    assert found[-1][1] - found[-1][0] > (stride if len(found) > 1 else 0)


def test_windows_of_a_pair_hold_the_other_text(tokenizer):
    encoding = tokenizer.encode_with_offsets(("Who?", TEXT))
    parts = [encoding.take(places) for places in encoding.windows(14, 3, sequence=1)]
    assert len(parts) > 1
    for part in parts:
        assert len(part) <= 14
        assert [part.text_of(place) for place in part.places_of(0)] == ["Who", "?"]
    seen = {one for part in parts for one in map(part.offsets.__getitem__, part.places_of(1))}
    assert seen == {encoding.offsets[place] for place in encoding.places_of(1)}


@pytest.mark.parametrize(
    ("length", "stride", "message"),
    [
        (2, 0, "max_length must leave room for a token of the text, not be 2"),
        (6, 4, "stride must be below the 4 tokens of the text in a window, not 4"),
        (6, 9, "stride must be below the 4 tokens of the text in a window, not 9"),
    ],
)
def test_windows_that_do_not_get_on_are_refused(length, stride, message, tokenizer):
    with pytest.raises(InputError, match=message):
        tokenizer.encode_with_offsets(TEXT).windows(length, stride)


def test_a_limit_below_the_special_tokens_is_refused(tokenizer):
    with pytest.raises(InputError, match=r"at most max_tokens \(1\) tokens with the special ones"):
        tokenizer.encode_with_offsets("The king", max_tokens=1)
