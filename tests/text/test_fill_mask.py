"""fill-mask: the answers that transformers gives, and what it refuses."""

from __future__ import annotations

import itertools
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from support import needs_core

from pyroberta import ConfigError, InputError, RobertaConfig, RobertaForMaskedLM, pipeline
from pyroberta.logits import highest, softmax
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer
from pyroberta.text.batching import plan_batches

pytest.importorskip("tokenizers")

TEXTS = [
    "The king lived in a large <mask>.",
    "<mask>",
    "The <mask> man and the <mask> woman",
    "A boat is made to float on <mask>, and is often made of wood, iron, or steel.",
    "</s> a<mask><mask>b <pad> c",
]


@pytest.fixture(scope="module")
def fill():
    return pipeline("fill-mask")


@pytest.fixture(scope="module", params=["shipped", "random"])
def folder(request, tmp_path_factory):
    """A checkpoint with the shipped tokenizer."""
    if request.param == "shipped":
        return SHIPPED
    folder = tmp_path_factory.mktemp("model")
    config = RobertaConfig(
        vocab_size=4800,
        max_positions=64,
        hidden_size=24,
        num_blocks=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_token_types=1,
        # Logits that differ, so that the order is the same in every arithmetic.
        initializer_range=0.5,
        pad_token_id=3,  # of which the tokenizer knows nothing
        layer_norm_epsilon=1e-5,
    )
    RobertaForMaskedLM.from_config(config, seed=5).save_pretrained(folder)
    shutil.copy(SHIPPED / "tokenizer.json", folder)
    shutil.copy(SHIPPED / "tokenizer_config.json", folder)
    return folder


def flat(answers):
    """Every dictionary of nested lists."""
    if isinstance(answers, dict):
        return [answers]
    return list(itertools.chain.from_iterable(map(flat, answers)))


def shape(answers):
    """The nesting of lists, dictionaries as the keys that they have."""
    return sorted(answers) if isinstance(answers, dict) else list(map(shape, answers))


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_answers_are_those_of_transformers(folder):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.pipeline("fill-mask", str(folder), dtype=torch.float32, device="cpu")
    fill = pipeline("fill-mask", folder)
    for options in (
        {},
        {"top_k": 1},
        {"top_k": 30},
        {"targets": ["Ġhouse", "Ġman", "Ġhouse", "king"]},
        {"targets": [" house", "xyzzy", ""], "top_k": 1},
    ):
        wanted, got = theirs(TEXTS, **options), fill(TEXTS, **options)
        assert shape(got) == shape(wanted)
        for ours, other in zip(flat(got), flat(wanted), strict=True):
            assert ours["score"] == pytest.approx(other["score"], rel=1e-3, abs=1e-7)
            assert ours | {"score": None} == other | {"score": None}
    assert shape(fill(TEXTS[2])) == shape(theirs(TEXTS[2]))


def test_the_shipped_model_knows_most_of_its_prompts(fill):
    prompts = json.loads((SHIPPED / "prompts.json").read_text("utf-8"))
    assert len(prompts) == 20
    answers = fill([prompt["text"] for prompt in prompts])
    known = [
        any(one["token_str"] == prompt["expected"] for one in answer)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    assert sum(known) >= 15


def test_scores_fall_and_the_words_stand_in_their_sequences(fill):
    answers = fill(TEXTS[0])
    assert len(answers) == 5
    scores = [answer["score"] for answer in answers]
    assert scores == sorted(scores, reverse=True)
    for answer in answers:
        assert answer["sequence"] == TEXTS[0].replace(" <mask>", answer["token_str"])


def test_all_words_share_a_probability_of_one(fill):
    answers = fill(TEXTS[0], top_k=fill.model.config.vocab_size)
    assert sum(answer["score"] for answer in answers) == pytest.approx(1)


def test_several_masks_give_a_list_each_and_keep_the_other_masks(fill):
    first, second = fill(TEXTS[2], top_k=2)
    assert len(first) == len(second) == 2
    assert all("<mask> woman" in answer["sequence"] for answer in first)
    assert all(answer["sequence"].startswith("<s>The<mask> man") for answer in second)
    assert all(answer["sequence"].count("<mask>") == 1 for answer in [*first, *second])


@needs_core
def test_a_list_gives_a_list_in_its_order_whatever_its_length(fill):
    assert fill([]) == []
    assert fill([TEXTS[0]]) == [fill(TEXTS[0])]
    assert fill(TEXTS[::-1]) == fill(TEXTS)[::-1]
    assert fill(tuple(TEXTS)) == fill(TEXTS)


@needs_core
@pytest.mark.parametrize("batch_tokens", [1, 7, 30])
def test_answers_do_not_depend_on_the_batches(fill, batch_tokens):
    other = pipeline("fill-mask", batch_tokens=batch_tokens)
    assert other(TEXTS) == fill(TEXTS)


def test_the_options_of_the_pipeline_hold_until_a_call_has_its_own():
    fill = pipeline("fill-mask", top_k=2, targets=["Ġhouse", "Ġroom", "Ġman"])
    assert len(fill(TEXTS[0])) == 2
    assert len(fill(TEXTS[0], top_k=1)) == 1
    assert fill(TEXTS[0], targets="Ġking")[0]["token_str"] == " king"


def test_targets_keep_their_score_among_all_words(fill):
    everything = {a["token"]: a["score"] for a in fill(TEXTS[0], top_k=4800)}
    for answer in fill(TEXTS[0], targets=["Ġhouse", "Ġman"]):
        assert answer["score"] == everything[answer["token"]]


def test_an_unknown_target_is_replaced_with_a_warning(fill):
    with pytest.warns(UserWarning, match=r"' house' is not in the vocabulary: 'Ġhouse' is taken"):
        (answer,) = fill(TEXTS[0], targets=" house")
    assert answer["token_str"] == " house"


def test_targets_of_no_word_are_refused(fill):
    with pytest.raises(InputError, match="targets must hold a word that the tokenizer knows"):
        fill(TEXTS[0], targets=[])
    with (
        pytest.warns(UserWarning, match="target '' is no word: it is left out"),
        pytest.raises(InputError, match="targets must hold a word that the tokenizer knows"),
    ):
        fill(TEXTS[0], targets=[""])


def test_a_text_without_the_mask_is_refused_by_number_and_token(fill):
    with pytest.raises(InputError, match=r"texts\[1\] must hold the mask token '<mask>', not 'no'"):
        fill(["a <mask>", "no"])
    with pytest.raises(InputError, match=r"must hold the mask token '<mask>', not 'a \[MASK\]'"):
        fill("a [MASK]")


def test_a_mask_beyond_the_length_is_refused(fill):
    with pytest.raises(InputError, match=r"'<mask>' within the first 128 tokens, not after"):
        fill("a word " * 200 + "<mask>")


@pytest.mark.parametrize(
    ("top_k", "message"),
    [
        (0, "top_k must be a whole number of at least 1, not 0"),
        (True, "top_k must be a whole number of at least 1, not True"),
        (1.5, "top_k must be a whole number of at least 1, not 1.5"),
        (4801, r"top_k must be at most vocab_size \(4800\), not 4801"),
    ],
)
def test_top_k_out_of_range_is_refused(fill, top_k, message):
    with pytest.raises(InputError, match=message):
        fill(TEXTS[0], top_k=top_k)
    with pytest.raises(InputError, match=message):
        pipeline("fill-mask", top_k=top_k)


@pytest.mark.parametrize("texts", [3, None, {"a": 1}, b"<mask>"])
def test_what_is_no_text_is_refused(fill, texts):
    with pytest.raises(InputError, match="texts must be one input or a list of them, not"):
        fill(texts)


def test_a_tokenizer_without_a_mask_is_refused(tmp_path):
    content = (SHIPPED / "tokenizer.json").read_text("utf-8").replace("<mask>", "<gap>")
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(ConfigError, match="tokenizer must have a mask token for fill-mask"):
        pipeline("fill-mask", tokenizer=tmp_path)


@needs_core
def test_logits_are_computed_at_masks_alone_and_few_at_a_time(tmp_path):
    """A batch of every text's masks would be 150 MB of logits; batches hold 64 MiB."""
    words = 250_002
    config = RobertaConfig(
        vocab_size=words,
        max_positions=130,
        hidden_size=8,
        num_blocks=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    model = RobertaForMaskedLM.from_config(config, seed=0)
    fill = pipeline("fill-mask", model, tokenizer=Tokenizer.from_pretrained(SHIPPED, config=config))
    fill("warm <mask>")
    tracemalloc.start()
    answers = fill(["a <mask> b"] * 150, top_k=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(answers) == 150
    assert peak < 100e6


def test_softmax_of_huge_logits_is_finite():
    scores = softmax(np.array([1000.0, 999.0, -1000.0], np.float32))
    assert scores == pytest.approx([0.7310585786, 0.2689414214, 0])


def test_best_takes_the_highest_and_of_equals_the_first():
    assert highest(np.array([1.0, 3.0, 2.0, 3.0, 3.0]), 3).tolist() == [1, 3, 4]
    assert highest(np.array([1.0, 1.0, 1.0]), 2).tolist() == [0, 1]
    assert highest(np.array([1.0, 2.0]), 9).tolist() == [1, 0]


def test_batches_hold_every_row_once_within_the_budget():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 40, 200).tolist()
    batches = list(plan_batches(lengths, 100))
    assert sorted(itertools.chain.from_iterable(batches)) == list(range(200))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[row] for row in batch) <= 100
    assert list(plan_batches([5, 500, 6], 100)) == [[1], [2, 0]]
    assert list(plan_batches([5, 5, 5], 100, [2, 2, 2], 4)) == [[0, 1], [2]]
    assert list(plan_batches([], 100)) == []
    # About as many tokens in each: not 98 and 14.
    assert list(plan_batches([14] * 8, 100)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [len(batch) for batch in plan_batches([10] * 25, 100)] == [8, 9, 8]


@pytest.mark.parametrize("batch_tokens", [0, -1, True, 2.5, "many"])
def test_a_wrong_budget_is_refused(batch_tokens):
    with pytest.raises(InputError, match="batch_tokens must be a whole number"):
        pipeline("fill-mask", batch_tokens=batch_tokens)


def test_any_iterable_and_a_stream(fill):
    want = fill(TEXTS)
    assert fill(tuple(TEXTS)) == want
    assert fill(np.array(TEXTS)) == want
    assert fill(text for text in TEXTS) == want
    assert list(fill.stream(iter(TEXTS), batch_size=1)) == want
    assert fill.stream(iter(TEXTS[:1]), top_k=2).__next__() == want[0][:2]


def test_what_is_cut_is_told(fill):
    with pytest.warns(UserWarning, match="1 text was cut"):
        assert fill("A <mask> boat " + "and another " * 200).truncation > 0
    with pytest.raises(InputError, match="stride must be left out for fill-mask"):
        fill(TEXTS, stride=4)
