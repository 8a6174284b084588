"""What a provider is told at start, and what it says of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from compute.identity import NETWORK_ID_BYTES, NO_CHAIN
from compute.server.memory import MESSAGES_SHARE
from compute.server.service_options import ServiceOptions
from compute.swarm.balancing import MoveRules
from compute.swarm.records import REFRESH_S
from compute.types import PeerId, Precision, Span


class ProviderState(StrEnum):
    """Where a provider is in its life."""

    NEW = "new"
    STARTING = "starting"
    ONLINE = "online"
    MOVING = "moving"
    LEAVING = "leaving"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """Everything that decides how a provider serves. Checked once, here.

    Args:
        model: directory, name in the cache, or hub id.
        blocks: the span to serve; None for the one that helps the swarm most.
        listen: multiaddrs; port 0 for any free one.
        initial_peers: full multiaddrs of nodes of the swarm; none for its first node.
        cache_bytes: for keys and values of all sessions; None for a share of what is free.
        identity_path: the node's key file, made if missing; None for a key that is forgotten at the end.
        message_bytes: of clients' messages that are being received, computed or answered, all together; None for an
            eighth of what is free at start, at most `service.held_bytes_max`.
        threads: of the device's operators; None for the cores that are free at start.
        network_id: the chain's genesis hash.
        allowed_peers: the only peers that may open sessions; None for everybody.
        model_cache: where models lie; None for the default.
        refresh_s: between two publications of the record, which lives three times as long.
        service: limits and times of sessions.
        moves: when to serve other blocks; of no account where `blocks` are given.
        move_drain_s: a move that waits longer than this for sessions to end is given up.
    """

    model: str
    blocks: Span | None = None
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    initial_peers: tuple[str, ...] = ()
    precision: Precision = Precision.FP32
    cache_bytes: int | None = None
    message_bytes: int | None = None
    identity_path: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    threads: int | None = None
    device: str = "cpu"
    network_id: bytes = NO_CHAIN
    allowed_peers: frozenset[PeerId] | None = None
    model_cache: Path | None = None
    refresh_s: float = REFRESH_S
    service: ServiceOptions = field(default_factory=ServiceOptions)
    moves: MoveRules = field(default_factory=MoveRules)
    move_drain_s: float = 300.0

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("name a model to serve")
        if not self.listen:
            raise ValueError("name at least one address to listen on, for example /ip4/0.0.0.0/tcp/0")
        if self.cache_bytes is not None and self.cache_bytes <= 0:
            raise ValueError("cache_bytes must be above 0")
        if self.message_bytes is not None and self.message_bytes < self.service.held_bytes_min:
            raise ValueError(f"message_bytes must be at least {self.service.held_bytes_min}: a quarter is one peer's")
        if self.threads is not None and self.threads < 1:
            raise ValueError("threads must be at least 1")
        if not self.move_drain_s > 0:
            raise ValueError("move_drain_s must be above 0 seconds")
        if len(self.network_id) != NETWORK_ID_BYTES:
            raise ValueError(f"network_id must have {NETWORK_ID_BYTES} bytes")
        if not 0 < self.refresh_s <= REFRESH_S:
            raise ValueError(f"refresh_s must be above 0 and at most {REFRESH_S:g}: records expire")

    def sessions_on(self, free_bytes: int) -> ServiceOptions:
        """The limits of sessions on a machine with `free_bytes` of memory, with the allow-list in them."""
        service, admission = self.service, self.service.admission
        if self.allowed_peers is not None:
            admission = replace(admission, allowed=self.allowed_peers)
        held_bytes = self.message_bytes
        if held_bytes is None:
            held_bytes = max(service.held_bytes_min, min(service.held_bytes_max, int(free_bytes * MESSAGES_SHARE)))
        return replace(service, admission=admission, held_bytes_max=held_bytes)


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """A provider at one moment, as plain data: for the ready file, `status` and metrics."""

    state: ProviderState
    peer_id: str
    addresses: tuple[str, ...]
    model: str
    model_root: str
    n_blocks: int
    span: tuple[int, int]
    precision: str
    quant_spec: str
    numeric_profile: str
    sessions: int
    queued_tokens: int
    cache_bytes_used: int
    cache_bytes_budget: int
    weight_bytes: int
    decode_us: int
    prefill_tokens_s: int
    tokens_total: int

    def as_json(self) -> dict[str, Any]:
        """For `json.dumps`."""
        return {**asdict(self), "addresses": list(self.addresses), "span": list(self.span), "state": self.state.value}
