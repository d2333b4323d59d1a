"""LoRA adapters of peft's, saved by it and merged by it, against ours."""

from __future__ import annotations

import numpy as np
import pytest
from support import FLOAT64

import pyroberta

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
]
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "type_vocab_size": 1,
    "num_labels": 3,
    "pad_token_id": 1,
    "initializer_range": 0.4,
}
ATTENTION = ["query", "value"]
# The model's class, the base's, peft's options.
CASES = {
    "plain": ("Model", {"target_modules": ATTENTION}),
    "one layer": ("Model", {"target_modules": ATTENTION, "layers_to_transform": [1]}),
    "by a pattern": ("Model", {"target_modules": r".*layer\.1.*dense"}),
    "rslora": ("Model", {"target_modules": ATTENTION, "use_rslora": True}),
    "ranks": ("Model", {"target_modules": ATTENTION, "rank_pattern": {"query": 2}}),
    "alphas": (
        "Model",
        {"target_modules": ATTENTION, "alpha_pattern": {r"layer\.0\..*query": 32, "value": 1}},
    ),
    "both": (
        "Model",
        {
            "target_modules": ATTENTION,
            "rank_pattern": {"query": 2, "layer.1.attention.self.value": 5},
            "alpha_pattern": {"value": 3},
            "use_rslora": True,
        },
    ),
    "all biases": ("Model", {"target_modules": ATTENTION, "bias": "all"}),
    "own biases": ("Model", {"target_modules": ["dense"], "bias": "lora_only"}),
    "a bias of B": ("Model", {"target_modules": ["query"], "lora_bias": True}),
    "fan_in_fan_out": ("Model", {"target_modules": ["key"], "fan_in_fan_out": True}),
    "the word table": ("Model", {"target_modules": ["word_embeddings", "query"]}),
    "positions": ("Model", {"target_modules": ["position_embeddings"]}),
    "modules saved": (
        "Model",
        {"target_modules": ATTENTION, "modules_to_save": ["pooler", "LayerNorm"]},
    ),
    "sequence": ("ForSequenceClassification", {"task_type": "SEQ_CLS"}),
    "tokens": ("ForTokenClassification", {"task_type": "TOKEN_CLS"}),
    "answers": ("ForQuestionAnswering", {"task_type": "QUESTION_ANS"}),
    "choices": (
        "ForMultipleChoice",
        {"target_modules": ATTENTION, "modules_to_save": ["classifier"]},
    ),
    "words": ("ForMaskedLM", {"target_modules": ["query", "lm_head.dense"]}),
    "gaussian": ("Model", {"target_modules": ATTENTION, "init_lora_weights": "gaussian"}),
}


@pytest.mark.parametrize("where", ["named", "alone"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_merged_is_what_peft_merges(case, where, tmp_path):
    head, options = CASES[case]
    torch.manual_seed(len(case))
    labels = 2 if head == "ForQuestionAnswering" else 3
    config = transformers.RobertaConfig(**(SIZES | {"num_labels": labels}))
    # A classifier is often trained on a checkpoint that has another head.
    of_base = "ForMaskedLM" if options.get("task_type") else head
    transformers.set_seed(3)
    getattr(transformers, f"Roberta{of_base}")(config).save_pretrained(tmp_path / "base")
    cls = getattr(transformers, f"Roberta{head}")
    model = cls.from_pretrained(tmp_path / "base", num_labels=labels)
    options = {"r": 4, "lora_alpha": 10} | options
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**options))
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad or "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    wrapped.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    wrapped.save_pretrained(tmp_path / "adapter")
    fresh = cls.from_pretrained(tmp_path / "base", num_labels=labels).double()
    theirs = peft.PeftModel.from_pretrained(fresh, tmp_path / "adapter").double()
    exact = theirs.merge_and_unload(safe_merge=True).eval()
    path, own = tmp_path / "base", {"adapter": tmp_path / "adapter"}
    if where == "alone":
        path, own = tmp_path / "adapter", {}
    ours = getattr(pyroberta, f"Roberta{head}")
    if where == "alone" and options.get("task_type"):
        assert type(pyroberta.from_pretrained(path)) is ours
    ids = np.array([[0, 5, 6, 7, 2], [0, 9, 8, 39, 2]])
    if head == "ForMultipleChoice":
        ids = ids[None]
    with torch.no_grad():
        want = exact(input_ids=torch.tensor(ids))
    # Tables, and a head's weight, are kept in float32, whatever they are read in.
    has_table = case in ("the word table", "positions", "words")
    for loaded, tolerance in (({}, 1e-5), (FLOAT64, 1e-6 if has_table else 1e-9)):
        got = ours.from_pretrained(path, **own, **loaded)(ids)
        names = ("logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
        count = 0
        for name in names:
            one, two = getattr(got, name, None), getattr(want, name, None)
            if two is not None:
                count += 1
                np.testing.assert_allclose(one, two.numpy(), atol=tolerance)
        assert count > 0
    weights = dict(exact.named_parameters())
    merged = ours.from_pretrained(path, **own)
    merged.save_pretrained(tmp_path / "merged")
    again = cls.from_pretrained(tmp_path / "merged")
    for name, tensor in again.named_parameters():
        np.testing.assert_allclose(
            tensor.detach().numpy(), weights[name].detach().numpy(), atol=1e-6, rtol=0
        )


KINDS = {
    "dora": {"use_dora": True},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "tokens": {"trainable_token_indices": [3]},
}


@pytest.mark.parametrize("kind", [*KINDS, "ia3", "lokr"])
def test_other_kinds_are_refused(kind, tmp_path):
    model = transformers.RobertaModel(transformers.RobertaConfig(**SIZES))
    model.save_pretrained(tmp_path / "base")
    if kind == "ia3":
        config = peft.IA3Config(target_modules=["key"], feedforward_modules=[])
    elif kind == "lokr":
        config = peft.LoKrConfig(target_modules=["key"])
    else:
        config = peft.LoraConfig(target_modules=["key"], **KINDS[kind])
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(pyroberta.CheckpointError, match=r"adapter_config\.json must be"):
        pyroberta.from_pretrained(tmp_path / "base", adapter=tmp_path / "adapter")
