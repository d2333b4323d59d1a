"""The models of transformers as an oracle: tiny ones with random weights, and what they give.

Outputs are dictionaries of arrays, ``hidden_states.0`` and so on for each of a tuple, cut down to
attended places: what stands at masked places is no part of a model's meaning.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

with warnings.catch_warnings():  # what these libraries warn of at import is not ours to mend
    warnings.simplefilter("ignore")
    import torch
    import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

Outputs = dict[str, np.ndarray]

FAMILIES = ("Roberta", "XLMRoberta", "Camembert")
SUFFIXES = {
    "base": "Model",
    "for_masked_language_modeling": "ForMaskedLM",
    "for_sequence_classification": "ForSequenceClassification",
    "for_token_classification": "ForTokenClassification",
    "for_question_answering": "ForQuestionAnswering",
    "for_multiple_choice": "ForMultipleChoice",
}


def make_peer(
    family: str, architecture: str, config: dict[str, Any], seed: int, *, pooler: bool = True
) -> torch.nn.Module:
    """A float32 model of transformers; ``config`` has the keys of ``config.json``."""
    config_class = getattr(transformers, f"{family}Config")
    model_class = getattr(transformers, family + SUFFIXES[architecture])
    options = {} if pooler or architecture != "base" else {"add_pooling_layer": False}
    model = model_class(config_class(**config, attn_implementation="eager"), **options)
    randomise(model, seed)
    return model.eval()


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Every weight drawn anew.

    transformers starts biases at 0, layer norms at 1 and 0, and matrices so small that attention
    is uniform: a library that left out any of them would pass. Queries and keys are drawn larger,
    for scores of a standard deviation of about 2.
    """
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = rng.standard_normal(tuple(parameter.shape))
            if parameter.ndim == 2:
                if "embeddings" not in name:
                    values *= parameter.shape[1] ** -0.5
                if ".query." in name or ".key." in name:
                    values *= 1.4
            elif "norm" in name.lower() and name.endswith("weight"):
                values = 1 + 0.2 * values
            else:
                values *= 0.3
            parameter.copy_(torch.from_numpy(values))


def scale_heads(model: torch.nn.Module, head_mask: np.ndarray) -> None:
    """Give the effect of a head mask, which transformers 5 ignores, to the weights.

    A head's result meets the columns of ``attention.output.dense`` that belong to it.
    """
    encoder = getattr(model, model.base_model_prefix, model).encoder
    for layer, masks in zip(encoder.layer, head_mask, strict=True):
        weight = layer.attention.output.dense.weight
        columns = np.repeat(masks, weight.shape[1] // len(masks))
        with torch.no_grad():
            weight *= torch.from_numpy(columns).to(weight.dtype)


def call_peer(
    model: torch.nn.Module,
    batch: dict[str, np.ndarray],
    head_mask: np.ndarray | None = None,
) -> Outputs:
    """The model's outputs, hidden states and attentions too, in the dtype of its weights.

    ``head_mask`` is the one that ``scale_heads`` gave to the weights: the peer's attentions do
    not show it, so they are multiplied here.
    """
    inputs = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}
    with torch.no_grad():
        result = model(**inputs, output_hidden_states=True, output_attentions=True)
    outputs = {name: value.numpy() for name, value in flatten(dict(result.items())).items()}
    for block, masks in enumerate([] if head_mask is None else head_mask):
        outputs[f"attentions.{block}"] = outputs[f"attentions.{block}"] * masks[:, None, None]
    return outputs


def flatten(fields: dict[str, Any]) -> dict[str, Any]:
    """Tuples opened into entries of their own, what is ``None`` left out."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, tuple):
            flat |= {f"{name}.{i}": item for i, item in enumerate(value)}
        elif value is not None:
            flat[name] = value
    return flat


def at_attended(outputs: Outputs, attended: np.ndarray) -> Outputs:
    """The entries at attended places: ``attended`` is ``[batch, tokens]``, choices flattened."""
    pairs = attended[:, None, :, None] & attended[:, None, None, :]
    cut = {}
    for name, array in outputs.items():
        if name.startswith("attentions"):
            cut[name] = array[np.broadcast_to(pairs, array.shape)]
        elif array.shape[:2] == attended.shape and name not in ("pooler_output",):
            cut[name] = array[attended]
        else:  # one vector a row
            cut[name] = array
    return cut


def worst(ours: Outputs, exact: Outputs) -> float:
    """The largest difference over all outputs."""
    assert ours.keys() == exact.keys()
    return max(
        (float(np.abs(ours[name] - exact[name]).max()) for name in exact if exact[name].size),
        default=0.0,
    )


def root_mean_square(ours: Outputs, exact: Outputs) -> float:
    """The root mean square of the differences over all outputs."""
    squares = [((ours[name] - exact[name]) ** 2).ravel() for name in exact]
    flat = np.concatenate(squares)
    return float(np.sqrt(flat.mean())) if flat.size else 0.0
