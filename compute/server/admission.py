"""Who may open a session now. Pure: counts and rates per peer, handed the time."""

from __future__ import annotations

from dataclasses import dataclass

from compute.errors import Draining, Overloaded, Unauthorised
from compute.types import PeerId
from compute.wire.limits import Buckets

RETRY_SESSIONS_S = 5.0
"""Sessions last for seconds to minutes: asking again sooner is seldom of use."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much of a provider one peer, and all together, may hold.

    Args:
        sessions_max: of all peers. Each costs a few KiB besides its cache.
        sessions_per_peer_max: of one peer id. Identities are cheap, so this stops accidents more than attacks; the
            cache's own budget stops those.
        opens_per_s, opens_burst: sustained rate of new streams of one peer, and how many may come at once.
        refusals_per_peer_max: streams of one peer that are being told why they are refused; more are cut unheard.
        steps_per_s, steps_burst: sustained rate of steps of one peer, over all its sessions.
        tokens_per_peer_max: in steps of one peer that are in progress or wait. Half of what the engine queues: one peer
            never fills it.
        peers_remembered_max: buckets kept; the longest unused go first.
        allowed: peers that may open sessions; None for everybody.
    """

    sessions_max: int = 1024
    sessions_per_peer_max: int = 64
    opens_per_s: float = 8.0
    opens_burst: int = 64
    refusals_per_peer_max: int = 64
    steps_per_s: float = 2000.0
    steps_burst: int = 4000
    tokens_per_peer_max: int = 16_384
    peers_remembered_max: int = 4096
    allowed: frozenset[PeerId] | None = None

    def __post_init__(self) -> None:
        for name in (
            "sessions_max",
            "sessions_per_peer_max",
            "opens_burst",
            "refusals_per_peer_max",
            "steps_burst",
            "tokens_per_peer_max",
            "peers_remembered_max",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("opens_per_s", "steps_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")


class Admission:
    """Counts the open streams of every peer. Each `admit` that returned is paired with one `release`."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._open: dict[PeerId, int] = {}
        self._n_open = 0
        self._buckets = Buckets(limits.opens_per_s, limits.opens_burst, limits.peers_remembered_max)
        self.draining = False

    def admit(self, peer: PeerId, now: float) -> None:
        """Counts one more stream of `peer`. Raises Unauthorised, Draining or Overloaded, and then counts nothing."""
        limits = self._limits
        if limits.allowed is not None and peer not in limits.allowed:
            raise Unauthorised(
                f"this provider is private: ask its owner to --allow {peer}, your peer id (--identity PATH keeps it)"
            )
        if self.draining:
            raise Draining("this provider is leaving: plan the route again")
        bucket = self._buckets.of(peer, now)
        if not bucket.take(now):
            raise Overloaded(
                f"more than {limits.opens_per_s:g} new sessions per second from one peer",
                retry_after_s=bucket.wait_s(now),
            )
        if self._open.get(peer, 0) >= limits.sessions_per_peer_max:
            raise Overloaded(
                f"{limits.sessions_per_peer_max} sessions of one peer are open, which is the limit",
                retry_after_s=RETRY_SESSIONS_S,
            )
        if self._n_open >= limits.sessions_max:
            raise Overloaded(
                f"{limits.sessions_max} sessions are open, which is the limit", retry_after_s=RETRY_SESSIONS_S
            )
        self._open[peer] = self._open.get(peer, 0) + 1
        self._n_open += 1

    def release(self, peer: PeerId) -> None:
        """Takes back one `admit` of `peer`."""
        left = self._open[peer] - 1
        self._n_open -= 1
        if left:
            self._open[peer] = left
        else:
            del self._open[peer]
