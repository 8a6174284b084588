"""When blocks are due."""

import pytest

from chain_client.devchain.seal import Seal


@pytest.mark.parametrize(
    ("text", "seal"),
    [
        ("instant", Seal(instant=True)),
        ("manual", Seal()),
        ("interval:2s", Seal(interval_ms=2_000)),
        ("interval:500ms", Seal(interval_ms=500)),
        ("interval:1m", Seal(interval_ms=60_000)),
    ],
)
def test_parsing(text: str, seal: Seal) -> None:
    assert Seal.parse(text) == seal


@pytest.mark.parametrize("text", ["", "Instant", "interval", "interval:", "interval:2", "interval:-1s", "interval:2h"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no way of sealing"):
        Seal.parse(text)


@pytest.mark.parametrize("text", ["interval:0s", "interval:19ms", "interval:1441m"])
def test_intervals_are_bounded(text: str) -> None:
    with pytest.raises(ValueError, match="24 hours"):
        Seal.parse(text)


def test_due() -> None:
    assert [Seal.parse("instant").due_in_ms(0, ready) for ready in (0, 1)] == [None, 0]
    assert [Seal.parse("manual").due_in_ms(10**9, ready) for ready in (0, 1)] == [None, None]
    interval = Seal.parse("interval:2s")
    assert [interval.due_in_ms(passed, 0) for passed in (0, 1_500, 2_000, 9_000)] == [2_000, 500, 0, 0]
