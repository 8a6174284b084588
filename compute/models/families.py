"""Where the parts of each decoder family live inside its stock `transformers` model.

A family is a row in a table, never a copied `forward`. To add one, add its row and run `tests/compute/models` and
`tests/compute/runner`: they compare every block of a tiny random model with the whole model (CONTRIBUTING, "Add a model
family").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from compute.errors import UnsupportedModel


class AttentionPath(StrEnum):
    """How our KV cache gets into a block."""

    PACKED = "packed"
    """Through the attention function that we register with transformers: tokens of all sessions side by side."""
    ALIBI = "alibi"
    """Through a duck-typed cache and an additive mask: families that keep their own attention code."""


@dataclass(frozen=True, slots=True)
class Family:
    """Module paths inside `AutoModelForCausalLM` for one `config.model_type`.

    Args:
        blocks: path of the `ModuleList` of decoder blocks; also the checkpoint's prefix of their tensors.
        rotary: path of the rotary embedding that the model keeps outside its blocks; "" for none.
        rotary_per_layer_type: the rotary takes the layer's type as a third argument and gives other angles for each.
        attention: how our cache gets in.
        block_returns_tuple: the block returns `(hidden, ...)` where newer families return `hidden`.
    """

    model_type: str
    blocks: str = "model.layers"
    rotary: str = "model.rotary_emb"
    rotary_per_layer_type: bool = False
    attention: AttentionPath = AttentionPath.PACKED
    block_returns_tuple: bool = False


_TABLE = (
    Family("llama"),
    Family("mistral"),
    Family("qwen2"),
    Family("qwen3"),
    Family("qwen3_moe"),
    Family("gemma"),
    Family("gemma2"),
    Family("gemma3_text", rotary_per_layer_type=True),
    Family("mixtral"),
    Family("phi"),
    Family("phi3"),
    Family("olmo2"),
    Family("stablelm"),
    Family("gpt_neox", blocks="gpt_neox.layers", rotary="gpt_neox.rotary_emb"),
    Family(
        "falcon",
        blocks="transformer.h",
        rotary="transformer.rotary_emb",
        attention=AttentionPath.ALIBI,
        block_returns_tuple=True,
    ),
    Family("bloom", blocks="transformer.h", rotary="", attention=AttentionPath.ALIBI, block_returns_tuple=True),
)

FAMILIES: dict[str, Family] = {family.model_type: family for family in _TABLE}


def family_of(model_type: str) -> Family:
    """The row for a config's `model_type`. Raises UnsupportedModel, naming what is supported."""
    try:
        return FAMILIES[model_type]
    except KeyError:
        known = ", ".join(sorted(FAMILIES))
        raise UnsupportedModel(f"models of type {model_type!r} are not supported yet; supported are: {known}") from None
