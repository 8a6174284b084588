"""Round trips to providers, measured, and what they say of themselves; and the small service that answers."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError, P2PHandlerError

from compute.errors import LinkLost
from compute.types import PeerId
from compute.wire import peerz_pb2

logger = logging.getLogger(__name__)

_NONCE_BYTES = 16
_NONCE_BYTES_MAX = 32
_EWMA = 0.3
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class PeerLoad:
    """What a provider tells whoever asks."""

    record: bytes
    queued_tokens: int
    cache_bytes_free: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to a ping: seconds that it took, and the peer's sealed record as it is now, not looked at yet."""

    taken_s: float
    record: bytes


class PeerzInfo(ServicerBase):
    """Answers pings with the provider's present load."""

    def __init__(self, load: Callable[[], PeerLoad]) -> None:
        self._load = load

    async def rpc_info(self, request: peerz_pb2.InfoRequest, context: P2PContext) -> peerz_pb2.InfoReply:
        load = self._load()
        return peerz_pb2.InfoReply(
            nonce=request.nonce[:_NONCE_BYTES_MAX],
            record=load.record,
            queued_tokens=load.queued_tokens,
            cache_bytes_free=load.cache_bytes_free,
            sessions=load.sessions,
        )


class Pinger:
    """Smoothed round trips, in seconds, of the peers that answered."""

    def __init__(self, p2p: P2P, *, timeout_s: float = 3.0, clock: Callable[[], float] = time.perf_counter) -> None:
        self._p2p = p2p
        self._timeout_s = timeout_s
        self._clock = clock
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self.rtt_s: dict[PeerId, float] = {}

    async def ping(self, peer: PeerId) -> float:
        """The round trip just measured. Raises LinkLost, and forgets the peer, when no right answer comes in time."""
        return (await self.ask(peer)).taken_s

    async def ask(self, peer: PeerId) -> Pong:
        """The round trip just measured, and what the peer says of itself, unchecked. Raises LinkLost like `ping`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        stub = PeerzInfo.get_stub(self._p2p, PeerID.from_base58(peer))
        started_s = self._clock()
        try:
            reply = await stub.rpc_info(peerz_pb2.InfoRequest(nonce=nonce), timeout=self._timeout_s)
        except (TimeoutError, P2PDaemonError, P2PHandlerError, DecodeError, EOFError, OSError) as error:
            self.rtt_s.pop(peer, None)
            raise LinkLost(f"{peer} does not answer pings", peer=peer) from error
        taken_s = self._clock() - started_s
        if reply.nonce != nonce:
            self.rtt_s.pop(peer, None)
            raise LinkLost(f"{peer} answers something else than it was asked", peer=peer)
        before_s = self.rtt_s.get(peer, taken_s)
        self.rtt_s[peer] = before_s + _EWMA * (taken_s - before_s)
        return Pong(taken_s, reply.record)

    async def ping_all(self, peers: Iterable[PeerId]) -> None:
        """Pings all of them, a few at once; silent ones are just not in `rtt_s` afterwards."""

        async def one(peer: PeerId) -> None:
            async with self._limit:
                try:
                    await self.ping(peer)
                except LinkLost as error:
                    logger.debug("%s", error)

        await asyncio.gather(*(one(peer) for peer in set(peers)))
