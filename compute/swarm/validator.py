"""Which records a DHT node keeps and passes on: those that the peer named by the subkey signed, under the right key."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils import MSGPackSerializer, get_dht_time

from compute.errors import RecordInvalid
from compute.swarm.records import RECORD_BYTES_MAX, ProviderRecord, open_record

logger = logging.getLogger(__name__)

INDEX_KEY = "peerz/1/models"
_SUBKEY_BYTES_MAX = 128
_EXPIRY_SLACK_S = 1.0


def model_key(model_root: bytes) -> str:
    """The DHT key under which a model's providers are found."""
    return f"peerz/1/model/{model_root.hex()}"


class RecordValidator(RecordValidatorBase):
    """For every store that others ask of us, and every value that they return to us."""

    def __init__(self, network_id: bytes, clock: Callable[[], float] = get_dht_time) -> None:
        self._network_id = network_id
        self._clock = clock

    def validate(self, record: DHTRecord) -> bool:
        try:
            self.checked(record)
        except RecordInvalid as error:
            logger.debug("dropped %s", error)
            return False
        return True

    def checked(self, record: DHTRecord) -> ProviderRecord:
        """The provider's record inside a DHT record. Raises RecordInvalid."""
        if len(record.subkey) > _SUBKEY_BYTES_MAX or len(record.value) > RECORD_BYTES_MAX + 16:
            raise RecordInvalid("an oversize record")
        try:
            subkey, value = MSGPackSerializer.loads(record.subkey), MSGPackSerializer.loads(record.value)
        except Exception as error:  # the edge: whatever a stranger's bytes do to a parser
            raise RecordInvalid(f"a record that is no msgpack ({type(error).__name__})") from error
        if not isinstance(value, bytes):
            raise RecordInvalid("a record whose value is not bytes")
        provider = open_record(value, self._clock(), self._network_id)
        if subkey != provider.peer_id:
            raise RecordInvalid("a record under another peer's name", peer=provider.peer_id)
        keys = (model_key(provider.model_root), INDEX_KEY)
        if record.key not in [DHTID.generate(source=key).to_bytes() for key in keys]:
            raise RecordInvalid("a record under another model's key", peer=provider.peer_id)
        if record.expiration_time > provider.expires_at_s + _EXPIRY_SLACK_S:
            raise RecordInvalid(
                "a record that the DHT should keep for longer than its owner signed", peer=provider.peer_id
            )
        return provider


def drop_one_by_one(protocol: DHTProtocol, validator: RecordValidator) -> None:
    """From now on `protocol` drops the bad entries of an answer and keeps the good ones.

    hivemind refuses a node's whole answer for one bad entry. An honest node holds entries that a reader with another
    clock takes for expired, or for valid too long: one provider that dies, or one that means to, would hide all others.
    """

    def keep_good(key: bytes, answer: DictionaryDHTValue) -> bool:
        with answer.freeze():
            bad = [
                subkey
                for subkey, (value, expires_at_s) in answer.items()
                if not validator.validate(DHTRecord(key, MSGPackSerializer.dumps(subkey), value, expires_at_s))
            ]
            for subkey in bad:
                del answer[subkey]
            return len(answer) > 0

    protocol._validate_dictionary = keep_good
