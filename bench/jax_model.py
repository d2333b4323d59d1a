"""The model in JAX, as somebody might write it: what ``false_alarms.py`` compares with."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ACTIVATIONS: dict[str, Any] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


def jax_steps(
    config: Mapping[str, Any], tensors: Mapping[str, Any], ids: Any, mask: Any, dtype: str
) -> dict[str, Any]:
    """The steps of the encoder by a trace's names, computed in ``dtype`` by one jitted function."""
    kind = jnp.dtype(dtype)
    weights = {name: jnp.asarray(one, kind) for name, one in tensors.items()}
    pad = config["pad_token_id"]
    real = ids != pad
    positions = np.cumsum(real, axis=1) * real + pad
    run = functools.partial(
        _encode,
        blocks=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        eps=config["layer_norm_eps"],
        activation=config["hidden_act"],
    )
    steps = jax.jit(run)(weights, jnp.asarray(ids), jnp.asarray(positions), jnp.asarray(mask))
    return {name: np.asarray(one.astype(jnp.float32)) for name, one in steps.items()}


def _encode(
    w: Mapping[str, Any],
    ids: Any,
    positions: Any,
    mask: Any,
    *,
    blocks: int,
    heads: int,
    eps: float,
    activation: str,
) -> dict[str, Any]:
    steps: dict[str, Any] = {}
    table = "embeddings.{}_embeddings.weight"
    steps["embeddings.word"] = w[table.format("word")][ids]
    steps["embeddings.token_type"] = w[table.format("token_type")][jnp.zeros_like(ids)]
    steps["embeddings.position"] = w[table.format("position")][positions]
    total = sum(steps[f"embeddings.{name}"] for name in ("word", "token_type", "position"))
    steps["embeddings.sum"] = total
    x = steps["embeddings.norm"] = _norm(w, "embeddings.LayerNorm", total, eps)
    bias = jnp.where(mask[:, None, None, :] > 0, 0, jnp.finfo(x.dtype).min).astype(x.dtype)
    for n in range(blocks):
        here, file = f"block.{n}", f"encoder.layer.{n}"
        shape = (*x.shape[:2], heads, -1)
        parts = {}
        for name in ("query", "key", "value"):
            y = _linear(w, f"{file}.attention.self.{name}", x)
            steps[f"{here}.attention.{name}"] = y
            parts[name] = y.reshape(shape).transpose(0, 2, 1, 3)
        scores = parts["query"] @ parts["key"].swapaxes(-1, -2)
        scores = scores / jnp.asarray(math.sqrt(parts["query"].shape[-1]), x.dtype)
        steps[f"{here}.attention.scores"] = scores
        weights = jax.nn.softmax(scores + bias, axis=-1)
        steps[f"{here}.attention.weights"] = weights
        context = (weights @ parts["value"]).transpose(0, 2, 1, 3).reshape(x.shape)
        steps[f"{here}.attention.context"] = context
        y = steps[f"{here}.attention.output"] = _linear(
            w, f"{file}.attention.output.dense", context
        )
        y = steps[f"{here}.attention.residual"] = y + x
        x = steps[f"{here}.attention.norm"] = _norm(w, f"{file}.attention.output.LayerNorm", y, eps)
        y = steps[f"{here}.intermediate.product"] = _linear(w, f"{file}.intermediate.dense", x)
        y = steps[f"{here}.intermediate.activation"] = ACTIVATIONS[activation](y)
        y = steps[f"{here}.output.product"] = _linear(w, f"{file}.output.dense", y)
        y = steps[f"{here}.output.residual"] = y + x
        x = steps[f"{here}.output.norm"] = _norm(w, f"{file}.output.LayerNorm", y, eps)
    return steps


def _linear(w: Mapping[str, Any], layer: str, x: Any) -> Any:
    return x @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]


def _norm(w: Mapping[str, Any], layer: str, x: Any, eps: float) -> Any:
    wide = x.astype(jnp.float32)  # as flax's does
    mean = wide.mean(-1, keepdims=True)
    centred = wide - mean
    y = centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + eps)
    y = y * w[f"{layer}.weight"].astype(jnp.float32) + w[f"{layer}.bias"].astype(jnp.float32)
    return y.astype(x.dtype)
