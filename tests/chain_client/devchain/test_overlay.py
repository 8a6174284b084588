"""The overlay against a plain model: a stack of dictionaries."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chain_client.devchain.errors import HostCallError
from chain_client.devchain.overlay import DEPTH_MAX, Overlay, PrefixRemoval
from chain_client.devchain.scale import compact, sequence
from chain_client.devchain.trie import Trie

_KEYS = st.lists(st.sampled_from([0, 1, 255]), max_size=4).map(bytes)
_BASE = {b"\0\1": b"a", b"\0\1\1": b"b", b"\1": b"c", b"\1\0\0": b"d", b"\1\xff": b"e", b"\xff": b"f"}


class OverlayMachine(RuleBasedStateMachine):
    """Every operation on both; the model copies a whole dictionary for each transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.overlay = Overlay(Trie.of(_BASE))
        self.stack = [dict(_BASE)]

    @property
    def now(self) -> dict[bytes, bytes]:
        return self.stack[-1]

    @rule(key=_KEYS, value=st.binary(max_size=3))
    def set(self, key: bytes, value: bytes) -> None:
        self.overlay.set(key, value)
        self.now[key] = value

    @rule(key=_KEYS)
    def clear(self, key: bytes) -> None:
        self.overlay.clear(key)
        self.now.pop(key, None)

    @rule(item=st.binary(min_size=1, max_size=2))
    def append(self, item: bytes) -> None:
        self.overlay.append(b"list", item)
        old = self.now.get(b"list")
        self.now[b"list"] = sequence([item]) if old is None else bytes([old[0] + 4]) + old[1:] + item

    @rule(prefix=_KEYS, limit=st.none() | st.integers(0, 3))
    def clear_prefix(self, prefix: bytes, limit: int | None) -> None:
        in_base = [key for key in sorted(_BASE) if key.startswith(prefix)]
        gone = in_base if limit is None else in_base[:limit]
        written = [key for key in self.overlay.changes if key.startswith(prefix)]
        removal = self.overlay.clear_prefix(prefix, limit)
        assert removal == PrefixRemoval(len(gone), len(gone) < len(in_base))
        for key in {*gone, *written}:
            self.now.pop(key, None)

    @precondition(lambda self: len(self.stack) < 6)
    @rule()
    def start(self) -> None:
        self.overlay.start()
        self.stack.append(dict(self.now))

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def commit(self) -> None:
        self.overlay.commit()
        top = self.stack.pop()
        self.stack[-1] = top

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def rollback(self) -> None:
        self.overlay.rollback()
        self.stack.pop()

    @rule(key=_KEYS)
    def look(self, key: bytes) -> None:
        assert self.overlay.get(key) == self.now.get(key)
        assert self.overlay.exists(key) == (key in self.now)
        assert self.overlay.next_key(key) == min((other for other in self.now if other > key), default=None)

    @invariant()
    def same_state(self) -> None:
        assert self.overlay.depth == len(self.stack) - 1
        assert dict(self.overlay.applied().items()) == self.now


OverlayMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOverlay = OverlayMachine.TestCase


def test_closing_what_is_not_open_is_refused() -> None:
    overlay = Overlay(Trie())
    for close in (overlay.commit, overlay.rollback):
        with pytest.raises(HostCallError, match="no storage transaction"):
            close()


def test_nesting_is_bounded() -> None:
    overlay = Overlay(Trie())
    for _ in range(DEPTH_MAX):
        overlay.start()
    with pytest.raises(HostCallError, match="nested"):
        overlay.start()


def test_append_resets_what_is_no_vector() -> None:
    overlay = Overlay(Trie.of({b"k": b""}))
    overlay.append(b"k", b"\7")
    overlay.append(b"k", b"\x08")
    assert overlay.get(b"k") == sequence([b"\7", b"\x08"])


def test_append_across_the_seams_of_the_length() -> None:
    overlay = Overlay(Trie())
    for index in range(70):
        overlay.append(b"k", bytes([index]))
    assert overlay.get(b"k") == sequence([bytes([index]) for index in range(70)])


@pytest.mark.parametrize("length", [2**32 - 1, 2**32, 2**64])
def test_append_resets_a_vector_whose_length_has_no_successor_of_32_bits(length: int) -> None:
    overlay = Overlay(Trie.of({b"k": compact(length) + b"rest"}))
    overlay.append(b"k", b"\x08")
    assert overlay.get(b"k") == b"\x04\x08"
    longest = Overlay(Trie.of({b"k": compact(2**32 - 2) + b"rest"}))
    longest.append(b"k", b"\x08")
    assert longest.get(b"k") == compact(2**32 - 1) + b"rest\x08"
