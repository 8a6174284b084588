from __future__ import annotations

import pytest

from peerz_node.addresses import check_listen_address, check_peer_address

PEER_ID = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"


@pytest.mark.parametrize(
    "address",
    [
        f"/ip4/192.0.2.7/tcp/31337/p2p/{PEER_ID}",
        f"/ip6/2001:db8::1/tcp/1/p2p/{PEER_ID}",
        f"/dns4/node.example.org/tcp/443/p2p/{PEER_ID}",
        f"/ip4/192.0.2.7/udp/31337/quic-v1/p2p/{PEER_ID}",
        f"/ip4/192.0.2.7/tcp/1/p2p/{PEER_ID}/p2p-circuit/p2p/{PEER_ID}",
    ],
)
def test_addresses_of_nodes_are_taken(address: str) -> None:
    assert check_peer_address(address) == address


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "no address of libp2p"),
        ("localhost:4711", "no address of libp2p"),
        ("/ip4/192.0.2.7", "no address of libp2p"),
        (f"/ip4/192.0.2.7/tcp//p2p/{PEER_ID}", "no address of libp2p"),
        (f"/ip4/192.0.2.777/tcp/1/p2p/{PEER_ID}", "'192.0.2.777' is no ip4 address"),
        (f"/ip6/192.0.2.7/tcp/1/p2p/{PEER_ID}", "is no ip6 address"),
        (f"/dns/a_b/tcp/1/p2p/{PEER_ID}", "is no dns address"),
        (f"/ip4/192.0.2.7/tcp/65536/p2p/{PEER_ID}", "tcp/65536"),
        (f"/ip4/192.0.2.7/sctp/1/p2p/{PEER_ID}", "sctp/1"),
        ("/ip4/192.0.2.7/tcp/1", "does not end with /p2p/"),
        ("/ip4/192.0.2.7/tcp/1/p2p/me", "'me' is no peer id"),
        ("/ip4/192.0.2.7/tcp/1/p2p/12D3Koo...", "is no peer id"),
    ],
)
def test_what_is_no_address_says_what_to_write(address: str, reason: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        check_peer_address(address)
    assert reason in str(caught.value)


def test_one_listens_on_an_address_without_a_peer() -> None:
    assert check_listen_address("/ip4/0.0.0.0/tcp/0") == "/ip4/0.0.0.0/tcp/0"
    with pytest.raises(ValueError, match="names a peer"):
        check_listen_address(f"/ip4/0.0.0.0/tcp/1/p2p/{PEER_ID}")
