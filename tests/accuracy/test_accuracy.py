"""The accuracy report on texts: its numbers, by labels, words, pairs and numbers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from accuracy.cases import LABELS, PAIRS, SCORES, TEXTS, pair_lines, write
from support import needs_core

import pyroberta
from pyroberta import RobertaConfig, pipeline
from pyroberta.accuracy import AccuracyReport, Measurement, Thresholds, compare, texts
from pyroberta.accuracy.examples import ExampleReader, read_examples
from pyroberta.shipped import SHIPPED
from pyroberta.text import Tokenizer
from pyroberta.text.sentence_folder import SentenceFolder

pytest.importorskip("tokenizers")

MASKED = ["He wrote a long <mask>.", "A dog.", "A <mask> of <mask>."]


def open_both(folder, **options):
    """The exact model, that in float32, and the tokenizer."""
    exact = pyroberta.from_pretrained(
        folder, backend="reference", compute_type="float64", **options
    )
    native = pyroberta.from_pretrained(folder, **options)
    return exact, native, Tokenizer.from_pretrained(folder, config=exact.config)


@needs_core
def test_the_numbers_are_those_of_the_two_models():
    exact, native, tokenizer = open_both(SHIPPED)
    report = compare(None, TEXTS, ["float32"], batch_tokens=64)
    (found,) = report.types
    errors = [[] for _ in range(8)]
    cosines = [[] for _ in range(7)]
    same = []
    for ids in tokenizer.encode(TEXTS):
        want = exact([ids], output_hidden_states=True)
        got = native([ids], output_hidden_states=True)
        for n in range(7):
            x, y = got.hidden_states[n][0].astype(np.float64), want.hidden_states[n][0]
            errors[n].append(np.abs(x - y))
            norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
            cosines[n].append((x * y).sum(axis=1) / norms)
        errors[7].append(np.abs(got.logits[0].astype(np.float64) - want.logits[0]))
        same.append(got.logits[0].argmax(axis=1) == want.logits[0].argmax(axis=1))
    for n, one in enumerate((*found.hidden_states, found.logits)):
        flat = np.concatenate([e.ravel() for e in errors[n]])
        assert one.max_error == pytest.approx(flat.max(), rel=1e-6)
        assert one.mean_error == pytest.approx(flat.mean(), rel=1e-6)
        if n < 7:
            assert one.mean_cosine == pytest.approx(np.concatenate(cosines[n]).mean(), abs=1e-12)
    assert found.agreement == np.concatenate(same).mean() == 1
    assert found.decisions == report.tokens == sum(map(len, tokenizer.encode(TEXTS)))
    assert (report.texts, report.model_class) == (4, "RobertaForMaskedLM")
    assert (report.model, report.against) == (str(SHIPPED), "float64")
    assert report.version == pyroberta.__version__
    assert report.score is report.score_name is found.score is found.vectors is None
    assert report.broken == ()


def test_the_words_at_the_masks_are_compared_where_there_are_masks():
    _, _, tokenizer = open_both(SHIPPED)
    (found,) = compare(None, MASKED, ["float32"]).types
    assert found.decisions == 1 + len(tokenizer.encode_one(MASKED[1])) + 2


def test_the_word_at_a_mask_is_scored(rough):
    prompts = json.loads((SHIPPED / "prompts.json").read_text())
    lines = [{"text": one["text"], "label": one["expected"]} for one in prompts]
    report = compare(None, lines)
    assert [one.compute_type for one in report.types] == ["float32", "rough"]
    fill = pipeline("fill-mask", backend="reference", compute_type="float64", top_k=1)
    words = [answers[0]["token_str"] for answers in fill([one["text"] for one in prompts])]
    right = sum(a == one["expected"] for a, one in zip(words, prompts, strict=True))
    assert report.score_name == "accuracy"
    assert report.score == right / len(prompts)
    assert report.types[0].score_change == 0
    assert report.types[1].score == report.score + report.types[1].score_change
    assert report.types[1].agreement < 1


def test_several_masks_have_a_list_of_words():
    line = {"text": "The <mask> and the <mask>.", "label": ["king", " man"]}
    report = compare(None, [line])
    assert report.score in (0, 0.5, 1)
    tokenizer = Tokenizer.from_pretrained(SHIPPED, config=RobertaConfig.from_pretrained(SHIPPED))
    (example,) = read_examples([line])
    config = RobertaConfig.from_pretrained(SHIPPED)
    reader = ExampleReader(
        pyroberta.RobertaForMaskedLM,
        config,
        tokenizer,
        SentenceFolder(transformer=SHIPPED),
        example,
    )
    (row,) = reader.rows(example, 0)
    assert [tokenizer.id_to_token(one) for one in row.gold] == ["Ġking", "Ġman"]


@pytest.mark.parametrize("named", [True, False])
def test_rows_are_scored_by_their_labels(make_model, rough, named):
    folder = make_model("RobertaForSequenceClassification")
    exact, _, tokenizer = open_both(folder)
    chosen = [int(exact([ids]).logits.argmax()) for ids in tokenizer.encode(TEXTS)]
    gold = [chosen[0], chosen[1], chosen[2], (chosen[3] + 1) % 3]
    lines = [
        {"text": text, "label": LABELS[label] if named else label}
        for text, label in zip(TEXTS, gold, strict=True)
    ]
    report = compare(folder, lines)
    assert (report.score, report.score_name) == (0.75, "accuracy")
    good, _ = report.types
    assert (good.score, good.score_change, good.agreement, good.decisions) == (0.75, 0, 1, 4)


def test_a_pair_is_one_row_for_a_head(make_model):
    folder = make_model("RobertaForSequenceClassification")
    exact, native, tokenizer = open_both(folder)
    report = compare(folder, [{"text": "A dog.", "text_pair": "A cat."}], ["float32"])
    ids = tokenizer.encode_one(("A dog.", "A cat."))
    assert (report.texts, report.tokens) == (1, len(ids))
    error = np.abs(native([ids]).logits.astype(np.float64) - exact([ids]).logits).max()
    assert report.types[0].logits.max_error == pytest.approx(error, rel=1e-6)


def test_tokens_are_scored_by_theirs(make_model):
    folder = make_model("RobertaForTokenClassification")
    exact, _, tokenizer = open_both(folder)
    ids = tokenizer.encode_one(TEXTS[0])
    chosen = exact([ids]).logits[0].argmax(axis=1).tolist()
    labels = [None, *(LABELS[one] for one in chosen[1:-1]), -100]
    labels[1] = LABELS[(chosen[1] + 1) % 3]
    report = compare(folder, [{"text": TEXTS[0], "label": labels}], ["float32"])
    assert report.score == (len(ids) - 3) / (len(ids) - 2)
    assert report.types[0].decisions == len(ids)


def test_a_list_of_labels_for_several_at_once(make_model):
    folder = make_model(
        "RobertaForSequenceClassification", problem_type="multi_label_classification"
    )
    exact, _, tokenizer = open_both(folder)
    on = [exact([ids]).logits[0] > 0 for ids in tokenizer.encode(TEXTS)]
    lines = [
        {"text": text, "label": [LABELS[n] for n in np.flatnonzero(row)]}
        for text, row in zip(TEXTS, on, strict=True)
    ]
    lines[0]["label"] = [n for n in range(3) if not on[0][n]]
    report = compare(folder, lines, ["float32"])
    assert report.score == 9 / 12
    assert report.types[0].decisions == 12


def test_start_and_end_of_an_answer_are_compared(make_model):
    folder = make_model("RobertaForQuestionAnswering")
    report = compare(folder, [{"text": "Who?", "text_pair": "A dog."}, "A cat."], ["float32"])
    assert report.types[0].decisions == 4
    assert report.types[0].logits.max_error > 0


def likeness(folder, pairs, **options):
    embed = pipeline("sentence-embedding", folder, **options)
    first, second = (embed([pair[i] for pair in pairs]).astype(np.float64) for i in (0, 1))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / norms


def spearman(x, y):
    """For values without ties."""
    ranks = [np.argsort(np.argsort(one)) for one in (x, y)]
    return pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)


@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [(None, None), (None, "cls"), ("base", "cls"), ("for_causal_language_modeling", None)],
)
def test_pairs_are_scored_by_their_likeness(architecture, pooling):
    done = []
    report = compare(
        None,
        pair_lines(),
        ["float32"],
        architecture=architecture,
        pooling=pooling,
        batch_tokens=12,
        progress=lambda *counts: done.append(counts),
    )
    assert (report.score_name, report.texts) == ("spearman", 10)
    assert done[-1] == (10, 10)
    options = {} if pooling is None else {"pooling": pooling}
    if architecture != "for_causal_language_modeling":
        values = likeness(SHIPPED, PAIRS, **options)
        assert report.types[0].score == spearman(values, SCORES)
    assert report.types[0].vectors.max_error < 1e-5
    assert report.types[0].vectors.mean_cosine == pytest.approx(1)
    assert (report.types[0].logits is None) == (architecture == "base")


def test_a_sentence_transformers_folder_says_how_vectors_are_made(tmp_path, rough):
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        shutil.copy(SHIPPED / name, tmp_path)
    steps = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1"},
    ]
    write(tmp_path / "modules.json", [json.dumps(steps)])
    (tmp_path / "1").mkdir()
    write(tmp_path / "1" / "config.json", [{"pooling_mode_max_tokens": True}])
    write(tmp_path / "sentence_bert_config.json", [{"do_lower_case": True, "max_seq_length": 9}])
    report = compare(tmp_path, pair_lines())
    assert (report.model_class, report.texts) == ("RobertaModel", 10)
    assert report.types[0].score == spearman(likeness(tmp_path, PAIRS), SCORES)
    assert (
        max(len(row) for row in pipeline("sentence-embedding", tmp_path).tokenizer.encode(TEXTS))
        == 9
    )
    exact = pipeline("sentence-embedding", tmp_path, backend="reference", compute_type="float64")
    embed = pipeline("sentence-embedding", tmp_path)
    both = compare(tmp_path, TEXTS, ["float32"])
    assert both.tokens == sum(map(len, embed.tokenizer.encode(TEXTS)))
    capitals = compare(tmp_path, ["THE KING."], ["float32"])
    assert capitals.tokens == len(embed.tokenizer.encode_one("the king."))
    plain = pipeline("sentence-embedding").tokenizer
    assert capitals.tokens < len(plain.encode_one("THE KING."))
    error = np.abs(embed(TEXTS) - exact(TEXTS).astype(np.float64)).max()
    # The pipeline rounds its vectors to float32.
    assert both.types[0].vectors.max_error == pytest.approx(error, abs=1e-6)
    # As a checkpoint it has a head.
    named = compare(tmp_path, TEXTS[:1], architecture="for_masked_language_modeling")
    assert named.model_class == "RobertaForMaskedLM"
    assert named.types[0].vectors is None


def test_a_regression_model_is_scored_by_its_number(make_model):
    folder = make_model("RobertaForSequenceClassification", num_labels=1, id_to_label={})
    exact, _, tokenizer = open_both(folder)
    report = compare(folder, pair_lines(), ["float32"])
    values = [exact([tokenizer.encode_one(pair)]).logits[0, 0] for pair in PAIRS]
    assert report.score == spearman(values, SCORES)
    assert report.texts == 5
    assert report.types[0].agreement is None


def test_against_float32_is_against_the_native_type(rough):
    report = compare(None, TEXTS, against="float32")
    assert [one.compute_type for one in report.types] == ["rough"]
    itself = compare(None, TEXTS, ["float32"], against="float32").types[0]
    assert itself.worst_error.max_error == 0
    assert itself.worst_cosine.mean_cosine == pytest.approx(1, abs=1e-12)
    assert itself.agreement == 1


def test_where_there_is_one_type_it_is_compared_with_itself(monkeypatch):
    monkeypatch.setattr(texts, "COMPUTE_TYPES", ("float32",))
    report = compare(None, TEXTS[:1], against="float32")
    assert [one.compute_type for one in report.types] == ["float32"]


@needs_core
def test_batches_and_windows_change_no_count():
    lines = [{"text": text, "label": "house"} for text in ["A <mask>."] * 30]
    small = compare(None, lines, ["float32"], batch_tokens=1)
    large = compare(None, lines, ["float32"])
    assert small.types[0].decisions == large.types[0].decisions == 30
    assert small.score == large.score
    assert small.types[0].worst_error.max_error == pytest.approx(
        large.types[0].worst_error.max_error, rel=1e-6
    )


def test_rows_are_read_some_batches_at_a_time(monkeypatch):
    sizes = []
    add = Measurement.add
    monkeypatch.setattr(Measurement, "add", lambda m, rows: (sizes.append(len(rows)), add(m, rows)))
    lines = [{"text": "A dog.", "text_pair": "A cat.", "score": n} for n in range(30)]
    report = compare(None, lines, ["float32"], architecture="base", batch_tokens=13)
    assert report.texts == sum(sizes) == 60
    assert len(sizes) > 3
    assert all(size % 2 == 0 for size in sizes)


def test_limit_takes_the_first_texts():
    assert compare(None, TEXTS, ["float32"], limit=2).texts == 2
    assert compare(None, TEXTS, ["float32"], limit=99).texts == 4


def test_thresholds_are_held_to(rough):
    report = compare(None, TEXTS, thresholds=Thresholds(max_error=1e-3, min_agreement=1))
    assert [line.split(" must")[0] for line in report.broken] == [
        "error of rough",
        "agreement of rough",
    ]
    worst = report.types[1].worst_error
    assert f"not {worst.max_error!r} ({worst.name})" in report.broken[0]


def test_the_names_of_the_library_are_those_of_its_docstring():
    assert isinstance(compare(None, ["The king lived in a <mask>."]), AccuracyReport)


@pytest.mark.parametrize("embedding_type", ["float16", "int8"])
def test_the_word_table_alone_is_compared_in_fewer_bits(embedding_type, make_model):
    folder = make_model("RobertaForSequenceClassification")
    texts = ["one", "two words", "three words here"]
    report = compare(folder, texts, ["float32"], against="float32", embedding_type=embedding_type)
    assert report.embedding_type == embedding_type
    assert f"words in {embedding_type}" in str(report)
    assert report.types[0].worst_error.max_error > 0
    with pytest.raises(pyroberta.ConfigError, match="embedding_type must be"):
        compare(folder, texts, embedding_type="int4")
