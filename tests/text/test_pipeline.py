"""pipeline: which model and tokenizer a task gets, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from text.models import save

import pyroberta
from pyroberta import ConfigError, RobertaForMaskedLM, RobertaModel
from pyroberta.shipped import SHIPPED
from pyroberta.text import (
    FeatureExtraction,
    FillMask,
    MultipleChoice,
    QuestionAnswering,
    SentenceEmbedding,
    TextClassification,
    TextGeneration,
    TextRanking,
    TokenClassification,
    Tokenizer,
    pipeline,
)

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def model():
    return RobertaForMaskedLM.from_pretrained(SHIPPED)


@pytest.fixture(scope="module")
def tokenizer(model):
    return Tokenizer.from_pretrained(SHIPPED, config=model.config)


@pytest.mark.parametrize(
    ("task", "kind", "model"),
    [
        ("fill-mask", FillMask, RobertaForMaskedLM),
        ("feature-extraction", FeatureExtraction, RobertaModel),
        ("sentence-embedding", SentenceEmbedding, RobertaModel),
    ],
)
def test_each_task_runs_without_a_model(task, kind, model):
    made = pyroberta.pipeline(task)
    assert type(made) is kind
    assert type(made.model) is model


def test_an_unknown_task_is_refused_with_the_list():
    message = "task must be one of fill-mask, feature-extraction, .*not 'summarization'"
    with pytest.raises(ConfigError, match=message):
        pipeline("summarization")


def test_a_loaded_model_answers_as_its_folder_does(model, tokenizer):
    text = "The king lived in a large <mask>."
    wanted = pipeline("fill-mask", SHIPPED)(text)
    assert pipeline("fill-mask", model, tokenizer=tokenizer)(text) == wanted
    assert pipeline("fill-mask", model, tokenizer=SHIPPED)(text) == wanted
    assert pipeline("fill-mask", str(SHIPPED))(text) == wanted


def test_a_loaded_model_needs_a_tokenizer(model):
    with pytest.raises(ConfigError, match="tokenizer must be given with a loaded model"):
        pipeline("fill-mask", model)


def test_a_loaded_model_of_another_class_is_refused(model, tokenizer):
    with pytest.raises(
        ConfigError, match="must be a RobertaModel for feature-extraction, not a RobertaForMaskedLM"
    ):
        pipeline("feature-extraction", model, tokenizer=tokenizer)


def test_a_loaded_model_takes_no_options_of_loading(model, tokenizer):
    with pytest.raises(ConfigError, match="compute_type, backend must be left out for a loaded"):
        pipeline("fill-mask", model, tokenizer=tokenizer, compute_type="float32", backend="native")


def test_a_tokenizer_made_for_another_model_is_refused(model):
    with pytest.raises(ConfigError, match="tokenizer must be made with config= of this model"):
        pipeline("fill-mask", model, tokenizer=Tokenizer.from_pretrained(SHIPPED))


def test_backend_and_compute_type_reach_the_model():
    made = pipeline("fill-mask", backend="reference", compute_type="float64")
    assert (made.model.backend, made.model.compute_type) == ("reference", "float64")
    wanted = pipeline("fill-mask")("a <mask>")
    for ours, other in zip(made("a <mask>"), wanted, strict=True):
        assert ours["token"] == other["token"]
        assert ours["score"] == pytest.approx(other["score"], rel=1e-4)


@pytest.mark.parametrize("model", [3, ["a"], b"x"])
def test_a_model_that_is_neither_path_nor_loaded_is_refused(model):
    with pytest.raises(ConfigError, match="model must be a path or loaded, not"):
        pipeline("fill-mask", model)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="path must be a checkpoint's folder, not"):
        pipeline("fill-mask", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"config\.json must be a file"):
        pipeline("sentence-embedding", tmp_path)


def test_a_wrong_tokenizer_is_told_before_the_weights_are_read(tmp_path):
    shutil.copy(SHIPPED / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must hold tokenizer\.json"):
        pipeline("fill-mask", tmp_path)


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="topk"):
        pipeline("fill-mask", topk=3)


def test_the_core_imports_no_text():
    code = "import sys, pyroberta; print({'tokenizers', 'pyroberta.text', 'tqdm'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


HEADS = {
    "RobertaModel": FeatureExtraction,
    "RobertaForMaskedLM": FillMask,
    "RobertaForSequenceClassification": TextClassification,
    "RobertaForTokenClassification": TokenClassification,
    "RobertaForQuestionAnswering": QuestionAnswering,
    "RobertaForMultipleChoice": MultipleChoice,
    "RobertaForCausalLM": TextGeneration,
}


@pytest.mark.parametrize("name", HEADS)
def test_the_task_is_found_from_the_folder(name, tmp_path):
    folder = save(getattr(pyroberta, name), tmp_path)
    made = [pipeline(folder), pipeline(str(folder)), pipeline(model=folder), pipeline(None, folder)]
    model = pyroberta.from_pretrained(folder)
    made.append(pipeline(model=model, tokenizer=folder))
    for one in made:
        assert type(one) is HEADS[name]
        assert name in repr(one)


@pytest.mark.parametrize("value", [{"activation_fn": "torch.nn.modules.linear.Identity"}, None])
def test_a_folder_of_a_cross_encoder_is_for_ranking(value, tmp_path):
    folder = save(pyroberta.RobertaForSequenceClassification, tmp_path, num_labels=1)
    assert type(pipeline(folder)) is TextClassification
    if value is None:
        settings = {"model_type": "CrossEncoder"}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    else:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"sentence_transformers": value}))
    assert type(pipeline(folder)) is TextRanking


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="path must be a checkpoint's folder"):
        pipeline(tmp_path / "no")
    with pytest.raises(ConfigError, match=r"task must be one of .* or a checkpoint's folder"):
        pipeline()


@pytest.mark.parametrize("task", ["fill-mask", "feature-extraction", "sentence-embedding"])
def test_what_other_libraries_say_of_devices_is_taken(task):
    text = "The king <mask>."
    want = pipeline(task)(text)
    got = pipeline(task, device="cpu", batch_size=8, framework="pt", num_workers=0)(text)
    assert np.array_equal(got, want)
    assert np.array_equal(pipeline(task)(one for one in [text])[0], want)
    with pytest.raises(ConfigError, match="device must be 'cpu', not 'cuda:0'"):
        pipeline(task, device="cuda:0")
