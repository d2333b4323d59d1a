"""What other implementations call the steps of the graph."""

from __future__ import annotations

from collections.abc import Sequence

# For each step, with {n} for its block's number, what an implementation may call it; the first name
# that is there is taken, alone or behind a prefix that ends in "." or "/". "[1/3]" after a name
# takes the second third of the last axis. ":input" is what a module is given, ":0" the first of
# several results, as torch_steps.py names them.
_BLOCK = "block.{n}."


def _torch_attention(mine: str, file: str) -> dict[str, Sequence[str]]:
    return {
        f"{mine}.query": (f"{file}.self.query",),
        f"{mine}.key": (f"{file}.self.key",),
        f"{mine}.value": (f"{file}.self.value",),
        f"{mine}.weights": (f"{file}.self:1",),
        f"{mine}.context": (f"{file}.output.dense:input", f"{file}.self:0"),
        f"{mine}.output": (f"{file}.output.dense",),
        f"{mine}.residual": (f"{file}.output.LayerNorm:input",),
        f"{mine}.norm": (f"{file}.output.LayerNorm",),
    }


_LAYER = "encoder.layer.{n}"
TRANSFORMERS: dict[str, Sequence[str]] = {
    "embeddings.word": ("embeddings.word_embeddings",),
    "embeddings.token_type": ("embeddings.token_type_embeddings",),
    "embeddings.position": ("embeddings.position_embeddings",),
    "embeddings.sum": ("embeddings.LayerNorm:input",),
    "embeddings.norm": ("embeddings.LayerNorm",),
    **_torch_attention(f"{_BLOCK}attention", f"{_LAYER}.attention"),
    **_torch_attention(f"{_BLOCK}cross_attention", f"{_LAYER}.crossattention"),
    f"{_BLOCK}intermediate.product": (f"{_LAYER}.intermediate.dense",),
    f"{_BLOCK}intermediate.activation": (
        f"{_LAYER}.output.dense:input",
        f"{_LAYER}.intermediate",
    ),
    f"{_BLOCK}output.product": (f"{_LAYER}.output.dense",),
    f"{_BLOCK}output.residual": (f"{_LAYER}.output.LayerNorm:input",),
    f"{_BLOCK}output.norm": (f"{_LAYER}.output.LayerNorm",),
    "head.first": ("classifier.dense:input", "pooler.dense:input"),
    "head.pooler.product": ("pooler.dense",),
    "head.pooler": ("pooler.activation", "pooler"),
    "head.dense.product": ("lm_head.dense", "classifier.dense"),
    "head.dense.activation": ("lm_head.layer_norm:input", "classifier.out_proj:input"),
    "head.norm": ("lm_head.layer_norm",),
    "logits": ("lm_head.decoder", "classifier.out_proj", "qa_outputs", "classifier", "logits"),
}

_FAIR = "layers.{n}"
FAIRSEQ: dict[str, Sequence[str]] = {
    "embeddings.word": ("embed_tokens",),
    "embeddings.position": ("embed_positions",),
    "embeddings.sum": ("layernorm_embedding:input", "emb_layer_norm:input"),
    "embeddings.norm": ("layernorm_embedding", "emb_layer_norm"),
    f"{_BLOCK}attention.query": (f"{_FAIR}.self_attn.q_proj", f"{_FAIR}.self_attn.in_proj[0/3]"),
    f"{_BLOCK}attention.key": (f"{_FAIR}.self_attn.k_proj", f"{_FAIR}.self_attn.in_proj[1/3]"),
    f"{_BLOCK}attention.value": (f"{_FAIR}.self_attn.v_proj", f"{_FAIR}.self_attn.in_proj[2/3]"),
    f"{_BLOCK}attention.weights": (f"{_FAIR}.self_attn:1",),
    f"{_BLOCK}attention.context": (f"{_FAIR}.self_attn.out_proj:input",),
    f"{_BLOCK}attention.output": (f"{_FAIR}.self_attn.out_proj", f"{_FAIR}.self_attn:0"),
    f"{_BLOCK}attention.residual": (f"{_FAIR}.self_attn_layer_norm:input",),
    f"{_BLOCK}attention.norm": (f"{_FAIR}.self_attn_layer_norm",),
    f"{_BLOCK}intermediate.product": (f"{_FAIR}.fc1",),
    f"{_BLOCK}intermediate.activation": (f"{_FAIR}.fc2:input",),
    f"{_BLOCK}output.product": (f"{_FAIR}.fc2",),
    f"{_BLOCK}output.residual": (f"{_FAIR}.final_layer_norm:input",),
    f"{_BLOCK}output.norm": (f"{_FAIR}.final_layer_norm",),
    "head.dense.product": ("lm_head.dense", "dense"),
    "head.dense.activation": ("lm_head.layer_norm:input", "out_proj:input"),
    "head.norm": ("lm_head.layer_norm",),
    "logits": ("lm_head", "out_proj"),
}

_AXON = "encoder.blocks.{n}"
BUMBLEBEE: dict[str, Sequence[str]] = {
    "embeddings.word": ("embedder.token_embedding",),
    "embeddings.token_type": ("embedder.token_type_embedding",),
    "embeddings.position": ("embedder.position_embedding",),
    "embeddings.sum": ("embedder.norm:input",),
    "embeddings.norm": ("embedder.norm",),
    **{
        f"{_BLOCK}{mine}.{step}": (f"{_AXON}.{theirs}{end}",)
        for mine, theirs in (
            ("attention", "self_attention"),
            ("cross_attention", "cross_attention"),
        )
        for step, end in (
            ("query", ".query"),
            ("key", ".key"),
            ("value", ".value"),
            ("context", ".output:input"),
            ("output", ".output"),
            ("residual", "_norm:input"),
            ("norm", "_norm"),
        )
    },
    f"{_BLOCK}intermediate.product": (f"{_AXON}.ffn.intermediate",),
    f"{_BLOCK}intermediate.activation": (f"{_AXON}.ffn.output:input",),
    f"{_BLOCK}output.product": (f"{_AXON}.ffn.output",),
    f"{_BLOCK}output.residual": (f"{_AXON}.output_norm:input",),
    f"{_BLOCK}output.norm": (f"{_AXON}.output_norm",),
    "head.pooler.product": ("pooler.output",),
    "head.dense.product": ("language_modeling_head.dense", "sequence_classification_head.dense"),
    "head.norm": ("language_modeling_head.norm",),
    "logits": (
        "language_modeling_head.output",
        "sequence_classification_head.output",
        "token_classification_head.output",
        "question_answering_head.output",
        "multiple_choice_head.output",
    ),
}

_NODE = "encoder/layer.{n}"
_NORMS = ("LayerNormalization_output_0", "Add_1_output_0")


def _norm_nodes(layer: str) -> Sequence[str]:
    return tuple(f"{layer}/{name}" for name in _NORMS)


ONNX: dict[str, Sequence[str]] = {
    "embeddings.word": ("embeddings/word_embeddings/Gather_output_0",),
    "embeddings.token_type": ("embeddings/token_type_embeddings/Gather_output_0",),
    "embeddings.position": ("embeddings/position_embeddings/Gather_output_0",),
    # transformers 4 adds word and type last, 5 the position.
    "embeddings.sum": ("embeddings/Add_2_output_0", "embeddings/Add_1_output_0"),
    "embeddings.norm": _norm_nodes("embeddings/LayerNorm"),
    f"{_BLOCK}attention.query": (f"{_NODE}/attention/self/query/Add_output_0",),
    f"{_BLOCK}attention.key": (f"{_NODE}/attention/self/key/Add_output_0",),
    f"{_BLOCK}attention.value": (f"{_NODE}/attention/self/value/Add_output_0",),
    f"{_BLOCK}attention.scores": (
        f"{_NODE}/attention/self/Div_output_0",
        f"{_NODE}/attention/self/Mul_output_0",
    ),
    f"{_BLOCK}attention.weights": (f"{_NODE}/attention/self/Softmax_output_0",),
    f"{_BLOCK}attention.context": (
        f"{_NODE}/attention/self/Reshape_3_output_0",
        f"{_NODE}/attention/self/MatMul_1_output_0",
    ),
    f"{_BLOCK}attention.output": (f"{_NODE}/attention/output/dense/Add_output_0",),
    f"{_BLOCK}attention.residual": (f"{_NODE}/attention/output/Add_output_0",),
    f"{_BLOCK}attention.norm": _norm_nodes(f"{_NODE}/attention/output/LayerNorm"),
    f"{_BLOCK}intermediate.product": (f"{_NODE}/intermediate/dense/Add_output_0",),
    # The last product of the function is the one with the highest number.
    f"{_BLOCK}intermediate.activation": tuple(
        f"{_NODE}/intermediate/intermediate_act_fn/{name}_output_0"
        for name in ("Mul_5", "Mul_3", "Mul_1", "Mul", "Relu", "Tanh", "Sigmoid")
    ),
    f"{_BLOCK}output.product": (f"{_NODE}/output/dense/Add_output_0",),
    f"{_BLOCK}output.residual": (f"{_NODE}/output/Add_output_0",),
    f"{_BLOCK}output.norm": _norm_nodes(f"{_NODE}/output/LayerNorm"),
    "head.first": ("classifier/Gather_output_0", "pooler/Gather_output_0"),
    "head.dense.product": ("lm_head/dense/Add_output_0", "classifier/dense/Gemm_output_0"),
    "head.dense.activation": ("lm_head/Mul_1_output_0", "classifier/Tanh_output_0"),
    "head.norm": _norm_nodes("lm_head/layer_norm"),
    "head.pooler.product": ("pooler/dense/Gemm_output_0",),
    "head.pooler": ("pooler/activation/Tanh_output_0",),
    "logits": ("logits",),
}

# torch.onnx.export with dynamo=True numbers what it gives: {6n+1} is 6 times the block's number
# and 1, and the first has no number at all.
ONNX_DYNAMO: dict[str, Sequence[str]] = {
    "embeddings.word": ("embedding",),
    "embeddings.token_type": ("embedding_1",),
    "embeddings.position": ("embedding_2",),
    "embeddings.norm": ("layer_norm",),
    f"{_BLOCK}attention.query": ("linear_{6n}",),
    f"{_BLOCK}attention.key": ("linear_{6n+1}",),
    f"{_BLOCK}attention.value": ("linear_{6n+2}",),
    f"{_BLOCK}attention.weights": ("softmax_{n}",),
    f"{_BLOCK}attention.output": ("linear_{6n+3}",),
    f"{_BLOCK}attention.norm": ("layer_norm_{2n+1}",),
    f"{_BLOCK}intermediate.product": ("linear_{6n+4}",),
    f"{_BLOCK}intermediate.activation": ("gelu_{n}", "relu_{n}", "silu_{n}"),
    f"{_BLOCK}output.product": ("linear_{6n+5}",),
    f"{_BLOCK}output.norm": ("layer_norm_{2n+2}",),
    "logits": ("logits",),
}

MAPS = {
    "transformers": TRANSFORMERS,
    "fairseq": FAIRSEQ,
    "bumblebee": BUMBLEBEE,
    "onnx": ONNX,
    "onnx, dynamo": ONNX_DYNAMO,
}
