"""Folders that transformers' EncoderDecoderModel saved: the same logits and the same ids."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the parity suite compares with transformers on torch")
pytest.importorskip("transformers", reason="the parity suite compares with transformers")

from generation.tiny import FLOAT64, make_prompt
from parity.peer import randomise, torch, transformers

from pyroberta import RobertaEncoderDecoder

pytestmark = pytest.mark.parity

SIZES = {
    "vocab_size": 37,
    "max_position_embeddings": 34,
    "type_vocab_size": 2,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "layer_norm_eps": 1e-5,
    "attn_implementation": "eager",
}
EOS = [2, 4, 9, 17, 25]


def make_pair(folder, seed):
    """transformers' model in float64 and ours from its files."""
    family = (transformers.RobertaConfig, transformers.XLMRobertaConfig)[seed // 2 % 2]
    encoder = family(hidden_size=18, **SIZES)
    wide = (18, 24)[seed % 2]
    decoder = family(hidden_size=wide, tie_word_embeddings=seed % 3 == 0, **SIZES)
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=0, pad_token_id=1, eos_token_id=2
    )
    peer = transformers.EncoderDecoderModel(config).eval()
    randomise(peer, seed)
    # An untied output has a bias of its own beside one that is not read.
    peer.decoder.lm_head.bias.data.copy_(peer.decoder.lm_head.decoder.bias.data)
    peer.save_pretrained(folder)
    return peer.double(), RobertaEncoderDecoder.from_pretrained(folder, **FLOAT64)


@pytest.mark.parametrize("seed", range(8))
def test_logits_and_generated_ids_are_the_same(seed, tmp_path):
    peer, model = make_pair(tmp_path, seed)
    ids, mask = make_prompt([4, 7, 1], seed, side=("right", "left")[seed % 2])
    start, start_mask = make_prompt([5, 2, 3], seed + 100, side="right")
    with torch.no_grad():
        wanted = peer(*map(torch.tensor, (ids, mask, start, start_mask))).logits.numpy()
    logits = model(ids, mask, start, start_mask).logits
    attended = start_mask > 0
    assert np.abs(logits - wanted)[attended].max() < 1e-9
    searches = [{}] + [
        {"num_beams": 4, "length_penalty": penalty, "early_stopping": early}
        for penalty, early in ((1.0, False), (0.8, True), (1.2, "never"))
    ]
    for options in searches:
        limits = {"max_new_tokens": 10, "eos_token_id": EOS}
        wanted = peer.generate(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            use_cache=False,
            do_sample=False,
            **limits,
            **options,
        ).numpy()
        strategy = "beam" if options else "greedy"
        result = model.generate(ids, mask, strategy=strategy, **limits, **options)
        np.testing.assert_array_equal(result, wanted, str(options))


def test_the_folders_own_ids_start_and_end_a_text(tmp_path):
    peer, model = make_pair(tmp_path, 0)
    assert (model.decoder_start_token_id, model.eos_token_id, model.pad_token_id) == (0, 2, 1)
    ids, mask = make_prompt([4, 7, 1], 0)
    wanted = peer.generate(
        torch.tensor(ids), attention_mask=torch.tensor(mask), use_cache=False, max_new_tokens=20
    )
    np.testing.assert_array_equal(model.generate(ids, mask), wanted.numpy())
