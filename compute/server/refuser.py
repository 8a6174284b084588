"""Tells streams that are not let in why, at a bounded cost."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from compute.errors import BadMessage, ComputeError
from compute.server.outbox import end_politely, end_stream
from compute.server.service_options import ServiceOptions
from compute.types import PeerId
from compute.wire.frames import frame, read_frame
from compute.wire.limits import Budget
from compute.wire.messages import build_server_message, refusal_of

logger = logging.getLogger(__name__)


class Refuser:
    """Answers at most so many streams of one peer, and of all, at a time; more are cut unheard."""

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        limits = options.admission
        self._streams = Budget(max(limits.sessions_max, limits.refusals_per_peer_max), limits.refusals_per_peer_max)

    async def refuse(
        self, error: ComputeError, peer: PeerId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers the peer's first message, whatever it is, with `error`, and ends the stream."""
        if not self._streams.take(peer, 1):
            writer.transport.abort()
            return
        try:
            logger.info("refused a session of %s: %s", peer, error)
            with contextlib.suppress(TimeoutError, BadMessage):
                async with asyncio.timeout(self._options.linger_s):
                    await read_frame(reader, self._options.open_bytes_max)
            writer.write(frame(build_server_message(refusal_of(error))))
            await end_politely(reader, writer, self._options.linger_s)
            end_stream(writer)
        finally:
            self._streams.give_back(peer, 1)
