"""Who serves what: provider records in and out of the DHT."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from hivemind.utils import get_dht_time

from compute.errors import RecordInvalid
from compute.identity import Signer
from compute.swarm.network import SwarmNetwork
from compute.swarm.records import PeerState, ProviderRecord, open_record, seal_record
from compute.swarm.validator import INDEX_KEY, model_key

logger = logging.getLogger(__name__)

_PROVIDERS_MAX = 20_000
_LEAVING_TTL_S = 10.0


class Directory:
    """Publishes and fetches records. Whatever does not check is dropped, never believed."""

    def __init__(self, network: SwarmNetwork, clock: Callable[[], float] = get_dht_time) -> None:
        self._network = network
        self._clock = clock

    async def publish(self, record: ProviderRecord, signer: Signer) -> None:
        """Stores the record under its model and in the index of models."""
        sealed = seal_record(record, signer)
        await asyncio.gather(*(self._store(key, record, sealed) for key in (model_key(record.model_root), INDEX_KEY)))

    async def withdraw(self, record: ProviderRecord, signer: Signer) -> None:
        """Says LEAVING, for a few seconds: long enough to reach everyone who still holds the record before."""
        # The DHT keeps the value that expires last, so the last word must outlive the record that it replaces.
        expires_at_ms = max(record.expires_at_ms + 1, round((self._clock() + _LEAVING_TTL_S) * 1000))
        await self.publish(replace(record, state=PeerState.LEAVING, expires_at_ms=expires_at_ms), signer)

    async def fetch(self, model_root: bytes) -> tuple[ProviderRecord, ...]:
        """Records of the model's providers that are believable now, by peer id."""
        records = await self._fetch(model_key(model_root))
        return tuple(record for record in records if record.model_root == model_root)

    async def models(self) -> tuple[ProviderRecord, ...]:
        """Believable records of all models."""
        return await self._fetch(INDEX_KEY)

    async def _store(self, key: str, record: ProviderRecord, sealed: bytes) -> None:
        stored = await self._network.dht.store(key, sealed, record.expires_at_s, subkey=record.peer_id)
        if not stored:
            logger.debug("no node kept the record under %s", key)

    async def _fetch(self, key: str) -> tuple[ProviderRecord, ...]:
        found = await self._network.dht.get(key, latest=True)
        if found is None or not isinstance(found.value, dict):
            return ()
        records = {record.peer_id: record for record in self._believable(found.value.items())}
        return tuple(records[peer] for peer in sorted(records))

    def _believable(self, entries: Iterable[tuple[Any, Any]]) -> Iterable[ProviderRecord]:
        now_s = self._clock()
        for number, (subkey, entry) in enumerate(entries):
            if number >= _PROVIDERS_MAX:
                return
            try:
                if not isinstance(entry.value, bytes):
                    raise RecordInvalid("a record whose value is not bytes")
                record = open_record(entry.value, now_s, self._network.network_id)
                if subkey != record.peer_id:
                    raise RecordInvalid("a record under another peer's name", peer=record.peer_id)
            except RecordInvalid as error:
                logger.debug("dropped %s", error)
            else:
                yield record
