"""A port of the model as somebody might write it: padded arrays in float32, with one mistake."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

Floats = Any


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the port is told of the model."""

    heads: int
    pad: int
    eps: float
    activation: str = "gelu"
    head: str = "for_masked_language_modeling"
    causal: bool = False


class Port:
    """The model over padded arrays; ``steps`` has what it gives, by the names of a trace.

    Args:
        sizes: what there is to know besides the tensors.
        tensors: of the checkpoint, float32.
        mistake: one of ``mistakes.py``; empty: none.
    """

    def __init__(self, sizes: Sizes, tensors: dict[str, Floats], mistake: str = "") -> None:
        self.sizes = sizes
        self.tensors = tensors
        self.mistake = mistake
        self.steps: dict[str, Floats] = {}
        self.rng = np.random.default_rng(0)

    def is_(self, *mistakes: str) -> bool:
        return self.mistake in mistakes

    def keep(self, name: str, values: Floats) -> Floats:
        self.steps[name] = np.asarray(values, np.float32)
        return self.steps[name]

    def __call__(self, ids: Floats, mask: Floats, types: Floats) -> dict[str, Floats]:
        x = self.embed(ids, mask, types)
        blocks = 1 + max(
            int(name.split(".")[2]) for name in self.tensors if name.startswith("encoder.layer.")
        )
        for n in range(blocks):
            x = self.block(n, x, mask)
        self.head(x, mask)
        return self.steps

    def table(self, name: str) -> Floats:
        table = self.tensors[f"embeddings.{name}_embeddings.weight"]
        if self.is_("word table in int8") and name == "word":
            scale = np.abs(table).max(axis=1, keepdims=True) / 127
            table = np.rint(table / np.where(scale > 0, scale, 1)) * scale
        return table

    def embed(self, ids: Floats, mask: Floats, types: Floats) -> Floats:
        pad = self.sizes.pad
        real = ids != pad
        positions = np.cumsum(real, axis=1) * real + pad
        columns = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        if self.is_("positions from 0"):
            positions = np.maximum(positions - pad - 1, 0)
        if self.is_("positions off by one"):
            positions = positions + 1
        if self.is_("positions too low by one"):
            positions = np.maximum(positions - 1, 0)
        if self.is_("pads counted"):
            positions = columns + pad + 1
        if self.is_("columns as positions"):
            positions = columns
        if self.is_("token types left out"):
            types = np.zeros_like(types)
        if self.is_("token types swapped"):
            types = 1 - types
        if self.is_("ids off by one"):
            ids = np.minimum(ids + 1, len(self.table("word")) - 1)
        word = self.table("word")[ids]
        if self.is_("word embeddings scaled"):
            word = word * np.float32(math.sqrt(word.shape[-1]))
        word = self.keep("embeddings.word", word)
        kind = self.keep("embeddings.token_type", self.table("token_type")[types])
        place = self.keep("embeddings.position", self.table("position")[positions])
        total = word + place if self.is_("token type row not added") else word + kind + place
        total = self.keep("embeddings.sum", total)
        return self.keep("embeddings.norm", self.norm(total, "embeddings.LayerNorm"))

    def norm(self, x: Floats, layer: str) -> Floats:
        gamma, beta = self.tensors[f"{layer}.weight"], self.tensors[f"{layer}.bias"]
        eps = np.float32(self.sizes.eps)
        if self.is_("epsilon 1e-12") and layer.startswith("encoder"):
            eps = np.float32(1e-12)
        if self.is_("epsilon 1e-3") and layer.startswith("encoder"):
            eps = np.float32(1e-3)
        if self.is_("norms swapped") and layer.startswith("encoder"):
            first = ".attention.output." in layer
            other = (
                layer.replace(".attention.output.", ".output.")
                if first
                else layer.replace(".output.", ".attention.output.")
            )
            gamma, beta = self.tensors[f"{other}.weight"], self.tensors[f"{other}.bias"]
        late = layer.startswith("encoder")
        centred = x - x.mean(axis=-1, keepdims=True)
        if self.is_("mean not subtracted") and late:
            centred = x
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        if self.is_("unbiased variance") and late:
            variance = variance * np.float32(x.shape[-1] / (x.shape[-1] - 1))
        if self.is_("epsilon on the deviation") and late:
            y = centred / (np.sqrt(variance) + eps)
        else:
            y = centred / np.sqrt(variance + eps)
        if self.is_("gamma left out") and late:
            return y + beta
        if self.is_("beta left out") and late:
            return y * gamma
        return y * gamma + beta

    def linear(self, x: Floats, layer: str, *, bias: bool = True) -> Floats:
        weight = self.tensors[f"{layer}.weight"]
        if self.is_("weights in bfloat16") and layer.startswith("encoder"):
            bits = weight.view(np.uint32)
            weight = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32)
            weight = weight.view(np.float32)
        if self.is_("weights in float16") and layer.startswith("encoder"):
            weight = weight.astype(np.float16).astype(np.float32)
        if self.is_("output weight transposed") and layer.endswith("attention.output.dense"):
            weight = weight.T
        y = x @ weight.T
        return y + self.tensors[f"{layer}.bias"] if bias else y

    def block(self, n: int, x: Floats, mask: Floats) -> Floats:
        here, file = f"block.{n}", f"encoder.layer.{n}"
        q, k, v = self.projections(n, x)
        context = self.attend(n, q, k, v, mask)
        y = self.linear(
            context, f"{file}.attention.output.dense", bias=not self.is_("output bias missing")
        )
        if self.is_("dropout left on"):
            y = np.where(self.rng.random(y.shape) < 0.1, 0, y / np.float32(0.9))
        y = self.keep(f"{here}.attention.output", y)
        residual = y + x
        if self.is_("dropout before the residual"):
            residual = np.where(self.rng.random(y.shape) < 0.1, 0, y / np.float32(0.9)) + x
        if self.is_("residual missing"):
            residual = y
        if self.is_("norm before the residual"):
            residual = self.norm(y, f"{file}.attention.output.LayerNorm") + x
        if self.is_("residual subtracted"):
            residual = x - y
        x = self.keep(f"{here}.attention.residual", residual)
        x = self.keep(f"{here}.attention.norm", self.norm(x, f"{file}.attention.output.LayerNorm"))
        wide = self.linear(
            x, f"{file}.intermediate.dense", bias=not self.is_("intermediate bias missing")
        )
        wide = self.keep(f"{here}.intermediate.product", wide)
        wide = self.keep(f"{here}.intermediate.activation", self.activate(wide))
        out = self.keep(f"{here}.output.product", self.linear(wide, f"{file}.output.dense"))
        total = out if self.is_("second residual missing") else out + x
        if self.is_("residual twice"):
            total = total + x
        total = self.keep(f"{here}.output.residual", total)
        return self.keep(f"{here}.output.norm", self.norm(total, f"{file}.output.LayerNorm"))

    def projections(self, n: int, x: Floats) -> tuple[Floats, Floats, Floats]:
        names = ["query", "key", "value"]
        if self.is_("query and key swapped"):
            names = ["key", "query", "value"]
        if self.is_("key and value swapped"):
            names = ["query", "value", "key"]
        if self.is_("weights of the next block") and n == 0:
            n = 1
        layers = [f"encoder.layer.{n}.attention.self.{name}" for name in names]
        found = [self.linear(x, one, bias=not self.is_("query bias missing")) for one in layers]
        if self.is_("fused heads before parts"):
            joined = np.concatenate(found, axis=-1)
            cut = joined.reshape(*x.shape[:2], self.sizes.heads, 3, -1)
            found = [cut[..., i, :].reshape(x.shape) for i in range(3)]
        if self.is_("query scaled early"):
            found[0] = found[0] / np.float32(math.sqrt(x.shape[-1] // self.sizes.heads))
        of = zip(("query", "key", "value"), found, strict=True)
        n = (
            0
            if self.is_("weights of the next block")
            and "block.0.attention.query" not in (self.steps)
            else n
        )
        q, k, v = (self.keep(f"block.{n}.attention.{name}", one) for name, one in of)
        return q, k, v

    def split(self, x: Floats) -> Floats:
        batch, tokens, wide = x.shape
        heads = self.sizes.heads
        if self.is_("heads split wrongly"):
            return x.reshape(batch, tokens, wide // heads, heads).transpose(0, 3, 1, 2)
        if self.is_("heads not transposed"):
            return x.reshape(batch, heads, tokens, wide // heads)
        return x.reshape(batch, tokens, heads, wide // heads).transpose(0, 2, 1, 3)

    def attend(self, n: int, q: Floats, k: Floats, v: Floats, mask: Floats) -> Floats:
        here = f"block.{n}.attention"
        batch, tokens, wide = q.shape
        heads = self.sizes.heads
        size = wide // heads
        root = np.float32(math.sqrt(size))
        if self.is_("scale missing"):
            root = np.float32(1)
        if self.is_("scale twice"):
            root = np.float32(size)
        if self.is_("scaled by hidden size"):
            root = np.float32(math.sqrt(wide))
        scores = self.split(q) @ self.split(k).transpose(0, 1, 3, 2) / root
        if self.is_("scores of keys by queries"):
            scores = scores.transpose(0, 1, 3, 2)
        scores = self.keep(f"{here}.scores", scores)
        low = np.float32(-6e4)
        if self.is_("mask added as -1"):
            low = np.float32(-1)
        if self.is_("mask added as -10"):
            low = np.float32(-10)
        keys = mask[:, None, None, :]
        if self.is_("mask on queries"):
            keys = mask[:, None, :, None]
        if self.is_("mask ignored"):
            keys = np.ones_like(keys)
        if self.is_("mask inverted in part"):
            keys = np.where(np.arange(tokens) == 0, 0, keys)
        masked = scores + np.where(keys > 0, 0, low)
        causal = self.sizes.causal != self.is_("causal the other way")
        if causal:
            masked = masked + np.where(np.tril(np.ones((tokens, tokens))) > 0, 0, low)
        masked = masked.astype(np.float32)
        if self.is_("softmax over queries"):
            weights = softmax(masked, axis=-2)
        elif self.is_("float16 softmax"):
            weights = softmax(masked.astype(np.float16)).astype(np.float32)
        elif self.is_("softmax of base 2"):
            weights = softmax(masked * np.float32(math.log(2)))
        else:
            weights = softmax(masked)
        if self.is_("attention dropout left on"):
            weights = np.where(self.rng.random(weights.shape) < 0.1, 0, weights / np.float32(0.9))
        weights = self.keep(f"{here}.weights", weights)
        used = weights.transpose(0, 1, 3, 2) if self.is_("weights transposed") else weights
        values = v.reshape(batch, tokens, heads, size).transpose(0, 2, 1, 3)
        mixed = used @ values
        if self.is_("heads joined wrongly"):
            return self.keep(f"{here}.context", mixed.reshape(batch, tokens, wide))
        joined = mixed.transpose(0, 2, 1, 3).reshape(batch, tokens, wide)
        return self.keep(f"{here}.context", joined)

    def activate(self, x: Floats) -> Floats:
        if self.is_("relu"):
            return np.maximum(x, 0)
        if self.is_("silu"):
            return x / (1 + np.exp(-x))
        if self.is_("quick gelu"):
            return x / (1 + np.exp(np.float32(-1.702) * x))
        wants_tanh = self.sizes.activation == "gelu_tanh"
        if wants_tanh != self.is_("tanh gelu", "exact gelu"):
            inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
            return np.float32(0.5) * x * (1 + np.tanh(inner))
        return np.float32(0.5) * x * (1 + _erf(x / np.float32(math.sqrt(2))))

    def head(self, x: Floats, mask: Floats) -> None:
        if self.sizes.head == "for_sequence_classification":
            first = x[:, 0]
            if self.is_("last token read"):
                first = x[np.arange(len(x)), mask.sum(axis=1) - 1]
            if self.is_("mean of tokens read"):
                first = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
            first = self.keep("head.first", first)
            y = self.keep("head.dense.product", self.linear(first, "classifier.dense"))
            y = y if self.is_("pooler without tanh") else np.tanh(y)
            y = self.keep("head.dense.activation", y)
            self.keep("logits", self.linear(y, "classifier.out_proj"))
            return
        y = self.keep("head.dense.product", self.linear(x, "lm_head.dense"))
        gelu = np.float32(0.5) * y * (1 + _erf(y / np.float32(math.sqrt(2))))
        y = self.keep("head.dense.activation", y if self.is_("head without gelu") else gelu)
        y = self.keep("head.norm", self.norm(y, "lm_head.layer_norm"))
        table = self.tensors["embeddings.word_embeddings.weight"]
        if self.is_("tied weight in another order"):
            table = table.reshape(table.shape[::-1]).T
        logits = y @ table.T
        if not self.is_("head bias missing"):
            logits = logits + self.tensors["lm_head.bias"]
        self.keep("logits", logits)


def softmax(x: Floats, axis: int = -1) -> Floats:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


_erf_object = np.frompyfunc(math.erf, 1, 1)


def _erf(x: Floats) -> Floats:
    return np.asarray(_erf_object(x.astype(np.float64)), np.float64).astype(np.float32)
