"""Models, caches and pipelines are copied and pickled: the same bits, type and options."""

import concurrent.futures
import copy
import multiprocessing
import operator
import pickle

import numpy as np
import pytest

from pyroberta import (
    InputError,
    RobertaConfig,
    RobertaEncoderDecoder,
    RobertaForCausalLM,
    RobertaForMaskedLM,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaModel,
    from_pretrained,
    pipeline,
)

CONFIG = RobertaConfig(
    vocab_size=100,
    num_blocks=2,
    hidden_size=64,
    num_attention_heads=4,
    intermediate_size=128,
    max_positions=66,
    initializer_range=0.3,
    num_labels=3,
    id_to_label={0: "a", 1: "b", 2: "c"},
)
IDS = [[0, 5, 6, 2], [0, 7, 2, 9]]
CLASSES = [
    RobertaModel,
    RobertaForMaskedLM,
    RobertaForCausalLM,
    RobertaForSequenceClassification,
    RobertaForQuestionAnswering,
]
COPIES = [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]


def same(one, other) -> bool:
    """Whether two models give the same bits."""
    assert type(one) is type(other)
    assert (one.compute_type, one.backend) == (other.compute_type, other.backend)
    assert one.config == other.config
    outputs = [model(IDS) for model in (one, other)]
    arrays = [[v for v in vars(out).values() if isinstance(v, np.ndarray)] for out in outputs]
    return bool(arrays[0]) and all(map(np.array_equal, *arrays))


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_new_model(cls, copied):
    for options in ({}, {"compute_type": "int8"}, {"backend": "reference"}):
        model = cls.from_config(CONFIG, seed=3, **options)
        assert same(copied(model), model)


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_model_of_a_folder(cls, copied, tmp_path, monkeypatch):
    cls.from_config(CONFIG, seed=3).save_pretrained(tmp_path / "model")
    from_pretrained(tmp_path / "model", compute_type="bfloat16").save_packed(tmp_path / "packed")
    monkeypatch.chdir(tmp_path)
    for path, options in (
        ("model", {}),
        ("model", {"compute_type": "int8", "memory_map": False}),
        ("model", {"backend": "reference", "compute_type": "float64", "dropout_rate": 0.5}),
        ("packed", {}),
    ):
        model = from_pretrained(path, **options)
        monkeypatch.chdir("/")  # a pickle is opened in another folder
        assert same(copied(model), model)
        monkeypatch.chdir(tmp_path)


def test_a_pickle_of_a_folder_is_small_and_one_of_a_new_model_has_its_weights(tmp_path):
    model = RobertaModel.from_config(CONFIG, seed=0)
    model.save_pretrained(tmp_path)
    assert len(pickle.dumps(from_pretrained(tmp_path))) < 1000
    assert len(pickle.dumps(model)) > 100_000


def test_a_deep_copy_shares_the_weights_and_needs_no_file(tmp_path):
    model = RobertaModel.from_config(CONFIG, seed=0)
    model.save_pretrained(tmp_path)
    opened = from_pretrained(tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    assert same(copy.deepcopy(opened), model)
    assert same(copy.deepcopy({"a": [opened]})["a"][0], model)


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_an_encoder_and_decoder(copied, tmp_path):
    encoder = RobertaModel.from_config(CONFIG, seed=0)
    decoder = RobertaForCausalLM.from_config(
        RobertaConfig.from_hf(CONFIG.to_hf() | {"add_cross_attention": True}), seed=1
    )
    model = RobertaEncoderDecoder(encoder, decoder, decoder_start_token_id=0)
    ask = {"max_new_tokens": 4, "eos_token_id": ()}
    assert np.array_equal(copied(model).generate(IDS, **ask), model.generate(IDS, **ask))


@pytest.mark.parametrize("cross", [False, True])
def test_a_copied_cache_goes_on_by_itself(cross):
    config = RobertaConfig.from_hf(CONFIG.to_hf() | {"add_cross_attention": cross})
    model = RobertaForCausalLM.from_config(config, seed=0)
    encoder = {"encoder_hidden_state": np.ones((1, 3, 64), np.float32)} if cross else {}
    cache = model([[0, 5, 6]], cache=model.init_cache(1, 8), **encoder).cache
    branches = [copy.deepcopy(cache) for _ in range(3)]
    # All branches one token each, then all one more: none writes where another one reads.
    for step in range(2):
        for n, token in enumerate((7, 8, 9)):
            output = model([[token]], cache=branches[n])
            wanted = model([[0, 5, 6, *[token] * (step + 1)]], **encoder).logits[0, -1]
            assert np.array_equal(output.logits[0, 0], wanted)
            branches[n] = output.cache
    assert model([[11]], cache=cache).cache is not None
    with pytest.raises(InputError, match="cache must be used in the process that made it"):
        pickle.dumps(model.init_cache(1, 8))


@pytest.mark.parametrize("copied", [copy.deepcopy, COPIES[2]], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("task", ["fill-mask", "sentence-embedding"])
def test_a_pipeline_and_its_tokenizer(task, copied):
    pytest.importorskip("tokenizers")
    whole = pipeline(task)
    text = "The capital of France is <mask>."
    again = copied(whole)
    one, other = whole(text), again(text)
    assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    tokenizer = copied(whole.tokenizer)
    assert str(tokenizer.encode([text])) == str(whole.tokenizer.encode([text]))


def test_a_model_goes_to_spawned_processes(tmp_path):
    model = RobertaModel.from_config(CONFIG, seed=0)
    model.save_pretrained(tmp_path)
    ask = operator.methodcaller("__call__", IDS)  # a spawned process cannot import this file
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as pool:
        for got in pool.map(ask, [model, from_pretrained(tmp_path)]):
            assert np.array_equal(got.last_hidden_state, ask(model).last_hidden_state)
