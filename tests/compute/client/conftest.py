"""Tiny random models of every family, whole and distributed over sessions in this process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from compute.client.cache import CACHE_KEYWORD
from compute.client.distributed import distribute
from compute.models.families import FAMILIES
from compute.types import Row

VOCABULARY = 101
_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "bloom": {"n_layer": 3, "n_head": 4},
    "falcon": {"head_dim": None, "new_decoder_architecture": False, "multi_query": True},
    "mixtral": {"num_local_experts": 4},
    "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 24, "num_experts_per_tok": 2},
    "gemma2": {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 64, "query_pre_attn_scalar": 8},
}
_FINAL_NORMS = ("model.norm", "model.final_layernorm", "gpt_neox.final_layer_norm", "transformer.ln_f")
_EMBEDDING_NORM = "transformer.word_embeddings_layernorm"


def tiny_model(model_type: str, **overrides: Any) -> Any:
    """A whole stock model with random fp32 weights, the same each time."""
    torch.manual_seed(7)
    options = {**_SMALL, **_OF_FAMILY.get(model_type, {}), **overrides}
    config = AutoConfig.for_model(model_type, **{key: value for key, value in options.items() if value is not None})
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    with torch.no_grad():
        # Larger than the usual initial scale, so that the next token depends on the whole context.
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(6.0)
    model.generation_config.max_length = None
    return model


class StockBlocks:
    """Only the blocks of a stock model: hidden states in, hidden states out, by the model's own `forward`."""

    def __init__(self, model: Any) -> None:
        whole = copy.deepcopy(model)
        for path in (*_FINAL_NORMS, _EMBEDDING_NORM):
            parent, _, name = path.rpartition(".")
            try:
                owner = whole.get_submodule(parent)
            except AttributeError:
                continue
            if hasattr(owner, name):
                setattr(owner, name, torch.nn.Identity())
        self._body = getattr(whole, whole.base_model_prefix)

    @torch.no_grad()
    def __call__(self, hidden: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        out = self._body(inputs_embeds=hidden.float()[None], use_cache=True, **{CACHE_KEYWORD: cache})
        return out.last_hidden_state[0]  # type: ignore[no-any-return]


@dataclass
class LocalSession:
    """The transport's edge in this process: a stock cache per lane, and a log of what was asked."""

    blocks: StockBlocks
    caches: list[DynamicCache]
    max_tokens: int
    log: list[tuple[tuple[Row, ...], tuple[int, ...]]] = field(default_factory=list)
    closed: bool = False
    fault: Callable[[], None] = lambda: None

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(cache.get_seq_length() for cache in self.caches)

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int] = ()) -> torch.Tensor:
        assert not self.closed
        assert sum(row.n_tokens for row in rows) == hidden.shape[0]
        assert [row.lane for row in rows] == sorted({row.lane for row in rows})
        self.log.append((tuple(rows), tuple(fork)))
        self.fault()
        if fork:
            self.caches = [copy.deepcopy(self.caches[source]) for source in fork]
        parts = hidden.split([row.n_tokens for row in rows])
        return torch.cat([self._run(row, part) for row, part in zip(rows, parts, strict=True)])

    def _run(self, row: Row, hidden: torch.Tensor) -> torch.Tensor:
        cache = self.caches[row.lane]
        excess = cache.get_seq_length() - row.position
        assert excess >= 0
        assert row.position + row.n_tokens <= self.max_tokens
        if excess:
            cache.crop(-excess)
        return self.blocks(hidden, cache) if row.n_tokens else hidden

    def close(self) -> None:
        self.closed = True

    @property
    def tokens_sent(self) -> int:
        return sum(row.n_tokens for rows, _ in self.log for row in rows)


@dataclass
class LocalSource:
    """Opens `LocalSession`s and keeps them for inspection."""

    blocks: StockBlocks
    sessions: list[LocalSession] = field(default_factory=list)
    fault: Callable[[], None] = lambda: None
    closed: bool = False

    def open_session(self, *, max_tokens: int, lanes: int = 1) -> LocalSession:
        session = LocalSession(self.blocks, [DynamicCache() for _ in range(lanes)], max_tokens, fault=self.fault)
        self.sessions.append(session)
        return session

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Pair:
    """The same model twice: whole, and with its blocks behind `source`."""

    whole: Any
    distributed: Any
    source: LocalSource

    def both(self, *args: Any, seed: int = 0, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """What both generate from the same seed."""
        torch.manual_seed(seed)
        expected = self.whole.generate(*args, **kwargs)
        torch.manual_seed(seed)
        return expected, self.distributed.generate(*args, **kwargs)


def make_pair(model_type: str, **overrides: Any) -> Pair:
    whole = tiny_model(model_type, **overrides)
    source = LocalSource(StockBlocks(whole))
    return Pair(whole, distribute(copy.deepcopy(whole), source), source)


@pytest.fixture(params=sorted(FAMILIES))
def any_pair(request: pytest.FixtureRequest) -> Pair:
    """Every family in turn."""
    return make_pair(request.param)


@pytest.fixture
def pair() -> Pair:
    return make_pair("llama")


@pytest.fixture
def pair_of() -> Callable[..., Pair]:
    return make_pair


@pytest.fixture
def prompts() -> torch.Tensor:
    """Three prompts of eleven tokens, `[3, 11]`."""
    return torch.randint(3, VOCABULARY, (3, 11), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def padded(prompts: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same, the second shortened by four tokens and the third by nine, padded on the left."""
    ids, mask = prompts.clone(), torch.ones_like(prompts)
    for row, n_padding in ((1, 4), (2, 9)):
        ids[row, :n_padding] = 0
        mask[row, :n_padding] = 0
    return {"input_ids": ids, "attention_mask": mask}
