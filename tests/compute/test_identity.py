from __future__ import annotations

import logging
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.errors import KeyFileError
from compute.identity import NO_CHAIN, NodeKey, peer_id_of, public_key_of, signed_payload, verify
from compute.types import PeerId


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------- signatures


def test_a_signature_verifies_for_its_key_and_payload_only() -> None:
    key, other = NodeKey.generate(), NodeKey.generate()
    signature = key.sign(b"payload")
    assert len(signature) == 64
    assert verify(key.public_key, b"payload", signature)
    assert not verify(key.public_key, b"payloae", signature)
    assert not verify(other.public_key, b"payload", signature)


@given(st.binary(max_size=70), st.binary(max_size=20), st.binary(max_size=70))
def test_malformed_keys_and_signatures_simply_do_not_verify(key: bytes, payload: bytes, signature: bytes) -> None:
    assert not verify(key, payload, signature)


def test_a_key_that_signs_everything_is_refused() -> None:
    """The neutral point of the curve, with which a signature of zeros would check for any payload."""
    neutral = b"\x01" + bytes(31)
    assert not verify(neutral, b"anything", neutral + bytes(32))


@given(st.tuples(*[st.binary(max_size=40)] * 2), st.tuples(*[st.binary(max_size=40)] * 2))
def test_payloads_of_other_domains_or_bodies_never_meet(one: tuple[bytes, bytes], two: tuple[bytes, bytes]) -> None:
    same = signed_payload(one[0], NO_CHAIN, one[1]) == signed_payload(two[0], NO_CHAIN, two[1])
    assert same == (one == two)


def test_a_network_id_of_another_length_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        signed_payload(b"domain", b"short", b"")


def test_the_seed_is_not_shown() -> None:
    key = NodeKey(b"s" * 32)
    assert "ssss" not in repr(key)
    assert key.peer_id in repr(key)


# ---------------------------------------------------------------- peer ids


def test_a_peer_id_gives_its_key_back() -> None:
    key = NodeKey.generate()
    assert public_key_of(key.peer_id) == key.public_key
    assert key.peer_id.startswith("12D3KooW")


@given(st.text(max_size=80))
def test_other_text_is_no_peer_id(text: str) -> None:
    with pytest.raises(ValueError):
        public_key_of(PeerId(text))


def test_other_spellings_and_other_kinds_of_peer_id_are_refused() -> None:
    good = NodeKey(bytes(32)).peer_id
    of_an_rsa_key = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
    for bad in (good + " ", " " + good, good[:-1], good + "1", of_an_rsa_key, "1" * 10**6):
        with pytest.raises(ValueError):
            public_key_of(PeerId(bad))


def test_a_key_of_another_length_has_no_peer_id() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        peer_id_of(bytes(31))


def test_peer_ids_are_golden(check_vectors: Callable[[str, object], None]) -> None:
    keys = [NodeKey(bytes([i]) * 32) for i in range(3)]
    check_vectors("peer_ids", [{"public_key": k.public_key.hex(), "peer_id": k.peer_id} for k in keys])


async def test_the_libp2p_daemon_takes_the_identity_and_has_the_same_peer_id(tmp_path: Path) -> None:
    from hivemind.p2p import P2P

    key = NodeKey.generate()
    identity = tmp_path / "libp2p" / "identity"
    key.write_libp2p_identity(identity)
    assert mode(identity) == 0o600
    p2p = await P2P.create(
        identity_path=str(identity),
        check_if_identity_free=False,
        host_maddrs=["/ip4/127.0.0.1/tcp/0"],
        nat_port_map=False,
        auto_nat=False,
        use_relay=False,
    )
    try:
        assert p2p.peer_id.to_base58() == key.peer_id
    finally:
        await p2p.shutdown()


# ---------------------------------------------------------------- key files


def test_a_missing_file_is_created_for_its_owner_only_and_says_that_it_is_not_sealed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "new" / "node.key"
    with caplog.at_level(logging.WARNING):
        key = NodeKey.load_or_create(path)
    assert "not sealed" in caplog.text
    assert mode(path) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["node.key"]
    assert NodeKey.load_or_create(path).public_key == key.public_key


def test_a_passphrase_seals_the_seed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "node.key"
    key = NodeKey.load_or_create(path, "correct horse")
    assert caplog.text == ""
    assert mode(path) == 0o600
    assert bytes(key._key) not in path.read_bytes()
    assert NodeKey.load_or_create(path, "correct horse").public_key == key.public_key
    with pytest.raises(KeyFileError, match="passphrase does not open"):
        NodeKey.load_or_create(path, "wrong horse")
    with pytest.raises(KeyFileError, match="give its passphrase"):
        NodeKey.load_or_create(path)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(KeyFileError, match="does not open"):
        NodeKey.load_or_create(path, "correct horse")


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="empty"):
        NodeKey.load_or_create(tmp_path / "node.key", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no Peerz key file"),
        (b"-----BEGIN PRIVATE KEY-----", "no Peerz key file"),
        (b"peerz-key\x02\x00" + bytes(32), "no Peerz key file"),
        (b"peerz-key\x01\x07" + bytes(32), "no Peerz key file"),
        (b"peerz-key\x01\x00" + bytes(31), "damaged"),
        (b"peerz-key\x01\x00" + bytes(33), "damaged"),
        (b"peerz-key\x01\x01" + bytes(20), "damaged"),
        (b"peerz-key\x01\x00" + bytes(1 << 20), "damaged"),
    ],
)
def test_a_file_that_is_no_key_is_refused_and_left_alone(data: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=why):
        NodeKey.load_or_create(path, "passphrase")
    assert path.read_bytes() == data


def test_a_path_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="directory"):
        NodeKey.load_or_create(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="directory"):
        NodeKey.load_or_create(tmp_path / "file" / "node.key")


def test_a_key_file_that_others_can_read_is_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "node.key"
    NodeKey.load_or_create(path)
    caplog.clear()
    path.chmod(0o644)
    NodeKey.load_or_create(path)
    assert "chmod 600" in caplog.text


def test_threads_that_create_one_file_at_once_end_with_one_key(tmp_path: Path) -> None:
    path, found = tmp_path / "node.key", []
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        found.append(NodeKey.load_or_create(path).public_key)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["node.key"]
