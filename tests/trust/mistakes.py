"""The mistakes of ``port.py``: where each shows first, and a word of the guess at its cause."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A planted mistake.

    Attributes:
        name: as ``Port`` knows it.
        first: the step where it shows first.
        cause: what one of the guesses must say; empty: none is asked for.
        model: which of the test's models it is planted in.
    """

    name: str
    first: str
    cause: str
    model: str = "words"


_A, _I, _O = "block.0.attention.", "block.0.intermediate.", "block.0.output."
MISTAKES = [
    Mistake("epsilon 1e-12", f"{_A}norm", "epsilon 1e-12"),
    Mistake("epsilon 1e-3", f"{_A}norm", "epsilon 0.001"),
    Mistake("epsilon on the deviation", f"{_A}norm", "epsilon added to the deviation"),
    Mistake("unbiased variance", f"{_A}norm", "unbiased variance"),
    Mistake("mean not subtracted", f"{_A}norm", "mean is not subtracted"),
    Mistake("gamma left out", f"{_A}norm", "gamma is not applied"),
    Mistake("beta left out", f"{_A}norm", "beta is not added"),
    Mistake("norms swapped", f"{_A}norm", "encoder.layer.0.output.LayerNorm"),
    Mistake("tanh gelu", f"{_I}activation", "gelu_tanh in place of gelu"),
    Mistake("exact gelu", f"{_I}activation", "gelu in place of gelu_tanh", "new gelu"),
    Mistake("relu", f"{_I}activation", "relu in place of gelu"),
    Mistake("silu", f"{_I}activation", "silu in place of gelu"),
    Mistake("quick gelu", f"{_I}activation", "quick_gelu in place of gelu"),
    Mistake("positions off by one", "embeddings.position", "off by 1"),
    Mistake("positions too low by one", "embeddings.position", "off by -1"),
    Mistake("positions from 0", "embeddings.position", "begin at 0"),
    Mistake("pads counted", "embeddings.position", "pads are counted"),
    Mistake("columns as positions", "embeddings.position", "columns from 0"),
    Mistake("token types left out", "embeddings.token_type", "token type 0"),
    Mistake("token types swapped", "embeddings.token_type", "other way round"),
    Mistake("token type row not added", "embeddings.sum", "token_type is not added"),
    Mistake("ids off by one", "embeddings.word", "ids off by 1"),
    Mistake("word embeddings scaled", "embeddings.word", "sqrt(hidden_size)"),
    Mistake("word table in int8", "embeddings.word", ""),
    Mistake("scale missing", f"{_A}scores", "not divided by sqrt(head_size)"),
    Mistake("scale twice", f"{_A}scores", "divided by sqrt(head_size) twice"),
    Mistake("scaled by hidden size", f"{_A}scores", "sqrt(hidden_size) in place"),
    Mistake("scores of keys by queries", f"{_A}scores", "queries and keys swapped"),
    Mistake("query scaled early", f"{_A}query", "sqrt(head_size) already"),
    Mistake(
        "query and key swapped", f"{_A}query", "computed with encoder.layer.0.attention.self.k"
    ),
    Mistake("key and value swapped", f"{_A}key", "computed with encoder.layer.0.attention.self.v"),
    Mistake("weights of the next block", f"{_A}query", "computed with encoder.layer.1."),
    Mistake("fused heads before parts", f"{_A}query", "[heads, 3, head_size]"),
    Mistake("query bias missing", f"{_A}query", "bias is not added"),
    Mistake("output bias missing", f"{_A}output", "bias is not added"),
    Mistake("intermediate bias missing", f"{_I}product", "bias is not added"),
    Mistake("output weight transposed", f"{_A}output", "weight is transposed"),
    Mistake("weights in bfloat16", f"{_A}query", "rounded to bfloat16"),
    Mistake("weights in float16", f"{_A}query", "rounded to float16"),
    Mistake("heads split wrongly", f"{_A}scores", "[head_size, heads]"),
    Mistake("heads not transposed", f"{_A}scores", "before the tokens"),
    Mistake("heads joined wrongly", f"{_A}context", "without bringing the tokens first"),
    Mistake("weights transposed", f"{_A}context", "weights are transposed"),
    Mistake("mask added as -1", f"{_A}weights", "masked keys are attended to"),
    Mistake("mask added as -10", f"{_A}weights", "masked keys are attended to"),
    Mistake("mask on queries", f"{_A}weights", "masked keys are attended to"),
    Mistake("mask ignored", f"{_A}weights", "masked keys are attended to"),
    Mistake("mask inverted in part", f"{_A}weights", ""),
    Mistake("softmax over queries", f"{_A}weights", "softmax over the queries", "full"),
    Mistake("float16 softmax", f"{_A}weights", "float16"),
    Mistake("softmax of base 2", f"{_A}weights", "2 in place of e"),
    Mistake("causal the other way", f"{_A}weights", "a causal mask where there is none"),
    Mistake("causal the other way", f"{_A}weights", "causal mask is missing", "next words"),
    Mistake("attention dropout left on", f"{_A}weights", "dropout was left on"),
    Mistake("dropout left on", f"{_A}output", "dropout was left on"),
    Mistake("dropout before the residual", f"{_A}residual", "dropout was left on"),
    Mistake("residual missing", f"{_A}residual", "embeddings.norm is not added"),
    Mistake("residual subtracted", f"{_A}residual", "is subtracted"),
    Mistake("norm before the residual", f"{_A}residual", "norm stands before the residual"),
    Mistake("second residual missing", f"{_O}residual", "block.0.attention.norm is not added"),
    Mistake("residual twice", f"{_O}residual", "is added twice"),
    Mistake("head without gelu", "head.dense.activation", "not applied"),
    Mistake("head bias missing", "logits", "bias is not added"),
    Mistake("tied weight in another order", "logits", "read in the other order"),
    Mistake("pooler without tanh", "head.dense.activation", "not applied", "labels"),
    Mistake("last token read", "head.first", "last token", "labels"),
    Mistake("mean of tokens read", "head.first", "mean of the tokens", "labels"),
]
