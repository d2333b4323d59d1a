"""Every key of ``config.json`` that is known, and what becomes of it: one list.

The keys are those that the classes of transformers 4.57 and 5.24 for RoBERTa, XLM-RoBERTa,
CamemBERT and data2vec-text read, those that both majors write, and those of other graphs that have
been seen under these model types. A key of no list is read by none of these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import excerpt
from .errors import ConfigError

# What each field of RobertaConfig is called in the file.
HF_NAMES = {
    "vocab_size": "vocab_size",
    "max_positions": "max_position_embeddings",
    "max_token_types": "type_vocab_size",
    "hidden_size": "hidden_size",
    "num_blocks": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "activation": "hidden_act",
    "dropout_rate": "hidden_dropout_prob",
    "attention_dropout_rate": "attention_probs_dropout_prob",
    "classifier_dropout_rate": "classifier_dropout",
    "layer_norm_epsilon": "layer_norm_eps",
    "initializer_range": "initializer_range",
    "output_hidden_states": "output_hidden_states",
    "output_attentions": "output_attentions",
    "num_labels": "num_labels",
    "id_to_label": "id2label",
    "use_cross_attention": "add_cross_attention",
    "pad_token_id": "pad_token_id",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "forced_bos_token_id": "forced_bos_token_id",
    "forced_eos_token_id": "forced_eos_token_id",
    "tie_word_embeddings": "tie_word_embeddings",
    "problem_type": "problem_type",
}

# Computed besides: the family, the class, attention to what came before alone, and the ancestor's
# own spelling of add_cross_attention.
COMPUTED = (
    *HF_NAMES.values(),
    *("model_type", "architectures", "is_decoder", "use_cross_attention"),
)

# Of another graph, or another way to compute this one: refused unless empty, and why.
_OWN_CODE = "the model is computed by code of its own: open the checkpoint that it was made from"
_POSITIONS = "its positions are not rows of a table"
_ATTENTION = "its attention is another one"
_LAYERS = "its blocks have other layers"
REFUSED = {
    "auto_map": _OWN_CODE,
    "pruned_heads": "the tensors of a pruned model have other shapes",
    "quantization_config": "quantised checkpoints are not read: open the one it was made from",
    "compression_config": "compressed checkpoints are not read: open the one it was made from",
    **dict.fromkeys(
        ("rope_theta", "rope_scaling", "rope_parameters", "rotary_emb_base", "rotary_emb_dim"),
        _POSITIONS,
    ),
    **dict.fromkeys(("rotary_pct", "rotary_emb_fraction", "use_alibi", "alibi"), _POSITIONS),
    **dict.fromkeys(
        ("attention_window", "attention_mode", "attention_dilation", "autoregressive"), _ATTENTION
    ),
    **dict.fromkeys(("relative_attention", "pos_att_type", "share_att_key"), _ATTENTION),
    **dict.fromkeys(("sliding_window", "block_size", "num_random_blocks"), _ATTENTION),
    **dict.fromkeys(("local_attention", "global_attn_every_n_layers"), _ATTENTION),
    **dict.fromkeys(("num_experts", "moe_num_experts", "moe_every_n_layers"), _LAYERS),
    **dict.fromkeys(("num_hidden_groups", "inner_group_num", "parameter_sharing"), _LAYERS),
    **dict.fromkeys(("mlp_fc1_bias", "qkv_proj_bias", "use_rms_norm", "prenorm"), _LAYERS),
    **dict.fromkeys(("lora_adaptations", "lora_rank", "task_instructions"), _OWN_CODE),
    **dict.fromkeys(("pre_seq_len", "prefix_projection"), "prompts that were tuned are not read"),
    "adapters": "adapters of the adapters library are not read: merge them there first",
}
# What those that are not empty have to be.
_ONLY = {"position_embedding_type": (None, "absolute")}

# Without effect on any output of these classes here.
WITHOUT_EFFECT = {
    "how the file came to be": (
        *("transformers_version", "_name_or_path", "name_or_path", "finetuning_task"),
        "pyroberta_saved_as",
        *(
            "task_specific_params",
            "tokenizer_class",
            "prefix",
            "model_name",
            "gradient_checkpointing",
        ),
    ),
    "how transformers computes it, and which of its outputs it hands on": (
        *("_attn_implementation", "attn_implementation", "_attn_implementation_internal"),
        *("_attn_implementation_autoset", "chunk_size_feed_forward", "return_dict", "dtype"),
        *("torch_dtype", "torchscript", "use_bfloat16", "tf_legacy_loss", "use_return_dict"),
        *("_output_attentions", "use_cache", "output_past", "device_map"),
    ),
    "a name of what another key says": ("label2id",),
    "a part of another class of theirs": (
        *("is_encoder_decoder", "tie_encoder_decoder", "cross_attention_hidden_size"),
        *("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout"),
        *("summary_proj_to_labels", "summary_first_dropout"),
        *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type", "directionality"),
    ),
    "an option of generation, which a call gives": (
        *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "top_k", "top_p"),
        *("num_beam_groups", "diversity_penalty", "temperature", "typical_p", "length_penalty"),
        *("repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
        *("bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate"),
        *("remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens"),
        *("begin_suppress_tokens", "decoder_start_token_id", "sep_token_id", "cls_token_id"),
        *("mask_token_id", "unk_token_id", "extra_pos_embeddings"),
    ),
    "a setting of sentence-transformers, which its own tasks read": (
        *("sentence_transformers", "sbert_ce_default_activation_function", "sbert_ce_version"),
    ),
    "how the classes are written": (
        *("attribute_map", "base_config_key", "sub_configs", "sub_configs_defaults"),
        *("base_model_tp_plan", "base_model_pp_plan", "base_model_ep_plan"),
        *("base_model_fsdp_plan", "has_no_defaults_at_init", "extra_files", "extra_config_files"),
    ),
}


def refuse_other_graphs(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for a key that changes what is computed, and is not computed here."""
    for key, value in config.items():
        if key in _ONLY and value not in _ONLY[key]:
            raise ConfigError(
                f"{key} must be {_ONLY[key][-1]!r}, not {excerpt(value)}: its positions are not "
                "added as rows of a table"
            )
        if key in REFUSED and not _is_empty(value):
            raise ConfigError(
                f"{key} must be empty or absent in config.json, not {excerpt(value)}: "
                f"{REFUSED[key]}"
            )
    if config.get("embedding_size") not in (None, config.get("hidden_size")):
        raise ConfigError(
            f"embedding_size must equal hidden_size ({config.get('hidden_size')}), "
            f"not {excerpt(config['embedding_size'])}"
        )


def describe_keys(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """The keys of a ``config.json`` by what becomes of them."""
    without = {key for keys in WITHOUT_EFFECT.values() for key in keys}
    found: dict[str, list[str]] = {"computed": [], "refused": [], "without effect": [], "other": []}
    for key, value in sorted(config.items()):
        if key in COMPUTED:
            found["computed"].append(key)
        elif key in REFUSED and not _is_empty(value):
            found["refused"].append(key)
        elif key in REFUSED or key in _ONLY or key in without or key == "embedding_size":
            found["without effect"].append(key)
        else:
            found["other"].append(key)
    return found


def _is_empty(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (dict, list, str)) and not value)
