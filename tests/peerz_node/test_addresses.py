from __future__ import annotations

import pytest

from peerz_node.addresses import check_chain_url, check_listen_address, check_peer_address, check_peer_id

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


@pytest.mark.parametrize("address", ["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/31337"])
def test_one_listens_on_a_numeric_address_and_a_port(address: str) -> None:
    assert check_listen_address(address) == address


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"/ip4/0.0.0.0/tcp/1/p2p/{PEER_ID}", "names a peer"),
        ("/dns4/node.example.org/tcp/1", "is a name"),
        ("/ip4/0.0.0.0/udp/31337", "plain TCP only"),
        ("/ip4/0.0.0.0/udp/31337/quic-v1", "udp/31337/quic-v1"),
        ("/ip4/0.0.0.0/tcp/31337/ws", "tcp/31337/ws"),
        ("0.0.0.0:31337", "no address of libp2p"),
    ],
)
def test_where_a_node_cannot_listen_it_says_where_it_can(address: str, reason: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        check_listen_address(address)
    assert reason in str(caught.value)
    assert "/ip4/0.0.0.0/tcp/31337" in str(caught.value)


@pytest.mark.parametrize("text", ["", "me", PEER_ID[:-1], PEER_ID[:-1] + "0", f"/p2p/{PEER_ID}", "ü", "1" * 5000])
def test_what_is_no_peer_id_says_how_to_get_one(text: str) -> None:
    assert check_peer_id(PEER_ID) == PEER_ID
    with pytest.raises(ValueError, match="peerz-node identity"):
        check_peer_id(text)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9944", "ws://localhost:1/", "wss://chain.example.org", "ws://[::1]:9"])
def test_urls_of_chains_are_taken(url: str) -> None:
    assert check_chain_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "9944",
        "127.0.0.1:9944",
        "http://127.0.0.1:9944",
        "ws://",
        "ws://:9944",
        "ws://h:x",
        "ws://me:word@h",
        "ws://[",
    ],
)
def test_other_urls_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL of a chain; write for example ws://"):
        check_chain_url(url)
