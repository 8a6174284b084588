from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hivemind.utils import get_dht_time
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import RecordInvalid
from compute.identity import NO_CHAIN, NodeKey
from compute.swarm.records import RECORD_BYTES_MAX, TTL_S, PeerState, ProviderRecord, open_record, seal_record
from compute.types import Codec, Span
from compute.wire import peerz_pb2 as pb

KEY = NodeKey(b"k" * 32)
NOW_S = 1_000_000.0
RECORD = ProviderRecord(
    public_key=KEY.public_key,
    network_id=NO_CHAIN,
    model_root=b"r" * 32,
    model_name="tiny",
    span=Span(2, 9),
    n_blocks=12,
    state=PeerState.ONLINE,
    expires_at_ms=round((NOW_S + TTL_S) * 1000),
    addresses=("/ip4/192.0.2.7/tcp/31337",),
    codecs=(Codec.RAW, Codec.BLOCK8),
    decode_us=12_345,
    cache_bytes_free=1 << 33,
    agent="peerz/test",
)


def test_a_sealed_record_opens_as_it_was() -> None:
    assert open_record(seal_record(RECORD, KEY), NOW_S, NO_CHAIN) == RECORD


def test_only_the_owner_can_seal() -> None:
    with pytest.raises(ValueError, match="the key that it names"):
        seal_record(RECORD, NodeKey(b"o" * 32))


@pytest.mark.parametrize("now_s", [NOW_S + TTL_S, NOW_S + TTL_S + 5, NOW_S - 60])
def test_expired_records_and_records_from_the_future_are_refused(now_s: float) -> None:
    with pytest.raises(RecordInvalid, match="expired"):
        open_record(seal_record(RECORD, KEY), now_s, NO_CHAIN)


def test_a_record_of_another_network_is_refused() -> None:
    with pytest.raises(RecordInvalid, match="another network"):
        open_record(seal_record(RECORD, KEY), NOW_S, b"n" * 32)


def test_a_changed_record_is_refused() -> None:
    signed = pb.SignedRecord.FromString(seal_record(RECORD, KEY))
    other = pb.SignedRecord.FromString(seal_record(replace(RECORD, span=Span(0, 12)), KEY))
    grafted = pb.SignedRecord(record=other.record, signature=signed.signature).SerializeToString()
    with pytest.raises(RecordInvalid, match="did not sign"):
        open_record(grafted, NOW_S, NO_CHAIN)


def test_an_oversize_record_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(RecordInvalid, match="at most"):
        open_record(b"x" * (RECORD_BYTES_MAX + 1), NOW_S, NO_CHAIN)


@pytest.mark.parametrize(
    "change",
    [
        {"n_blocks": 8},
        {"n_blocks": 1 << 20},
        {"model_root": b"short"},
        {"addresses": ("/ip4/192.0.2.7/tcp/1",) * 40},
        {"model_name": "x" * 600},
        {"model_name": "line\nbreak"},
    ],
    ids=str,
)
def test_signed_nonsense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(RecordInvalid):
        open_record(seal_record(replace(RECORD, **change), KEY), NOW_S, NO_CHAIN)  # type: ignore[arg-type]


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_are_a_typed_error_or_the_same_record(at: int, junk: bytes) -> None:
    data = bytearray(seal_record(RECORD, KEY))
    at %= len(data)
    data[at : at + len(junk)] = junk
    try:
        opened = open_record(bytes(data), NOW_S, NO_CHAIN)
    except RecordInvalid:
        return
    assert opened == RECORD


@given(st.integers(0, 400))
def test_truncated_bytes_are_a_typed_error(length: int) -> None:
    data = seal_record(RECORD, KEY)
    if length < len(data):
        with pytest.raises(RecordInvalid):
            open_record(data[:length], NOW_S, NO_CHAIN)


def test_the_clock_of_the_dht_is_what_records_are_made_with(record: Callable[..., ProviderRecord]) -> None:
    assert open_record(seal_record(record(KEY, Span(0, 3)), KEY), get_dht_time(), NO_CHAIN).span == Span(0, 3)
