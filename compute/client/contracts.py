"""What sessions, the swarm's view and callers tell each other: plain data, and what a session needs of the swarm."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from compute.errors import BadReceipt, Equivocation
from compute.types import Codec, PeerId, Span, WireDType

Lie: TypeAlias = BadReceipt | Equivocation
"""What a provider said of a step is not so; `evidence` is in the form of `compute/wire/evidence.py`."""


class EvidenceSink(Protocol):
    """Keeps what providers lied about."""

    def keep(self, lie: Lie) -> None:
        """Notes it. Called on the event loop, once for every lie; must not raise."""


class Transport(Protocol):
    """Reaches providers."""

    async def dial(self, peer: PeerId) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new stream to the session service of `peer`. Raises LinkLost."""


@dataclass(frozen=True, slots=True)
class HopTimes:
    """How long a hop may take for what, seconds.

    Args:
        open_timeout_s: from dialling to the answer to SessionOpen.
        ack_timeout_s: from a step to its acknowledgement, beside round trip and sending. Shorter finds dead peers
            sooner and takes busy ones for dead.
        slack_s: beyond two heartbeats without a message while a step is in progress.
        step_timeout_s: the longest step, whatever the provider says meanwhile.
        keepalive_s: between two keepalives on an idle stream.
        upload_bytes_s: the slowest link that is not taken for a dead one.
    """

    open_timeout_s: float = 2.0
    ack_timeout_s: float = 0.6
    slack_s: float = 0.2
    step_timeout_s: float = 300.0
    keepalive_s: float = 5.0
    upload_bytes_s: float = 1e6

    def __post_init__(self) -> None:
        for name in ("open_timeout_s", "ack_timeout_s", "slack_s", "step_timeout_s", "keepalive_s", "upload_bytes_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")


@dataclass(frozen=True, slots=True)
class Profile:
    """How a provider computes, as it declares; "" stands for any. Hops of one profile give the same tokens."""

    quant_spec: str = ""
    numeric_profile: str = ""


ANY_PROFILE = Profile()


@dataclass(frozen=True, slots=True)
class HopTarget:
    """A provider that is to serve `span` of a session, and how to talk to it."""

    peer: PeerId
    span: Span
    provider_key: bytes
    codec: Codec = Codec.RAW
    dtype: WireDType = WireDType.FP32
    rtt_s: float = 0.0
    profile: Profile = ANY_PROFILE


class Swarm(Transport, Protocol):
    """What a session needs of the swarm."""

    def plan(
        self, within: Span, avoided: Collection[PeerId], tokens: int, profile: Profile = ANY_PROFILE
    ) -> Sequence[HopTarget]:
        """Hops of `profile` that tile `within` on peers not in `avoided`, for lanes of `tokens` now. Raises NoRoute."""

    async def refresh(self) -> None:
        """Makes `plan` know what providers say now. Never raises for peers that do not answer."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session treats its hops.

    Args:
        give_up_s: the longest that one step looks for providers, counted from its first failure.
        open_give_up_s: the same at the start, where waiting seldom helps.
        retry_s: before the first repetition of a plan that failed; doubled each time, up to `retry_s_max`.
        refusal_s_max: the longest wait for a provider that says when it will have room.
        move_retry_s: before a draining provider, for whom there was no replacement, is looked after again.
        replay_tokens: of one step of a replay.
        evidence: is given every wrong receipt and equivocation; None keeps nothing.
    """

    times: HopTimes = field(default_factory=HopTimes)
    give_up_s: float = 30.0
    open_give_up_s: float = 3.0
    retry_s: float = 0.1
    retry_s_max: float = 2.0
    refusal_s_max: float = 5.0
    move_retry_s: float = 2.0
    replay_tokens: int = 1024
    evidence: EvidenceSink | None = None


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What a session is about, the same for all of its hops. `lanes_max` may be reached by forks."""

    model_root: bytes
    network_id: bytes
    n_blocks: int
    width: int
    lanes_max: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class RouteHop:
    peer: PeerId
    span: Span


@dataclass(frozen=True, slots=True)
class SessionRoute:
    """The hops that serve a session now, first to last; gaps are where one was lost."""

    hops: tuple[RouteHop, ...]


@dataclass(frozen=True, slots=True)
class HopReport:
    """Of one hop since it joined the session. Milliseconds are means per step."""

    peer: PeerId
    span: Span
    steps: int
    step_ms: float
    compute_ms: float
    queue_ms: float

    @property
    def link_ms(self) -> float:
        """What is neither compute nor queue: the transport and both ends' own work."""
        return self.step_ms - self.compute_ms - self.queue_ms


@dataclass(frozen=True, slots=True)
class SessionStats:
    """`failovers`: hops that were lost; `failover_s`: the longest step, from its start, with any trouble."""

    steps: int
    tokens: int
    replayed_tokens: int
    failovers: int
    failover_s: float
    hops: tuple[HopReport, ...]
