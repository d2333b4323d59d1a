"""The causal model against transformers: decoders with and without cross attention.

The peer in float64 is the oracle, as in test_parity.py, called with ``use_cache=False``.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the parity suite compares with transformers on torch")
pytest.importorskip("transformers", reason="the parity suite compares with transformers")

from parity.cases import ACTIVATION_NAMES
from parity.peer import FAMILIES, randomise, torch, transformers
from support import on_build

import pyroberta
from pyroberta import kernels as door

pytestmark = pytest.mark.parity

COUNT = 88  # each activation four times, twice with cross attention
HEAD_WEIGHTS = [0.0, 0.25, 0.5, 1.0, 2.0]  # powers of two: no rounding in the peer's weights


@dataclasses.dataclass(frozen=True)
class Case:
    """One decoder and one batch for it."""

    seed: int
    family: str
    config: dict[str, Any]
    ids: np.ndarray
    mask: np.ndarray
    encoder: np.ndarray | None  # float32 [batch, encoder tokens, hidden]
    encoder_mask: np.ndarray | None
    head_mask: np.ndarray | None
    cross_head_mask: np.ndarray | None

    def __str__(self) -> str:
        return f"{self.seed}-{self.family}-{self.config['hidden_act']}"


def make_case(seed: int) -> Case:
    rng = np.random.default_rng([20261101, seed])
    heads, pad = int(rng.choice([1, 2, 3])), int(rng.choice([0, 1, 3]))
    batch, tokens = int(rng.integers(1, 4)), int(rng.choice([1, 2, 5, 9, 17]))
    hidden = heads * int(rng.choice([2, 5, 7, 8, 12]))
    blocks, cross = int(rng.integers(1, 4)), seed // len(ACTIVATION_NAMES) % 2 == 1
    config = {
        "vocab_size": int(rng.integers(8, 60)),
        "max_position_embeddings": tokens + pad + 2,
        "type_vocab_size": 1,
        "hidden_size": hidden,
        "num_hidden_layers": blocks,
        "num_attention_heads": heads,
        "intermediate_size": int(rng.choice([3, 8, 21])),
        "hidden_act": ACTIVATION_NAMES[seed % len(ACTIVATION_NAMES)],
        "layer_norm_eps": 1e-5,
        "pad_token_id": pad,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "is_decoder": True,
        "add_cross_attention": cross,
    }
    lengths = rng.integers(1, tokens + 1, batch)
    places = np.arange(tokens)
    left = places >= tokens - lengths[:, None]
    mask = left if seed % 4 < 2 else places < lengths[:, None]
    ids = rng.integers(4, config["vocab_size"], (batch, tokens))
    ids[~mask] = pad
    encoder = encoder_mask = cross_head_mask = head_mask = None
    if cross:
        width = int(rng.integers(1, 8))
        encoder = rng.normal(size=(batch, width, hidden)).astype(np.float32)
        encoder_mask = np.arange(width) < rng.integers(1, width + 1, batch)[:, None]
        if rng.random() < 0.5:
            cross_head_mask = rng.choice(HEAD_WEIGHTS, (blocks, heads))
    if rng.random() < 0.4:
        head_mask = rng.choice(HEAD_WEIGHTS, (blocks, heads))
    family = FAMILIES[seed % 3]
    return Case(seed, family, config, ids, mask, encoder, encoder_mask, head_mask, cross_head_mask)


def test_the_sample_has_each_activation_with_and_without_cross_attention():
    cases = [make_case(seed) for seed in range(COUNT)]
    pairs = {(c.config["hidden_act"], c.encoder is None) for c in cases}
    assert len(pairs) == 2 * len(ACTIVATION_NAMES)
    assert {c.family for c in cases} == set(FAMILIES)


def make_peer(case: Case) -> Any:
    config = getattr(transformers, f"{case.family}Config")(
        **case.config, attn_implementation="eager"
    )
    model = getattr(transformers, f"{case.family}ForCausalLM")(config)
    randomise(model, case.seed)
    return model.eval()


def scale_heads(model: Any, masks: np.ndarray | None, part: str) -> None:
    """The effect of a head mask, in the weights: transformers 5 has none."""
    encoder = getattr(model, model.base_model_prefix).encoder
    for layer, mask in zip(encoder.layer, [] if masks is None else masks, strict=masks is not None):
        weight = getattr(layer, part).output.dense.weight
        columns = np.repeat(mask, weight.shape[1] // len(mask))
        with torch.no_grad():
            weight *= torch.from_numpy(columns).to(weight.dtype)


def call_peer(model: Any, case: Case) -> dict[str, np.ndarray]:
    """Logits, hidden states and both attentions at attended places."""
    inputs = {
        "input_ids": torch.from_numpy(case.ids),
        "attention_mask": torch.from_numpy(case.mask),
    }
    if case.encoder is not None:
        dtype = next(model.parameters()).dtype
        inputs["encoder_hidden_states"] = torch.from_numpy(case.encoder).to(dtype)
        inputs["encoder_attention_mask"] = torch.from_numpy(case.encoder_mask)
    looks = {"output_hidden_states": True, "output_attentions": True, "use_cache": False}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = model(
            **{k: v.long() if v.dtype == torch.bool else v for k, v in inputs.items()}, **looks
        )
    outputs = {"logits": result.logits}
    outputs |= {f"hidden.{i}": h for i, h in enumerate(result.hidden_states)}
    for i, weights in enumerate(result.attentions):
        scale = 1.0 if case.head_mask is None else case.head_mask[i][:, None, None]
        outputs[f"attention.{i}"] = weights * torch.as_tensor(scale)
    for i, weights in enumerate(result.cross_attentions or ()):
        scale = 1.0 if case.cross_head_mask is None else case.cross_head_mask[i][:, None, None]
        outputs[f"cross.{i}"] = weights * torch.as_tensor(scale)
    return cut({name: value.double().numpy() for name, value in outputs.items()}, case.mask)


def cut(outputs: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    """At attended places: queries by the mask, keys by the mask of the same row."""
    pairs = mask[:, None, :, None] & mask[:, None, None, :]
    attended = {}
    for name, array in outputs.items():
        if name.startswith("attention"):
            attended[name] = array[np.broadcast_to(pairs, array.shape)]
        elif name.startswith("cross"):
            attended[name] = array.transpose(0, 2, 1, 3)[mask]
        else:
            attended[name] = array[mask]
    return attended


def call_ours(model: Any, case: Case) -> dict[str, np.ndarray]:
    output = model(
        case.ids,
        case.mask,
        None,
        None,
        case.head_mask,
        encoder_hidden_state=case.encoder,
        encoder_attention_mask=case.encoder_mask,
        cross_attention_head_mask=case.cross_head_mask,
        output_hidden_states=True,
        output_attentions=True,
    )
    outputs = {"logits": output.logits}
    outputs |= {f"hidden.{i}": h for i, h in enumerate(output.hidden_states)}
    outputs |= {f"attention.{i}": a for i, a in enumerate(output.attentions)}
    outputs |= {f"cross.{i}": a for i, a in enumerate(output.cross_attentions or ())}
    return cut(outputs, case.mask)


def worst(ours: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> float:
    assert ours.keys() == exact.keys()
    return max(float(np.abs(ours[n] - exact[n]).max(initial=0)) for n in exact)


@pytest.mark.parametrize("case", [make_case(seed) for seed in range(COUNT)], ids=str)
def test_every_output_agrees_with_transformers(case, tmp_path):
    peer = make_peer(case)
    peer.save_pretrained(tmp_path)
    scale_heads(peer, case.head_mask, "attention")
    scale_heads(peer, case.cross_head_mask, "crossattention")
    single = call_peer(peer, case)
    exact = call_peer(peer.double(), case)
    model = pyroberta.from_pretrained(tmp_path, backend="reference", compute_type="float64")
    assert isinstance(model, pyroberta.RobertaForCausalLM)
    assert worst(call_ours(model, case), exact) < 1e-9
    numpy = worst(call_ours(pyroberta.from_pretrained(tmp_path, backend="reference"), case), exact)
    for isa in door.available_isas() if door.has_core() else []:
        with on_build(isa):
            native = pyroberta.from_pretrained(tmp_path)
        error = worst(call_ours(native, case), exact)
        assert error <= 5 * max(worst(single, exact), numpy) + 1e-6, isa


@pytest.mark.parametrize("cross", [False, True])
def test_a_saved_decoder_has_the_same_logits_in_transformers(cross, tmp_path):
    config = pyroberta.RobertaConfig(
        vocab_size=40,
        max_positions=20,
        hidden_size=12,
        num_blocks=2,
        num_attention_heads=2,
        intermediate_size=10,
        initializer_range=0.4,
        use_cross_attention=cross,
    )
    model = pyroberta.RobertaForCausalLM.from_config(config, seed=0, backend="reference")
    model.save_pretrained(tmp_path)
    peer, report = transformers.RobertaForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = np.random.default_rng(0).integers(2, 40, (2, 7))
    encoder = np.random.default_rng(1).normal(size=(2, 5, 12)).astype(np.float32)
    ours, theirs = {}, {}
    if cross:
        ours["encoder_hidden_state"] = encoder
        theirs["encoder_hidden_states"] = torch.from_numpy(encoder)
    with torch.no_grad():
        want = peer.eval()(torch.from_numpy(ids), use_cache=False, **theirs).logits.numpy()
    np.testing.assert_allclose(model(ids, **ours).logits, want, atol=1e-5)
