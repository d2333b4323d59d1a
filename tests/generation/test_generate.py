"""What generate and stream give: the right tokens, in the right places, at the right cost."""

from __future__ import annotations

import numpy as np
import pytest
from generation.tiny import (
    MAX_TOKENS,
    VOCAB,
    greedy_loop,
    last_logits,
    make_model,
    make_prompt,
    up_to_end,
)
from support import needs_core

from pyroberta import InputError, RobertaForCausalLM

STRATEGIES = [
    {"strategy": "greedy"},
    {"strategy": "sampling", "seed": [5, 6, 7]},
    {"strategy": "beam"},
    {"strategy": "contrastive"},
]
EOS = (2, 4, 9, 17, 25)  # many, so that rows end at different steps


def count_calls(model, monkeypatch):
    """The shapes of the ids of every call of the model from now on."""
    shapes = []
    call = RobertaForCausalLM.__call__

    def counted(self, input_ids, *args, **kwargs):
        shapes.append(np.shape(input_ids))
        return call(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(RobertaForCausalLM, "__call__", counted)
    return shapes


@pytest.mark.parametrize("seed", range(10))
def test_greedy_search_is_the_argmax_of_full_passes(seed):
    model = make_model(seed)
    lengths = [1, 4, 7]
    ids, mask = make_prompt(lengths, seed)
    result = model.generate(ids, mask, max_new_tokens=9, eos_token_id=EOS)
    for row, n in enumerate(lengths):
        wanted = greedy_loop(model, ids[row, -n:], 9, EOS)
        assert up_to_end(result[row, 7:], EOS) == wanted


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_a_row_gets_the_same_tokens_whatever_the_padding_and_the_batch(options):
    model = make_model(3)
    lengths = [2, 6, 4]
    left, left_mask = make_prompt(lengths, side="left")
    right, right_mask = make_prompt(lengths, side="right")
    scattered = np.ones((3, 10), np.int64)
    scattered_mask = np.zeros((3, 10))
    places = ([3, 8], [0, 1, 4, 5, 7, 9], [2, 3, 5, 6])
    for row, columns in enumerate(places):
        scattered[row, columns] = right[row, : lengths[row]]
        scattered_mask[row, columns] = 0.5
    limits = {"max_new_tokens": 8, "eos_token_id": EOS}
    wanted = model.generate(left, left_mask, **limits, **options)[:, 6:]
    for ids, mask in ((right, right_mask), (scattered, scattered_mask)):
        result = model.generate(ids, mask, **limits, **options)
        np.testing.assert_array_equal(result[:, : ids.shape[1]], ids)
        np.testing.assert_array_equal(result[:, ids.shape[1] :], wanted)
    for row, n in enumerate(lengths):
        own = options | ({"seed": options["seed"][row : row + 1]} if "seed" in options else {})
        alone = model.generate(right[row : row + 1, :n], **limits, **own)[0, n:]
        np.testing.assert_array_equal(up_to_end(alone, EOS), up_to_end(wanted[row], EOS))


def test_masked_tokens_that_are_no_pads_count_for_positions_as_in_a_call():
    model = make_model(1)
    ids, mask = np.array([[5, 6, 7, 8]]), np.array([[0, 1, 1, 1]])
    first = model(ids, mask).logits[0, -1].argmax()
    assert model.generate(ids, mask, max_new_tokens=1)[0, -1] == first


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_the_prompt_comes_first_and_pads_follow_an_end(options):
    model = make_model(0)
    ids, mask = make_prompt([3, 5, 1])
    result = model.generate(
        ids, mask, max_new_tokens=12, eos_token_id=EOS, pad_token_id=36, **options
    )
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result[:, :5], ids)
    ended = 0
    for row in result[:, 5:]:
        own = up_to_end(row, EOS)
        assert set(row[len(own) :]) <= {36}
        ended += len(own) < len(row)
    assert ended
    assert (result[:, -1] != 36).any(), "the result is as wide as its longest row"


def test_rows_that_have_ended_leave_the_batch(monkeypatch):
    model = make_model(0)
    ids, mask = make_prompt([3, 5, 1])
    shapes = count_calls(model, monkeypatch)
    result = model.generate(ids, mask, max_new_tokens=12, eos_token_id=EOS)
    lengths = [len(up_to_end(row, EOS)) for row in result[:, 5:]]
    assert len(set(lengths)) > 1
    wanted = [(3, 5)] + [(sum(n > step for n in lengths), 1) for step in range(1, max(lengths))]
    assert shapes == wanted


def test_rows_of_a_beam_search_that_are_done_leave_the_batch(monkeypatch):
    model = make_model(0)
    ids, mask = make_prompt([3, 5, 1])
    shapes = count_calls(model, monkeypatch)
    model.generate(
        ids, mask, max_new_tokens=12, eos_token_id=EOS, strategy="beam", early_stopping=True
    )
    rows = [shape[0] for shape in shapes[1:]]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] == 12
    assert rows[-1] < 12
    assert {shape[1] for shape in shapes[1:]} == {1}


@pytest.mark.parametrize("options", [o for o in STRATEGIES if o["strategy"] != "beam"])
def test_a_stream_gives_the_columns_of_generate_as_they_are_known(options, monkeypatch):
    model = make_model(0)
    ids, mask = make_prompt([3, 5, 1])
    limits = {"max_new_tokens": 12, "eos_token_id": EOS}
    wanted = model.generate(ids, mask, **limits, **options)[:, 5:]
    shapes = count_calls(model, monkeypatch)
    stream = model.stream(ids, mask, **limits, **options)
    first = next(stream)
    assert len(shapes) <= 2, "nothing beyond the first token is computed for it"
    columns = [first, *stream]
    np.testing.assert_array_equal(np.stack(columns, axis=1), wanted)


def test_a_stream_checks_its_arguments_at_once():
    model = make_model()
    with pytest.raises(InputError, match="max_new_tokens must be a whole number of at least 1"):
        model.stream([[5]], max_new_tokens=0)
    with pytest.raises(InputError, match=r"strategy must be .* for a stream, not 'beam'"):
        model.stream([[5]], strategy="beam")


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_no_rows_give_no_rows(options):
    options = {k: v for k, v in options.items() if k != "seed"}
    result = make_model().generate(np.empty((0, 4), np.int64), **options)
    assert result.shape == (0, 4)
    assert result.dtype == np.int64


def test_without_a_prompt_the_text_starts_with_bos():
    model = make_model()
    wanted = model.generate([[0]], max_new_tokens=3)
    np.testing.assert_array_equal(model.generate(None, max_new_tokens=3), wanted)
    other = model.generate(None, max_new_tokens=3, bos_token_id=7)
    np.testing.assert_array_equal(other, model.generate([[7]], max_new_tokens=3))
    with pytest.raises(InputError, match="input_ids must be given where there is no bos_token_id"):
        make_model(bos_token_id=None).generate(None)


def test_without_a_length_a_row_gets_20_tokens_or_what_there_is_room_for():
    model = make_model()
    lengths = [3, MAX_TOKENS - 5]
    ids, mask = make_prompt(lengths)
    result = model.generate(ids, mask, eos_token_id=())
    assert result.shape == (2, lengths[1] + 20)
    assert (result[1, -15:] == 1).all()
    full = model.generate(ids[1:], mask[1:], eos_token_id=())
    assert full.shape == (1, MAX_TOKENS)


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_max_length_counts_the_tokens_of_each_row(options):
    model = make_model(1)
    ids, mask = make_prompt([2, 6, 4])
    result = model.generate(ids, mask, max_length=9, eos_token_id=(), pad_token_id=36, **options)
    assert result.shape == (3, 6 + 7)
    for row, new in enumerate([7, 3, 5]):
        assert (result[row, 6 + new :] == 36).all()
        limits = {"max_new_tokens": new, "eos_token_id": (), **options}
        if "seed" in limits:
            limits["seed"] = limits["seed"][row : row + 1]
        alone = model.generate(ids[row : row + 1], mask[row : row + 1], **limits)
        np.testing.assert_array_equal(result[row, 6 : 6 + new], alone[0, 6:])


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_no_row_ends_before_its_least_length(options):
    model = make_model(0)
    ids, mask = make_prompt([3, 5, 1])
    free = model.generate(ids, mask, max_new_tokens=9, eos_token_id=EOS, **options)[:, 5:]
    assert min(len(up_to_end(row, EOS)) for row in free) < 5
    held = model.generate(
        ids, mask, max_new_tokens=9, eos_token_id=EOS, min_new_tokens=5, **options
    )
    assert all(len(up_to_end(row, EOS)) > 5 for row in held[:, 5:])
    held = model.generate(ids, mask, max_length=12, eos_token_id=EOS, min_length=8, **options)
    for row, n in zip(held[:, 5:], [3, 5, 1], strict=True):
        assert n + len(up_to_end(row, EOS)) > 8


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_forced_and_suppressed_tokens(options):
    model = make_model(4)
    ids, mask = make_prompt([1, 4, 1])
    result = model.generate(
        ids,
        mask,
        max_new_tokens=6,
        eos_token_id=(),
        forced_bos_token_id=11,
        forced_eos_token_id=12,
        suppressed_token_ids=range(20, VOCAB),
        **options,
    )[:, 4:]
    assert result[[0, 2], 0].tolist() == [11, 11]
    assert result[:, -1].tolist() == [12, 12, 12]
    assert (result < 20).all()


def test_forced_tokens_default_to_the_configurations():
    model = make_model(forced_bos_token_id=11, forced_eos_token_id=12)
    result = model.generate([[0]], max_new_tokens=5, eos_token_id=())
    assert result[0, [1, -1]].tolist() == [11, 12]


def test_a_processor_sees_each_rows_own_tokens_and_decides():
    model = make_model(0)
    ids, mask = make_prompt([3, 5, 1])
    seen = []

    def count_up(rows, logits):
        seen.append([row.tolist() for row in rows])
        assert not any(row.flags.writeable for row in rows)
        new = np.full_like(logits, -np.inf)
        new[np.arange(len(rows)), [3 + len(row) % 7 for row in rows]] = 0
        return new

    result = model.generate(
        ids, mask, max_new_tokens=4, eos_token_id=[8], logits_processors=[count_up]
    )
    assert seen[0] == [ids[row][mask[row] > 0].tolist() for row in range(3)]
    assert result[:, 5:].tolist() == [[6, 7, 8, 1], [8, 1, 1, 1], [4, 5, 6, 7]]
    assert [len(rows) for rows in seen] == [3, 2, 2, 1]


def test_processors_run_in_order_after_the_options():
    def double(ids, logits):
        return logits * 2

    def keep_one(ids, logits):
        assert (logits[:, 5] == -np.inf).all(), "suppressed before"
        new = np.full_like(logits, -np.inf)
        new[:, 6] = logits[:, 6]
        return new

    model = make_model()
    result = model.generate(
        [[3]], max_new_tokens=2, suppressed_token_ids=[5], logits_processors=[double, keep_one]
    )
    assert result.tolist() == [[3, 6, 6]]


@pytest.mark.parametrize("strategy", ["greedy", "sampling", "beam", "contrastive"])
def test_a_processor_that_leaves_no_token_is_refused_by_row(strategy):
    def none(ids, logits):
        return np.where(np.array([len(row) == 4 for row in ids])[:, None], -np.inf, logits)

    ids, mask = make_prompt([4, 2])
    with pytest.raises(
        InputError, match="must leave a token to choose, not none for row 0 after 4"
    ):
        make_model().generate(
            ids, mask, max_new_tokens=5, strategy=strategy, logits_processors=[none]
        )


@pytest.mark.parametrize(
    ("process", "came"),
    [
        (lambda ids, logits: None, r"object \[\]"),
        (lambda ids, logits: logits[:, :-1], r"float64 \[1, 36\]"),
        (lambda ids, logits: logits.argmax(axis=1), r"int64 \[1\]"),
    ],
)
def test_a_processor_must_return_logits(process, came):
    message = rf"logits_processors\[0\] must return floats \[1, 37\], not {came}"
    with pytest.raises(InputError, match=message):
        make_model().generate([[3]], logits_processors=[process])


def test_a_generated_pad_is_read_as_in_a_full_pass():
    model = make_model(6)

    def pad_second(rows, logits):
        new = logits.copy()
        for i, row in enumerate(rows):
            if len(row) == 3:
                new[i] = -np.inf
                new[i, 1] = 0
        return new

    result = model.generate(
        [[5, 6]], max_new_tokens=6, eos_token_id=(), logits_processors=[pad_second]
    )[0]
    assert result[3] == 1
    for n in range(4, 8):
        assert result[n] == last_logits(model, result[:n]).argmax()


def test_pads_without_a_mask_are_told_of_as_of_the_caller():
    with pytest.warns(UserWarning, match="the pads are attended to") as caught:
        make_model().generate([[5, 1, 6]], max_new_tokens=2)
    assert [warning.filename for warning in caught] == [__file__]


@needs_core
@pytest.mark.parametrize("seed", range(10))
def test_float32_differs_from_the_float64_reference_at_near_ties_alone(seed):
    reference, native = make_model(seed), make_model(seed, native=True)
    ids, mask = make_prompt([2, 7, 4], seed)
    limits = {"max_new_tokens": 12, "eos_token_id": EOS}
    wanted = reference.generate(ids, mask, **limits)
    result = native.generate(ids, mask, **limits)
    for row, n in enumerate([2, 7, 4]):
        own = [wanted[row, 7 - n :].tolist(), result[row, 7 - n :].tolist()]
        differ = [i for i, (a, b) in enumerate(zip(*own, strict=False)) if a != b]
        if differ:
            best = np.sort(last_logits(reference, own[0][: differ[0]]))[-2:]
            assert best[1] - best[0] < 1e-4


@needs_core
@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_native_generation_runs_with_cross_attention(options):
    model = make_model(1, native=True, use_cross_attention=True)
    reference = make_model(1, use_cross_attention=True)
    ids, mask = make_prompt([2, 5, 3])
    rng = np.random.default_rng(0)
    encoder = {
        "encoder_hidden_state": rng.standard_normal((3, 4, 18)).astype(np.float32),
        "encoder_attention_mask": [[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0]],
    }
    results = [
        m.generate(ids, mask, max_new_tokens=6, **encoder, **options) for m in (model, reference)
    ]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda o: o["strategy"])
def test_each_row_attends_to_its_own_encoder_output(options):
    model = make_model(1, use_cross_attention=True)
    ids, mask = make_prompt([2, 5, 3])
    states = np.random.default_rng(0).standard_normal((3, 4, 18))
    limits = {"max_new_tokens": 8, "eos_token_id": EOS}
    result = model.generate(ids, mask, encoder_hidden_state=states, **limits, **options)
    for row in range(3):
        one = slice(row, row + 1)
        own = options | ({"seed": options["seed"][one]} if "seed" in options else {})
        alone = model.generate(
            ids[one], mask[one], encoder_hidden_state=states[one], **limits, **own
        )
        assert up_to_end(result[row, 5:], EOS) == up_to_end(alone[0, 5:], EOS)
