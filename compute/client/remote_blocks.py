"""The one module that stands in for all decoder blocks of a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from compute.client.cache import RemoteCache
from compute.errors import BadRequest


@dataclass(frozen=True, slots=True)
class StepCall:
    """What a call of the model knows and its blocks need. Attributes are those of `RemoteCache.step`."""

    cache: RemoteCache
    tokens: Sequence[tuple[int, ...]] | None
    keep: torch.Tensor | None


CURRENT_CALL: ContextVar[StepCall] = ContextVar("peerz_step_call")
"""Set by the model's `forward` around the family's own, which hands none of it to its blocks."""


class RemoteBlocks(torch.nn.Module):
    """Sends hidden states, `[rows, columns, width]`, through every block of the model at the providers.

    Whatever else a family hands to its blocks (masks, rotary angles) is made by the providers anew and ignored here.
    """

    def __init__(self, returns_tuple: bool) -> None:
        super().__init__()
        self._returns_tuple = returns_tuple

    def forward(self, hidden: torch.Tensor, *_: object, **__: object) -> torch.Tensor | tuple[torch.Tensor]:
        call = CURRENT_CALL.get(None)
        if call is None:
            raise BadRequest("remote blocks run as part of the whole model: call model(...), not its backbone")
        if torch.is_grad_enabled() and hidden.requires_grad:
            raise BadRequest(
                "gradients do not pass through remote blocks (they come with fine-tuning): call under torch.no_grad()"
            )
        out = call.cache.step(hidden, call.tokens, call.keep)
        return (out,) if self._returns_tuple else out
