"""JAX: the forward pass under ``jit``, so that XLA, the ancestor's own compiler, is measured too.

There is no JAX in what users of the ancestor call; this stands for what its compiler makes of the
same graph. One compilation for each shape, before anything is timed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Engine, Rows, pad


def convert(model: Path, out: Path, compute_type: str, option: str) -> None:
    """Nothing: the checkpoint is loaded as it is."""


def prepare(model: Path, converted: Path, threads: int, compute_type: str, option: str) -> Engine:
    """The compiled forward pass. Threads follow the process's CPUs and ``NPROC``."""
    import jax
    import jax.numpy as jnp
    from safetensors.numpy import load_file

    from bench.models import read_config, weight_files

    config = read_config(model)
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    pad_id = config["pad_token_id"]
    dtype = jnp.dtype(compute_type)
    file = {
        name.removeprefix("roberta."): w
        for path in weight_files(model)
        for name, w in load_file(path).items()
    }

    def linear(name: str) -> tuple[Any, Any]:
        return jnp.asarray(file[f"{name}.weight"].T, dtype), jnp.asarray(file[f"{name}.bias"])

    def norm(name: str) -> tuple[Any, Any]:
        return jnp.asarray(file[f"{name}.weight"]), jnp.asarray(file[f"{name}.bias"])

    def block(n: int) -> dict[str, Any]:
        at = f"encoder.layer.{n}."
        query, key, value = (linear(f"{at}attention.self.{x}") for x in ("query", "key", "value"))
        return {
            "qkv": tuple(jnp.concatenate(x, axis=-1) for x in zip(query, key, value, strict=True)),
            "out": linear(f"{at}attention.output.dense"),
            "norm1": norm(f"{at}attention.output.LayerNorm"),
            "wide": linear(f"{at}intermediate.dense"),
            "narrow": linear(f"{at}output.dense"),
            "norm2": norm(f"{at}output.LayerNorm"),
        }

    weights = {
        "tables": [
            jnp.asarray(file[f"embeddings.{x}_embeddings.weight"])
            for x in ("word", "position", "token_type")
        ],
        "norm": norm("embeddings.LayerNorm"),
        "blocks": [block(n) for n in range(config["num_hidden_layers"])],
    }

    def layer_norm(x: Any, gamma_beta: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + eps) * gamma_beta[0] + gamma_beta[1]

    def apply(x: Any, weight_bias: Any) -> Any:
        product = jnp.matmul(x.astype(dtype), weight_bias[0], preferred_element_type=jnp.float32)
        return product + weight_bias[1]

    def attend(qkv: Any, hidden_bias: Any) -> Any:
        batch, tokens, wide = qkv.shape
        size = wide // 3 // heads
        q, k, v = qkv.astype(dtype).reshape(batch, tokens, 3, heads, size).transpose(2, 0, 3, 1, 4)
        scores = jnp.einsum("bhqd,bhkd->bhqk", q, k, preferred_element_type=jnp.float32)
        scores = scores / math.sqrt(size)
        if hidden_bias is not None:
            scores = scores + hidden_bias
        shares = jax.nn.softmax(scores).astype(dtype)
        y = jnp.einsum("bhqk,bhkd->bqhd", shares, v, preferred_element_type=jnp.float32)
        return y.reshape(batch, tokens, wide // 3)

    @jax.jit
    def forward(weights: Any, ids: Any, mask: Any) -> Any:
        real = ids != pad_id
        places = jnp.cumsum(real, axis=1) * real + pad_id
        words, positions, types = weights["tables"]
        x = layer_norm(words[ids] + positions[places] + types[0], weights["norm"])
        bias = None if mask is None else jnp.where(mask[:, None, None, :] > 0, 0.0, -1e30)
        for b in weights["blocks"]:
            x = layer_norm(x + apply(attend(apply(x, b["qkv"]), bias), b["out"]), b["norm1"])
            wide = jax.nn.gelu(apply(x, b["wide"]), approximate=False)
            x = layer_norm(x + apply(wide, b["narrow"]), b["norm2"])
        return x

    def call(rows: Rows) -> NDArray[np.float32]:
        ids, mask = pad(rows)
        narrow = None if mask is None else mask.astype(np.int32)
        return np.asarray(forward(weights, ids.astype(np.int32), narrow))

    return call
