"""A client of a swarm for one model: joins, keeps looking, opens sessions. For callers without an event loop."""

from __future__ import annotations

import atexit
import logging
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from compute.client.blocking import BlockingSession, LoopThread
from compute.client.contracts import SessionOptions, SessionTerms
from compute.client.failover import CoolDown, Suspects
from compute.client.session import InferenceSession
from compute.client.swarm_view import SwarmView, ViewOptions
from compute.identity import NO_CHAIN, NodeKey
from compute.models.manifest import Manifest
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.swarm.records import ProviderRecord
from compute.types import PeerId
from compute.wire.limits import DEFAULT_LIMITS

logger = logging.getLogger(__name__)

_SEED_BYTES = 16
_CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a client looks at the swarm and treats its providers.

    Args:
        lanes_max: that a session may have, by opening or by forks (a beam is a lane).
    """

    view: ViewOptions = field(default_factory=ViewOptions)
    session: SessionOptions = field(default_factory=SessionOptions)
    cool_down: CoolDown = field(default_factory=CoolDown)
    lanes_max: int = DEFAULT_LIMITS.lanes_max


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """What a client knows now. `avoided` are the peers that it does not use at present."""

    model_root: bytes
    n_blocks: int
    records: tuple[ProviderRecord, ...]
    rtt_s: Mapping[PeerId, float]
    avoided: frozenset[PeerId]


class SwarmClient:
    """Made by `connect`; a context manager. Closed at the end of the program, if nobody did before."""

    def __init__(self, manifest: Manifest, network_id: bytes, options: ClientOptions) -> None:
        self._manifest_root = manifest.root
        self._n_blocks = manifest.n_blocks
        self._width = manifest.width
        self._network_id = network_id
        self._options = options
        self._suspects = Suspects(options.cool_down)
        self._loop = LoopThread("peerz-client")
        self._network: SwarmNetwork | None = None
        self._view: SwarmView | None = None
        self._sessions: set[InferenceSession] = set()
        self._closed = False
        atexit.register(self.close)

    @classmethod
    def connect(
        cls,
        manifest: Manifest,
        *,
        initial_peers: Sequence[str],
        key: NodeKey | None = None,
        network_id: bytes = NO_CHAIN,
        options: ClientOptions | None = None,
    ) -> SwarmClient:
        """A client that has joined and has read the directory once.

        `key` makes its peer id, which private providers may ask for; None draws one for this client.

        Raises BadRequest for a malformed address, PeerUnreachable when none of the initial peers answers.
        """
        client = cls(manifest, network_id, options or ClientOptions())
        try:
            client._loop.run(client._join(tuple(initial_peers), key))
        except BaseException:
            client.close()
            raise
        return client

    def open_session(self, *, max_tokens: int, lanes: int = 1) -> BlockingSession:
        """A session of `lanes` empty lanes, of which none will ever hold more than `max_tokens` tokens.

        Raises NoRoute, naming the blocks that nobody serves.
        """
        return BlockingSession(self._loop.run(self._open(max_tokens, lanes)), self._loop)

    def status(self) -> ClientStatus:
        return self._loop.run(self._status())

    def close(self) -> None:
        """Ends all sessions and leaves the swarm. Idempotent."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            self._loop.run(self._leave(), _CLOSE_TIMEOUT_S)
        except Exception as error:
            logger.warning("leaving the swarm failed: %s", error)
        finally:
            self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ in the loop

    async def _join(self, initial_peers: tuple[str, ...], key: NodeKey | None) -> None:
        options = NetworkOptions(key=key, initial_peers=initial_peers, client_mode=True, network_id=self._network_id)
        self._network = await SwarmNetwork.create(options)
        seed = secrets.token_bytes(_SEED_BYTES)
        self._view = SwarmView(self._network, self._manifest_root, self._n_blocks, self._options.view, seed)
        await self._view.start()

    async def _open(self, max_tokens: int, lanes: int) -> InferenceSession:
        terms = SessionTerms(
            model_root=self._manifest_root,
            network_id=self._network_id,
            n_blocks=self._n_blocks,
            width=self._width,
            lanes_max=max(lanes, self._options.lanes_max),
            max_tokens=max_tokens,
        )
        session = InferenceSession(
            self._joined_view, terms, lanes, self._suspects, self._options.session, random.Random(secrets.randbits(64))
        )
        await session.open()
        self._sessions = {open_session for open_session in self._sessions if not open_session.closed} | {session}
        return session

    async def _status(self) -> ClientStatus:
        view = self._joined_view
        return ClientStatus(
            model_root=self._manifest_root,
            n_blocks=self._n_blocks,
            records=view.records,
            rtt_s=dict(view.rtt_s),
            avoided=self._suspects.avoided(InferenceSession.now()),
        )

    async def _leave(self) -> None:
        for session in self._sessions:
            session.close()
        if self._view is not None:
            await self._view.stop()
        if self._network is not None:
            await self._network.close()

    @property
    def _joined_view(self) -> SwarmView:
        if self._view is None:
            raise RuntimeError("a client is made by SwarmClient.connect")
        return self._view
