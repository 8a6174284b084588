"""Tiny random models, one for each row of the family table (and variants that take other paths)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

_COMMON: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GATED = {**_COMMON, "num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_GEMMA = {**_GATED, "head_dim": 12}

# name: (model type, configuration)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _GATED),
    "mistral": ("mistral", {**_GATED, "sliding_window": 7}),
    "qwen2": ("qwen2", _GATED),
    "qwen3": ("qwen3", {**_GATED, "head_dim": 16}),
    "qwen3_moe": (
        "qwen3_moe",
        {**_GATED, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1},
    ),
    "gemma": ("gemma", _GEMMA),
    "gemma2": ("gemma2", {**_GEMMA, "sliding_window": 6, "query_pre_attn_scalar": 12}),
    "gemma3_text": (
        "gemma3_text",
        {
            **_GEMMA,
            "sliding_window": 6,
            "query_pre_attn_scalar": 12,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "mixtral": ("mixtral", {**_GATED, **_EXPERTS}),
    "phi": ("phi", {**_COMMON, "num_key_value_heads": 4, "intermediate_size": 48, "partial_rotary_factor": 0.5}),
    "phi3": ("phi3", {**_COMMON, "num_key_value_heads": 2, "intermediate_size": 48}),
    "olmo2": ("olmo2", {**_COMMON, "num_key_value_heads": 2, "intermediate_size": 48}),
    "stablelm": ("stablelm", {**_COMMON, "num_key_value_heads": 2, "intermediate_size": 48}),
    "gpt_neox": ("gpt_neox", {**_COMMON, "intermediate_size": 48}),
    "falcon": ("falcon", {**_COMMON, "new_decoder_architecture": False, "multi_query": True, "alibi": False}),
    "falcon-new": ("falcon", {**_COMMON, "new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False}),
    "falcon-alibi": ("falcon", {**_COMMON, "new_decoder_architecture": False, "multi_query": False, "alibi": True}),
    "bloom": ("bloom", {**_COMMON, "n_layer": 4, "n_head": 4}),
    "bloom-odd": ("bloom", {**_COMMON, "hidden_size": 48, "n_layer": 4, "n_head": 6}),
}


def tiny_model(variant: str, seed: int = 0) -> Any:
    """A random fp32 model of the variant, in evaluation mode."""
    model_type, arguments = VARIANTS[variant]
    torch.manual_seed(seed)
    config = CONFIG_MAPPING[model_type](**arguments)
    model = AutoModelForCausalLM.from_config(config)
    return model.float().eval()
