"""Values that no key of config.json may have: each is refused by the key's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from .judge import Case

# As JSON text, since some of it is none that Python would write.
_WRONG = {
    "count": (
        *("true", "1.5", '"8"', "[]", "[8]", "{}", "NaN", "Infinity", "-Infinity", "1e999"),
        *("-1", "-9223372036854775808", "9" * 30, "9" * 5000, '"\\ud800"', '""', "8.0", "1e30"),
    ),
    "fraction": (
        *("true", '"0.1"', "[]", "[0.1]", "{}", "NaN", "Infinity", "-Infinity", "1e999", "-0.1"),
        *("1.0", "2", "9" * 400, '"\\ud800"', '""', "-1e-300"),
    ),
    "positive": (
        *("true", '"0.1"', "[]", "[0.1]", "{}", "NaN", "Infinity", "-Infinity", "1e999", "-0.1"),
        *("0", "0.0", "-0.0", "9" * 400, '"\\ud800"', '""', "1e-39", "1e-300"),
    ),
    "flag": (
        *("0", "1", "2", '"true"', '"False"', "[]", "[true]", "{}", "NaN", "1.0", "0.0", '""'),
        *('"\\ud800"', "9" * 30),
    ),
    "choice": (
        *("true", "0", "1.5", "[]", '["gelu"]', "{}", "NaN", '"no such"', '""', '"GELU!"'),
        *('"\\ud800"', '"gelu\\u0000"', "9" * 30, '"' + "a" * 2000 + '"'),
    ),
}
_KEYS = {
    "count": (
        *("vocab_size", "max_position_embeddings", "type_vocab_size", "hidden_size"),
        *("num_hidden_layers", "num_attention_heads", "intermediate_size", "pad_token_id"),
        "num_labels",
    ),
    "fraction": ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    "positive": ("layer_norm_eps",),
    "flag": (
        *("output_hidden_states", "output_attentions", "add_cross_attention", "is_decoder"),
        "tie_word_embeddings",
    ),
    "choice": ("hidden_act", "model_type", "position_embedding_type"),
}


def cases(folder: Path, checkpoint: Path) -> Iterator[Case]:
    """A folder of ``checkpoint``'s weights for each key and wrong value."""
    from pyroberta import from_pretrained

    plain = json.loads((checkpoint / "config.json").read_text())
    plain.pop("pyroberta_saved_as", None)
    for kind, keys in _KEYS.items():
        for key in keys:
            for n, value in enumerate(_WRONG[kind]):
                own = folder / f"{key}-{n}"
                own.mkdir()
                (own / "model.safetensors").symlink_to(checkpoint / "model.safetensors")
                rest = json.dumps({k: v for k, v in plain.items() if k != key})[1:]
                (own / "config.json").write_text(f'{{"{key}": {value}, {rest}')
                yield Case(
                    f"{key} {value[:20]} {n}", lambda own=own: str(from_pretrained(own)), says=key
                )
