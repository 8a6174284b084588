"""Turns a stock transformers model into one whose decoder blocks are at the providers.

Embeddings, final norm and head are the family's own modules, run by the family's own `forward`; `RemoteBlocks` sits in
its list of blocks. So scaling, extra norms, soft caps, loss and everything that `generate()` offers stay transformers'.
"""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, cast

import torch
from transformers import GenerationConfig, PreTrainedModel

from compute.client.cache import CACHE_KEYWORD, RemoteCache, kept_tokens
from compute.client.remote_blocks import CURRENT_CALL, RemoteBlocks, StepCall
from compute.client.token_session import SessionSource, TokenSession
from compute.errors import BadRequest
from compute.models.families import family_of

NO_ATTENTION = "peerz_remote"
"""An attention implementation that transformers builds no mask for. Nothing attends on this side."""

_REFUSED_OUTPUTS = {
    "output_hidden_states": "hidden states between blocks stay at the providers",
    "output_attentions": "attention weights stay at the providers",
    "output_router_logits": "router logits stay at the providers",
}
_DEFAULT_MAX_TOKENS = 2048


class ClosableSource(SessionSource, Protocol):
    def close(self) -> None:
        """Leaves the swarm. Idempotent."""


class DistributedModel:
    """What a family's `...ForCausalLM` gains when its blocks are remote. Mixed in before the family's class."""

    config: Any
    _peerz_source: ClosableSource

    def inference_session(self, max_tokens: int) -> TokenSession:
        """An open session for several calls: `with model.inference_session(512) as s: model.generate(ids, session=s)`.

        Pass the whole history in each call; what the session holds of it is not sent again, and a history that differs
        is rolled back to the common prefix. `max_tokens` counts prompt and answer. Raises NoRoute.
        """
        session = TokenSession(self._peerz_source, max_tokens)
        session.open()
        return session

    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        *args: Any,
        session: TokenSession | None = None,
        **kwargs: Any,
    ) -> Any:
        """As `GenerationMixin.generate`, within `session` or else within a session of its own that ends with the call.

        Raises BadRequest for padding on the right and for outputs that stay at the providers.
        """
        _use_current_keyword(kwargs)
        run = functools.partial(self._generate, inputs, generation_config, *args, **kwargs)
        if kwargs.get(CACHE_KEYWORD) is not None:
            if session is not None:
                raise BadRequest(f"session=... makes its own {CACHE_KEYWORD}; leave one of them out")
            return run()
        if not self._uses_cache(generation_config, kwargs.get("use_cache")):
            if session is not None:
                raise BadRequest("use_cache=False and session=... exclude each other; leave one of them out")
            return run()
        if session is not None:
            return run(**{CACHE_KEYWORD: RemoteCache(session)})
        # Leaving the block closes it, after Ctrl-C too.
        with self._temporary_session() as own:
            return run(**{CACHE_KEYWORD: RemoteCache(own)})

    def forward(self, input_ids: torch.Tensor | None = None, **kwargs: Any) -> Any:
        """The family's `forward`. Without a cache, the blocks run once in a session that ends with the call.

        `attention_mask` is 2-D; padding on either side is allowed (logits of padding mean nothing). Gradients, hidden
        states between blocks and attention weights are refused with BadRequest.
        """
        _refuse_outputs(kwargs)
        _use_current_keyword(kwargs)
        cache = kwargs.get(CACHE_KEYWORD)
        if cache is not None:
            return self._forward_cached(cache, input_ids, kwargs)
        if kwargs.get("use_cache"):
            raise BadRequest(
                f"to go on from this call, pass {CACHE_KEYWORD}=RemoteCache(session) of a model.inference_session(...)"
            )
        n_tokens = _fed(input_ids, kwargs).shape[1]
        with self._temporary_session(n_tokens) as session:
            # The cache is for the blocks only: the caller gets none, since its session ends here.
            return self._forward_cached(
                RemoteCache(session), input_ids, kwargs | {"use_cache": False}, hand_over_cache=False
            )

    def close(self) -> None:
        """Leaves the swarm. Idempotent."""
        self._peerz_source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate(*args, **kwargs)  # type: ignore[misc]

    def _prefill(
        self,
        input_ids: torch.Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Generation's first pass, after it is known what is asked and before the prompt is cut to what is new."""
        mask = model_kwargs.get("attention_mask")
        if mask is not None and not bool(mask[:, -1].all()):
            raise BadRequest("generate() needs padding on the left; set tokenizer.padding_side = 'left'")
        cache, embeds = model_kwargs.get(CACHE_KEYWORD), model_kwargs.get("inputs_embeds")
        if isinstance(cache, RemoteCache):
            # `max_length` counts ids only: a prompt of embeddings comes on top.
            n_embeds = 0 if embeds is None else embeds.shape[1]
            cache.session.reserve(generation_config.max_length + n_embeds)
            if not n_embeds and not cache.get_seq_length():
                cache.plan(input_ids, None if mask is None else mask.bool())
        return super()._prefill(input_ids, generation_config, model_kwargs, *args, **kwargs)  # type: ignore[misc]

    def _temporary_session(self, max_tokens: int | None = None) -> TokenSession:
        limit = max_tokens or getattr(self.config, "max_position_embeddings", None) or _DEFAULT_MAX_TOKENS
        return TokenSession(self._peerz_source, limit)

    def _uses_cache(self, config: GenerationConfig | None, asked: bool | None) -> bool:
        if asked is None:
            asked = getattr(config or getattr(self, "generation_config", None), "use_cache", None)
        return asked is not False

    def _forward_cached(
        self, cache: object, input_ids: torch.Tensor | None, kwargs: dict[str, Any], hand_over_cache: bool = True
    ) -> Any:
        if not isinstance(cache, RemoteCache):
            raise BadRequest(f"{CACHE_KEYWORD} must be a RemoteCache, not {type(cache).__name__}; leave it out")
        fed = _fed(input_ids, kwargs)
        keep = _kept(kwargs.pop("attention_mask", None), cache, *fed.shape[:2])
        tokens = None if input_ids is None else kept_tokens(input_ids, keep)
        _check_positions(kwargs.get("position_ids"), cache.lengths(fed.shape[0]), keep, fed.shape[1])
        if hand_over_cache:
            kwargs[CACHE_KEYWORD] = cache
        token = CURRENT_CALL.set(StepCall(cache, tokens, keep))
        try:
            return super().forward(input_ids=input_ids, **kwargs)  # type: ignore[misc]
        finally:
            CURRENT_CALL.reset(token)


def distribute(outer: PreTrainedModel, source: ClosableSource) -> Any:
    """`outer`, turned in place into a distributed model whose blocks run in sessions of `source`.

    Its own blocks, if it has any, are dropped; what is left is frozen and in `eval` mode.
    Raises UnsupportedModel for a family that the table does not list.
    """
    family = family_of(outer.config.model_type)
    config = copy.deepcopy(outer.config)
    config._attn_implementation = NO_ATTENTION
    for name in _REFUSED_OUTPUTS:
        # Some checkpoints ask for them by default.
        setattr(config, name, False)
    for module in outer.modules():
        if getattr(module, "config", None) is outer.config and module is not outer:
            module.config = config
    outer.config = config
    parent, _, attribute = family.blocks.rpartition(".")
    setattr(outer.get_submodule(parent), attribute, torch.nn.ModuleList([RemoteBlocks(family.block_returns_tuple)]))
    outer.requires_grad_(False).eval()
    outer.__class__ = _distributed_class(type(outer))  # type: ignore[arg-type]
    outer._peerz_source = source
    return outer


@functools.cache
def _distributed_class(base: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """The family's class with `DistributedModel` mixed in."""
    names = list(inspect.signature(base.forward).parameters)[1:]

    # Generation reads the signature of `forward` to learn what the family takes: it must stay the family's.
    @functools.wraps(base.forward)
    def forward(self: DistributedModel, *args: Any, **kwargs: Any) -> Any:
        return DistributedModel.forward(self, **dict(zip(names, args, strict=False)), **kwargs)

    members = {"forward": forward, "__module__": __name__, "__doc__": f"{base.__name__} with its blocks at providers."}
    return cast(type[PreTrainedModel], type(f"Distributed{base.__name__}", (DistributedModel, base), members))


def _refuse_outputs(kwargs: Mapping[str, Any]) -> None:
    for name, reason in _REFUSED_OUTPUTS.items():
        if kwargs.get(name):
            raise BadRequest(f"{name} is not available: {reason}; leave it out")


def _use_current_keyword(kwargs: dict[str, Any]) -> None:
    """Renames the cache's keyword of older transformers, which the newer ones still take."""
    if CACHE_KEYWORD != "past_key_values" and "past_key_values" in kwargs:
        kwargs[CACHE_KEYWORD] = kwargs.pop("past_key_values")


def _fed(input_ids: torch.Tensor | None, kwargs: Mapping[str, Any]) -> torch.Tensor:
    """The ids, `[rows, columns]`, or the embeddings, `[rows, columns, width]`, that the call feeds."""
    embeds = kwargs.get("inputs_embeds")
    if (input_ids is None) == (embeds is None):
        raise BadRequest("pass input_ids or inputs_embeds, and not both")
    return cast(torch.Tensor, embeds if input_ids is None else input_ids)


def _kept(mask: torch.Tensor | None, cache: RemoteCache, n_rows: int, n_columns: int) -> torch.Tensor | None:
    """Which of the new columns are no padding, bool `[n_rows, n_columns]`; None when all are."""
    if mask is None:
        return None
    expected = (n_rows, cache.get_seq_length() + n_columns)
    if not isinstance(mask, torch.Tensor) or tuple(mask.shape) != expected:
        shape = tuple(mask.shape) if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise BadRequest(f"attention_mask must be 2-D and cover all columns so far, {expected}; it is {shape}")
    keep = mask[:, -n_columns:].bool()
    return None if bool(keep.all()) else keep


def _check_positions(
    position_ids: torch.Tensor | None, lengths: Sequence[int], keep: torch.Tensor | None, n_columns: int
) -> None:
    """Raises BadRequest when a real token is given another position than its place among its row's real tokens."""
    if position_ids is None:
        return
    if n_columns == 1 and keep is None:
        # Every decoding step: without a tensor operation.
        positions = position_ids.flatten().tolist()
        agree = all(position == length for position, length in zip(itertools.cycle(positions), lengths))
    else:
        agree = _positions_agree(position_ids, lengths, keep, n_columns)
    if not agree:
        raise BadRequest("position_ids must count the tokens that attention_mask keeps; leave them out")


def _positions_agree(
    position_ids: torch.Tensor, lengths: Sequence[int], keep: torch.Tensor | None, n_columns: int
) -> bool:
    start = torch.tensor(lengths, device=position_ids.device)[:, None]
    if keep is None:
        wrong = position_ids != start + torch.arange(n_columns, device=position_ids.device)
    else:
        wrong = (position_ids != start + keep.cumsum(1) - 1) & keep
    return not bool(wrong.any())
