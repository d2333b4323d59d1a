"""Each change of the logits by its formula, and as transformers' processor of like name does it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pyroberta.generation import GenerationOptions, processors
from pyroberta.generation.rows import Rows
from pyroberta.logits import log_softmax, softmax

INF = np.inf


def make_rows(ids, *, prompts=None, least=0, most=100):
    """Rows that hold ``ids``, of which ``prompts`` tokens were there at the start."""
    lengths = np.array([len(row) for row in ids])
    tokens = np.zeros((len(ids), max(lengths) + 1), np.int64)
    for row, own in enumerate(ids):
        tokens[row, : len(own)] = own
    rows = Rows(tokens, lengths, np.full(len(ids), least), np.full(len(ids), most))
    rows.prompts = lengths if prompts is None else np.array(prompts)
    return rows


def test_repetition_is_penalised_once_and_towards_less():
    logits = np.array([[2.0, -2.0, 1.0, -1.0], [2.0, -2.0, 1.0, -1.0]])
    ids = [np.array([0, 1, 0]), np.array([3])]
    result = processors.penalise_repetition(ids, logits, 2.0)
    assert result.tolist() == [[1.0, -4.0, 1.0, -1.0], [2.0, -2.0, 1.0, -2.0]]
    assert logits[0, 0] == 2.0, "the argument is left alone"


@pytest.mark.parametrize(
    ("ids", "length", "forbidden"),
    [
        ([1, 2, 3, 1, 2], 3, [3]),
        ([1, 2, 3, 1, 2, 0, 1, 2], 3, [0, 3]),
        ([1, 2, 3], 2, []),
        ([1, 1], 2, [1]),
        ([1, 2], 3, []),
        ([2, 3], 1, [2, 3]),
    ],
)
def test_no_run_is_completed_a_second_time(ids, length, forbidden):
    result = processors.forbid_repeated_ngrams([np.array(ids)], np.zeros((1, 4)), length)
    assert np.flatnonzero(result[0] == -INF).tolist() == forbidden


def test_the_most_probable_tokens_are_kept():
    logits = np.log([[0.5, 0.2, 0.2, 0.1]])
    kept = {k: (processors.keep_top_k(logits, k) > -INF)[0].tolist() for k in (1, 2, 4)}
    assert kept[1] == [True, False, False, False]
    assert kept[2] == [True, True, True, False], "equals of the last one stay"
    assert kept[4] == [True] * 4
    for p, wanted in ((0.4, 1), (0.6, 2), (0.8, 3), (0.95, 4), (1e-9, 1)):
        assert (processors.keep_top_p(logits, p) > -INF).sum() == wanted
    assert processors.keep_top_k(logits.astype(np.float32), 2).dtype == np.float32
    assert processors.keep_top_p(logits.astype(np.float32), 0.5).dtype == np.float32


def test_probabilities_hold_for_large_logits():
    logits = np.array([[1000.0, 999.0, -1000.0, -INF]], np.float32)
    p = np.array([[1.0, np.exp(-1), 0, 0]]) / (1 + np.exp(-1))
    np.testing.assert_allclose(softmax(logits), p, atol=1e-15)
    with np.errstate(divide="ignore"):
        wanted = np.array([[0.0, -1.0, -2000, -INF]]) - np.log1p(np.exp(-1))
    np.testing.assert_allclose(log_softmax(logits), wanted)


def test_nothing_asked_for_changes_nothing():
    from pyroberta import RobertaConfig

    options = GenerationOptions().settle(RobertaConfig(vocab_size=8))
    logits = np.random.default_rng(0).standard_normal((2, 8))
    assert processors.Processors(options)(make_rows([[3], [4, 5]]), logits) is logits


CASES = [
    ("RepetitionPenaltyLogitsProcessor", (1.3,), {"repetition_penalty": 1.3}),
    ("RepetitionPenaltyLogitsProcessor", (0.7,), {"repetition_penalty": 0.7}),
    ("NoRepeatNGramLogitsProcessor", (1,), {"no_repeat_ngram_length": 1}),
    ("NoRepeatNGramLogitsProcessor", (2,), {"no_repeat_ngram_length": 2}),
    ("NoRepeatNGramLogitsProcessor", (3,), {"no_repeat_ngram_length": 3}),
    ("MinLengthLogitsProcessor", (9, [2, 5]), {"min_length": 9, "eos_token_id": [2, 5]}),
    ("MinNewTokensLengthLogitsProcessor", (3, 7, [2]), {"min_new_tokens": 7}),
    ("ForcedBOSTokenLogitsProcessor", (4,), {"forced_bos_token_id": 4}),
    ("ForcedEOSTokenLogitsProcessor", (9, 4), {"forced_eos_token_id": 4}),
    ("SuppressTokensLogitsProcessor", ([3, 9],), {"suppressed_token_ids": [3, 9]}),
    ("TemperatureLogitsWarper", (0.6,), {"strategy": "sampling", "temperature": 0.6}),
    ("TopKLogitsWarper", (3,), {"strategy": "sampling", "top_k": 3}),
    ("TopPLogitsWarper", (0.6,), {"strategy": "sampling", "top_p": 0.6}),
    ("TopPLogitsWarper", (0.01,), {"strategy": "sampling", "top_p": 0.01}),
]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "args", "options"), CASES)
@pytest.mark.parametrize("length", [1, 8, 9, 10])
def test_as_transformers_does(name, args, options, length):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():  # what the library warns of at import is not ours to mend
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("transformers.generation.logits_process")
    from pyroberta import RobertaConfig

    config = RobertaConfig(vocab_size=12)
    ours = processors.Processors(GenerationOptions(**options).settle(config))
    theirs = getattr(peer, name)(*args)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ids = rng.integers(0, 12, (4, length))
        logits = 3 * rng.standard_normal((4, 12))
        least = 3 + options["min_new_tokens"] if "min_new_tokens" in options else 0
        least = options.get("min_length", least)
        rows = make_rows(list(ids), prompts=[3] * 4, least=least, most=9)
        wanted = theirs(torch.tensor(ids), torch.tensor(logits)).numpy()
        np.testing.assert_allclose(ours(rows, logits), wanted, rtol=1e-14)
