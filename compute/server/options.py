"""What a provider is told at start, and what it says of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from compute.identity import NETWORK_ID_BYTES, NO_CHAIN
from compute.server.handler import ServiceOptions
from compute.swarm.records import REFRESH_S
from compute.types import PeerId, Precision, Span


class ProviderState(StrEnum):
    """Where a provider is in its life."""

    NEW = "new"
    STARTING = "starting"
    ONLINE = "online"
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
        threads: of the device's operators; None for the library's choice.
        network_id: the chain's genesis hash.
        allowed_peers: the only peers that may open sessions; None for everybody.
        model_cache: where models lie; None for the default.
        refresh_s: between two publications of the record, which lives three times as long.
        service: limits and times of sessions.
    """

    model: str
    blocks: Span | None = None
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    initial_peers: tuple[str, ...] = ()
    precision: Precision = Precision.FP32
    cache_bytes: int | None = None
    identity_path: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    threads: int | None = None
    device: str = "cpu"
    network_id: bytes = NO_CHAIN
    allowed_peers: frozenset[PeerId] | None = None
    model_cache: Path | None = None
    refresh_s: float = REFRESH_S
    service: ServiceOptions = field(default_factory=ServiceOptions)

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("name a model to serve")
        if not self.listen:
            raise ValueError("name at least one address to listen on, for example /ip4/0.0.0.0/tcp/0")
        if self.cache_bytes is not None and self.cache_bytes <= 0:
            raise ValueError("cache_bytes must be above 0")
        if self.threads is not None and self.threads < 1:
            raise ValueError("threads must be at least 1")
        if len(self.network_id) != NETWORK_ID_BYTES:
            raise ValueError(f"network_id must have {NETWORK_ID_BYTES} bytes")
        if not 0 < self.refresh_s <= REFRESH_S:
            raise ValueError(f"refresh_s must be above 0 and at most {REFRESH_S:g}: records expire")

    @property
    def sessions(self) -> ServiceOptions:
        """The limits of sessions, with the allow-list in them."""
        if self.allowed_peers is None:
            return self.service
        return replace(self.service, admission=replace(self.service.admission, allowed=self.allowed_peers))


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
