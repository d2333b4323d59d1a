"""One cache: by one call at a time, and as it was after a call that failed."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest

import pyroberta
from pyroberta import InputError

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "num_blocks": 2,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_positions": 40,
    "initializer_range": 0.3,
}


def make(**changes: Any) -> pyroberta.RobertaForCausalLM:
    config = pyroberta.RobertaConfig(**SIZES | changes)
    return pyroberta.RobertaForCausalLM.from_config(config, seed=0)


def test_of_two_threads_one_appends_and_the_other_is_refused():
    model, interval = make(), sys.getswitchinterval()
    want = {t: model([[0, 5, 6, t, 11]]).logits[0, -1] for t in (7, 9)}
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(60):
            cache = model([[0, 5, 6]], cache=model.init_cache(1, 16)).cache
            meet, after, refused = threading.Barrier(2), {}, []

            def append(
                token: int,
                cache: Any = cache,
                meet: Any = meet,
                after: Any = after,
                no: Any = refused,
            ) -> None:
                meet.wait()
                try:
                    after[token] = model([[token]], cache=cache).cache
                except InputError as error:
                    no.append(str(error))

            threads = [threading.Thread(target=append, args=(token,)) for token in (7, 9)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(after) == 1
            assert refused[0].startswith("cache must be ")
            ((token, following),) = after.items()
            logits = model([[11]], cache=following).logits[0, 0]
            np.testing.assert_array_equal(logits, want[token])
    finally:
        sys.setswitchinterval(interval)


class Fails(Exception):
    """Of a test."""


@pytest.mark.parametrize("error", [Fails, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("after", ["nothing", "the blocks"])
def test_a_call_that_fails_leaves_its_cache_as_it_was(error, after, monkeypatch):
    model = make()
    want = model([[0, 5, 6, 7, 8]]).logits[:, 3:]
    cache = model([[0, 5, 6]], cache=model.init_cache(1, 16)).cache
    run = type(model)._run

    def fail(*args: Any, **options: Any) -> Any:
        if after == "the blocks":
            run(*args, **options)
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(type(model), "_run", fail)
        with pytest.raises(error):
            model([[9, 10]], cache=cache)
    np.testing.assert_array_equal(model([[7, 8]], cache=cache).logits, want)
    with pytest.raises(InputError, match="cache must be the newest of its calls"):
        model([[7, 8]], cache=cache)


def test_a_call_that_fails_leaves_no_encoder_in_its_cache(monkeypatch):
    model = make(use_cross_attention=True)
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((1, 3, 32)).astype(np.float32) for _ in range(2))
    cache = model.init_cache(1, 16)

    def fail(*args: Any, **options: Any) -> Any:
        raise Fails

    with monkeypatch.context() as patched:
        patched.setattr(type(model), "_run", fail)
        with pytest.raises(Fails):
            model([[0, 5]], cache=cache, encoder_hidden_state=first)
    got = model([[0, 5]], cache=cache, encoder_hidden_state=second).logits
    np.testing.assert_array_equal(got, model([[0, 5]], encoder_hidden_state=second).logits)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_encoders_output_given_again_in_another_dtype_is_the_same(dtype):
    model = make(use_cross_attention=True)
    state = np.random.default_rng(0).integers(-8, 8, (2, 3, 32)).astype(np.float32)
    want = model([[0, 5, 7], [0, 6, 8]], encoder_hidden_state=state).logits[:, 2:]
    ids, cache = [[0, 5], [0, 6]], model.init_cache(2, 8)
    cache = model(ids, cache=cache, encoder_hidden_state=state).cache
    again = model([[7], [8]], cache=cache, encoder_hidden_state=state.astype(dtype))
    np.testing.assert_array_equal(again.logits, want)


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 31), (1, 0, 5)])
def test_another_encoders_output_than_the_caches_is_refused(place):
    model = make(use_cross_attention=True)
    state = np.random.default_rng(0).integers(-8, 8, (2, 3, 32)).astype(np.float32)
    cache = model([[0, 5], [0, 6]], cache=model.init_cache(2, 8), encoder_hidden_state=state).cache
    state[place] += 1
    with pytest.raises(InputError, match="encoder_hidden_state must be the one in the cache"):
        model([[7], [8]], cache=cache, encoder_hidden_state=state)
