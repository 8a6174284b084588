"""Hash functions against known storage prefixes and published digests."""

from chain_client.devchain import hashing


def test_storage_prefixes_that_everybody_knows() -> None:
    assert hashing.twox_128(b"System").hex() == "26aa394eea5630e07c48ae0c9558cef7"
    assert hashing.twox_128(b"Account").hex() == "b99d880ec681799c0cf30e8886371da9"
    assert hashing.twox_256(b"System")[:16] == hashing.twox_128(b"System")
    assert hashing.twox_64(b"System") == hashing.twox_128(b"System")[:8]


def test_digests_of_the_empty_message() -> None:
    assert hashing.blake2_256(b"").hex() == "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
    assert hashing.blake2_128(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
    assert hashing.keccak_256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert hashing.sha2_256(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
