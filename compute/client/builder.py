"""New hops for a session: opened side by side, then replayed what its lanes hold, one behind the other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from compute.client.contracts import HopTarget, Lie, SessionOptions, SessionTerms, Swarm
from compute.client.failover import Suspects, plan_replay
from compute.client.history import History
from compute.client.hop import HopConnection
from compute.errors import BadReceipt, CacheFull, ComputeError, Equivocation, Overloaded
from compute.identity import NodeKey
from compute.types import SESSION_ID_BYTES, PeerId, SessionId
from compute.wire.codecs import decode, encode
from compute.wire.messages import SessionOpen


class HopBuilder:
    """Builds hops of one session, and blames the peers that fail at it."""

    def __init__(
        self, swarm: Swarm, terms: SessionTerms, history: History, suspects: Suspects, options: SessionOptions
    ) -> None:
        self._swarm = swarm
        self._terms = terms
        self._history = history
        self._suspects = suspects
        self._options = options
        self._client_key = NodeKey.generate().public_key
        self.replayed_tokens = 0

    async def build(self, targets: Sequence[HopTarget]) -> list[HopConnection]:
        """Open hops that hold what the lanes hold, their inputs noted in the history. All of them or none.

        Raises what the first failing one failed with, having blamed its peer.
        """
        connections = await self._open_all(targets)
        try:
            await self._replay(connections)
        except BaseException as error:
            for connection in connections:
                connection.close()
            if isinstance(error, ComputeError) and error.peer is not None:
                self.blame(error.peer, error)
            raise
        return connections

    async def _open_all(self, targets: Sequence[HopTarget]) -> list[HopConnection]:
        """One open hop for each target, opened side by side; or none, and the first error."""
        opening = [asyncio.create_task(self._open_one(target)) for target in targets]
        try:
            await asyncio.wait(opening)
        except BaseException:
            for task in opening:
                task.cancel()
                task.add_done_callback(_close_result)
            raise
        errors = [error for task in opening if (error := task.exception()) is not None]
        if not errors:
            return [task.result() for task in opening]
        for task in opening:
            _close_result(task)
        raise errors[0]

    async def _open_one(self, target: HopTarget) -> HopConnection:
        terms = self._terms
        request = SessionOpen(
            # Its own for every stream: two chains of receipts under one id would look like equivocation.
            session_id=SessionId(secrets.token_bytes(SESSION_ID_BYTES)),
            client_key=self._client_key,
            provider_key=target.provider_key,
            network_id=terms.network_id,
            model_root=terms.model_root,
            span=target.span,
            codec=target.codec,
            dtype=target.dtype,
            lanes=terms.lanes_max,
            max_tokens=terms.max_tokens,
            quant_spec=target.profile.quant_spec,
            numeric_profile=target.profile.numeric_profile,
        )
        try:
            return await HopConnection.open(
                self._swarm, request, terms.width, self._options.times, target.rtt_s, self._note_lie
            )
        except ComputeError as error:
            error.peer = target.peer
            self.blame(target.peer, error)
            raise

    async def _replay(self, connections: Sequence[HopConnection]) -> None:
        """Feeds what the lanes hold to new hops, one behind the other; their inputs are in the history afterwards."""
        steps = plan_replay(self._history.lanes, self._options.replay_tokens)
        for step in steps:
            values = self._history.read(connections[0].span.start, step.slots)
            for index, hop in enumerate(connections):
                wire = encode(values, hop.codec, hop.dtype)
                if index:
                    self._history.fill(hop.span.start, step.slots, decode(wire))
                values = (await hop.step(step.rows, step.fork, wire)).values
            self.replayed_tokens += len(step.slots)

    def _note_lie(self, lie: Lie) -> None:
        """Told by a hop at once: a lie after the session's last step would otherwise be lost."""
        if lie.peer is not None:
            self._suspects.ban(lie.peer)
        if self._options.evidence is not None:
            self._options.evidence.keep(lie)

    def blame(self, peer: PeerId, error: ComputeError) -> None:
        """Avoids `peer` from now on, for as long as `error` makes it worth."""
        now = asyncio.get_running_loop().time()
        if isinstance(error, BadReceipt | Equivocation):
            self._suspects.ban(peer)
        elif isinstance(error, CacheFull | Overloaded):
            self._suspects.note_refusal(peer, now, max(self._options.retry_s, error.retry_after_s))
        else:
            self._suspects.note_failure(peer, now)


def _close_result(task: asyncio.Task[HopConnection]) -> None:
    """Lets go of a hop that was opened for nothing."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
