"""The steps of the graph by name, in the order of their computation: what a trace holds.

A step says what it reads (other steps and tensors of the checkpoint), how its arrays are laid out,
and its formula. ``kernel_steps.py`` computes them as a model does; ``arithmetic.py`` each by
itself, exactly or with every operation's result perturbed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Literal

from ..activations import canonical_activation
from ..config import RobertaConfig

# What a step computes: a method of each arithmetic.
Kind = Literal[
    "table", "add", "norm", "linear", "scores", "weights", "context", "activation", "first"
]
# How its array is laid out, as a trace of attended tokens alone has it and as a padded one:
# "tokens" [total, cols], [batch, tokens, cols]; "encoder" the same of the encoder's output;
# "self" the heads' [heads, queries, keys] of row after row, flat, [batch, heads, tokens, tokens];
# "cross" the same over the encoder's tokens; "rows" [batch, cols].
Form = Literal["tokens", "encoder", "self", "cross", "rows"]

IDS, TYPES, POSITIONS = "input.ids", "input.types", "input.positions"
ENCODER = "input.encoder"
INPUTS = (IDS, TYPES, POSITIONS, ENCODER)


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the graph.

    Attributes:
        name: e.g. ``"block.3.attention.query"``.
        kind: what it computes.
        feeds: the steps (or inputs) that it reads, in the order of its arguments.
        form: how its array is laid out.
        columns: of its last axis; 0 for attentions, whose last axis are keys.
        formula: what it computes, by the names of ``feeds`` and ``tensors``.
        tensors: those of the checkpoint that it reads: a weight and a bias, or a table.
        activation: the name of its function, of an activation alone.
    """

    name: str
    kind: Kind
    feeds: tuple[str, ...]
    form: Form
    columns: int
    formula: str
    tensors: tuple[str, ...] = ()
    activation: str = ""

    @property
    def block(self) -> int:
        """Its block's number; 0 outside of them."""
        return int(self.name.split(".")[1]) if self.name.startswith("block.") else 0

    @property
    def is_cross(self) -> bool:
        """Whether it belongs to a block's cross attention."""
        return ".cross_attention." in self.name


def graph(
    config: RobertaConfig, architecture: str, tensors: Collection[str], *, cross: bool
) -> tuple[Step, ...]:
    """All steps of a model, in the order of their computation.

    Args:
        config: the sizes.
        architecture: the ancestor's name for the class.
        tensors: the names of those that the model reads: they say whether it has a pooler, and
            whether its decoder is tied.
        cross: the blocks have cross attention.
    """
    steps = _embeddings(config)
    x = "embeddings.norm"
    for n in range(config.num_blocks):
        added = _block(config, n, x, cross)
        steps += added
        x = added[-1].name
    return (*steps, *_head(config, architecture, tensors, x))


def _embeddings(config: RobertaConfig) -> list[Step]:
    wide = config.hidden_size
    tables = [("word", IDS), ("token_type", TYPES), ("position", POSITIONS)]
    steps = [
        Step(
            name=f"embeddings.{name}",
            kind="table",
            feeds=(indices,),
            form="tokens",
            columns=wide,
            formula=f"table[{indices}]",
            tensors=(f"embeddings.{name}_embeddings.weight",),
        )
        for name, indices in tables
    ]
    parts = tuple(step.name for step in steps)
    total = Step("embeddings.sum", "add", parts, "tokens", wide, "word + token_type + position")
    return [*steps, total, _norm("embeddings.norm", total.name, wide, "embeddings.LayerNorm")]


def _block(config: RobertaConfig, n: int, x: str, cross: bool) -> list[Step]:
    """The steps of block ``n``, which reads the step ``x``."""
    here, file = f"block.{n}", f"encoder.layer.{n}"
    wide, inner = config.hidden_size, config.intermediate_size
    steps = _attention(config, f"{here}.attention", f"{file}.attention", x, x)
    if cross:
        x = steps[-1].name
        name = f"{here}.cross_attention"
        steps += _attention(config, name, f"{file}.crossattention", x, ENCODER)
    x = steps[-1].name
    product = _linear(f"{here}.intermediate.product", x, inner, f"{file}.intermediate.dense")
    active = _activation(
        f"{here}.intermediate.activation",
        product.name,
        inner,
        canonical_activation(config.activation),
    )
    out = _linear(f"{here}.output.product", active.name, wide, f"{file}.output.dense")
    added = _residual(f"{here}.output.residual", out.name, x, wide)
    norm = _norm(f"{here}.output.norm", added.name, wide, f"{file}.output.LayerNorm")
    return [*steps, product, active, out, added, norm]


def _attention(config: RobertaConfig, here: str, file: str, x: str, source: str) -> list[Step]:
    """One attention: queries of the step ``x``, keys and values of ``source``."""
    wide = config.hidden_size
    is_cross = source == ENCODER
    over: Form = "encoder" if is_cross else "tokens"
    form: Form = "cross" if is_cross else "self"
    query, key, value, scores, weights, context = (
        f"{here}.{name}" for name in ("query", "key", "value", "scores", "weights", "context")
    )
    out = _linear(f"{here}.output", context, wide, f"{file}.output.dense")
    added = _residual(f"{here}.residual", out.name, x, wide)
    return [
        _linear(query, x, wide, f"{file}.self.query"),
        _linear(key, source, wide, f"{file}.self.key", over),
        _linear(value, source, wide, f"{file}.self.value", over),
        Step(scores, "scores", (query, key), form, 0, "query key^T / sqrt(head_size)"),
        Step(
            weights,
            "weights",
            (scores,),
            form,
            0,
            "softmax(scores of attended keys) * head mask",
        ),
        Step(context, "context", (weights, value), "tokens", wide, "weights value"),
        out,
        added,
        _norm(f"{here}.norm", added.name, wide, f"{file}.output.LayerNorm"),
    ]


def _head(config: RobertaConfig, architecture: str, tensors: Collection[str], x: str) -> list[Step]:
    """The steps after the last block, which reads the step ``x``."""
    wide, labels = config.hidden_size, config.num_labels
    if architecture == "base":
        return _pooler(wide, x) if "pooler.dense.weight" in tensors else []
    if architecture == "for_sequence_classification":
        first = _first(x, wide)
        dense = _linear("head.dense.product", first.name, wide, "classifier.dense", "rows")
        active = _activation("head.dense.activation", dense.name, wide, "tanh", "rows")
        out = _linear("logits", active.name, labels, "classifier.out_proj", "rows")
        return [first, dense, active, out]
    if architecture == "for_multiple_choice":
        pooler = _pooler(wide, x)
        return [*pooler, _linear("logits", pooler[-1].name, 1, "classifier", "rows")]
    if architecture == "for_token_classification":
        return [_linear("logits", x, labels, "classifier")]
    if architecture == "for_question_answering":
        return [_linear("logits", x, 2, "qa_outputs")]
    if architecture not in ("for_masked_language_modeling", "for_causal_language_modeling"):
        raise ValueError(f"architecture {architecture}")
    dense = _linear("head.dense.product", x, wide, "lm_head.dense")
    active = _activation("head.dense.activation", dense.name, wide, "gelu")
    norm = _norm("head.norm", active.name, wide, "lm_head.layer_norm")
    own = "lm_head.decoder.weight"
    table = own if own in tensors else "embeddings.word_embeddings.weight"
    logits = Step(
        name="logits",
        kind="linear",
        feeds=(norm.name,),
        form="tokens",
        columns=config.vocab_size,
        formula=f"{norm.name} weight^T + bias",
        tensors=(table, "lm_head.bias"),
    )
    return [dense, active, norm, logits]


def _pooler(wide: int, x: str) -> list[Step]:
    first = _first(x, wide)
    dense = _linear("head.pooler.product", first.name, wide, "pooler.dense", "rows")
    return [first, dense, _activation("head.pooler", dense.name, wide, "tanh", "rows")]


def _first(x: str, wide: int) -> Step:
    return Step("head.first", "first", (x,), "rows", wide, f"the first token of {x}")


def _linear(name: str, x: str, columns: int, layer: str, form: Form = "tokens") -> Step:
    tensors = (f"{layer}.weight", f"{layer}.bias")
    return Step(name, "linear", (x,), form, columns, f"{x} weight^T + bias", tensors)


def _norm(name: str, x: str, columns: int, layer: str) -> Step:
    formula = f"({x} - mean) / sqrt(variance + eps) * gamma + beta"
    tensors = (f"{layer}.weight", f"{layer}.bias")
    return Step(name, "norm", (x,), "tokens", columns, formula, tensors)


def _residual(name: str, y: str, x: str, columns: int) -> Step:
    return Step(name, "add", (y, x), "tokens", columns, f"{y} + {x}")


def _activation(name: str, x: str, columns: int, activation: str, form: Form = "tokens") -> Step:
    return Step(
        name, "activation", (x,), form, columns, f"{activation}({x})", activation=activation
    )
