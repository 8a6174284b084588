"""Bytes that other versions and other implementations must agree on, kept in `tests/vectors/`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from compute.identity import NodeKey, signed_payload
from compute.types import Codec, Row, SessionId, Span, StepHeader, WireDType
from compute.wire.codecs import encode, tensor_hash
from compute.wire.messages import ClientMessage, SessionOpen, StepMessage, build_client_message, parse_client_message
from compute.wire.receipts import DOMAIN, ReceiptIssuer, SessionIdentity, chain_start, layout_bytes

CheckVectors = Callable[[str, object], None]

TENSORS = {
    "one value": [[1.5]],
    "a block and a rest, with an outlier": [[(-1) ** i * i / 7 for i in range(64)] + [22_500.0, -0.25, 0.0]],
    "below the smallest scale": [[1e-6, -2e-5, 0.0, 3e-3]],
    "two tokens": [[0.5, -1.0, 2.0], [100.0, 0.1, -0.3]],
}

HEADERS = [
    StepHeader(0, (Row(0, 0, 5), Row(1, 0, 7))),
    StepHeader(1, (Row(0, 5, 1), Row(1, 7, 1))),
    StepHeader(2, (Row(0, 6, 1), Row(1, 6, 1), Row(2, 6, 1)), fork=(0, 0, 1)),
    StepHeader(3, (Row(1, 4, 0),)),
]


def test_codecs(check_vectors: CheckVectors) -> None:
    made = []
    for name, values in TENSORS.items():
        for codec in Codec:
            for dtype in WireDType if codec is Codec.RAW else [WireDType.FP32]:
                encoded = encode(torch.tensor(values), codec, dtype)
                made.append(
                    {
                        "name": name,
                        "values": values,
                        "codec": codec.name,
                        "dtype": dtype.name,
                        "data": encoded.data.hex(),
                        "hash": tensor_hash(encoded).hex(),
                    }
                )
    check_vectors("codecs", made)


def test_receipts(check_vectors: CheckVectors, session: SessionIdentity, provider_key: NodeKey) -> None:
    issuer = ReceiptIssuer(session, provider_key)
    steps = []
    for header in HEADERS:
        in_hash, out_hash = bytes([header.seq]) * 32, bytes([header.seq + 128]) * 32
        receipt = issuer.issue(header, in_hash, out_hash)
        steps.append(
            {
                "seq": header.seq,
                "rows": [[row.lane, row.position, row.n_tokens] for row in header.rows],
                "fork": list(header.fork),
                "layout": layout_bytes(header).hex(),
                "in_hash": in_hash.hex(),
                "out_hash": out_hash.hex(),
                "in_chain": receipt.in_chain.hex(),
                "body": receipt.body(session.session_id).hex(),
                "payload": receipt.payload(session).hex(),
                "signature": receipt.signature.hex(),
            }
        )
    made = {
        "seed": bytes(range(32)).hex(),
        "session_id": session.session_id.hex(),
        "provider_key": session.provider_key.hex(),
        "network_id": session.network_id.hex(),
        "model_root": session.model_root.hex(),
        "span": [session.span.start, session.span.end],
        "chain_start": chain_start(session).hex(),
        "steps": steps,
    }
    check_vectors("receipts", made)


def test_signed_payloads(check_vectors: CheckVectors) -> None:
    made = [
        {"domain": d.decode(), "network_id": n.hex(), "body": b.hex(), "payload": signed_payload(d, n, b).hex()}
        for d, n, b in [(DOMAIN, bytes(32), b""), (b"x", bytes(range(32)), b"\x00\x01"), (b"", b"\xff" * 32, b"body")]
    ]
    check_vectors("signed_payloads", made)


def test_messages(check_vectors: CheckVectors) -> None:
    """Parsed from the kept bytes as well: protobuf promises no canonical form, only that old bytes stay readable."""
    opening = SessionOpen(
        session_id=SessionId(bytes(16)),
        client_key=bytes([1]) * 32,
        provider_key=bytes([2]) * 32,
        network_id=bytes(32),
        model_root=bytes([3]) * 32,
        span=Span(0, 15),
        codec=Codec.BLOCK8,
        dtype=WireDType.FP32,
        lanes=2,
        max_tokens=4096,
    )
    step = StepMessage(HEADERS[2], encode(torch.ones(3, 4), Codec.RAW, WireDType.FP32))
    made = {}
    messages: dict[str, ClientMessage] = {"open": opening, "step": step}
    for name, message in messages.items():
        data = build_client_message(message)
        assert parse_client_message(data) == message
        made[name] = data.hex()
    check_vectors("messages", made)
