"""How many steps, and how much work at once, one peer may send. Pure: counts per peer, handed the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from compute.errors import Overloaded
from compute.server.admission import AdmissionLimits
from compute.types import PeerId
from compute.wire.limits import Buckets, Budget

RETRY_TOKENS_S = 0.5
"""A prompt's chunk is computed in about so long."""

_NO_LIMIT = 1 << 62


class StepQuota:
    """Counts the steps of every peer, over all its sessions. What all peers may queue together is the engine's."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._rates = Buckets(limits.steps_per_s, limits.steps_burst, limits.peers_remembered_max)
        self._tokens = Budget(_NO_LIMIT, limits.tokens_per_peer_max)

    @contextmanager
    def step(self, peer: PeerId, n_tokens: int, now: float) -> Iterator[None]:
        """Counts one step of `peer` as long as it is in progress. Raises Overloaded, and then counts no tokens."""
        bucket = self._rates.of(peer, now)
        if not bucket.take(now):
            raise Overloaded(
                f"more than {self._limits.steps_per_s:g} steps per second from one peer",
                retry_after_s=bucket.wait_s(now),
            )
        if not self._tokens.take(peer, n_tokens):
            raise Overloaded(
                f"{self._limits.tokens_per_peer_max} tokens of one peer are in progress, which is the limit",
                retry_after_s=RETRY_TOKENS_S,
            )
        try:
            yield
        finally:
            self._tokens.give_back(peer, n_tokens)
