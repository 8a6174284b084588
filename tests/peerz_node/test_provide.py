"""A provider process's life, with a provider that needs neither model nor network."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compute.errors import AddressInUse, ComputeError
from compute.types import Precision, Span
from peerz_node.provide import _serve, announce, shareable
from peerz_node.settings import Settings


class FakeProvider:
    """Does what a `Provider` does, as far as its owner can see. `trace` tells what was asked of it."""

    span = Span(0, 15)
    peer_id = "12D3Koo"
    addresses = ("/ip4/127.0.0.1/tcp/1/p2p/12D3Koo", "/ip4/192.0.2.7/tcp/1/p2p/12D3Koo")
    precision = Precision.FP32
    quant_spec = "fp32"
    numeric_profile = "fp32/fp32/fp32"
    model_root = bytes(32)

    def __init__(
        self,
        *,
        start_s: float = 0.0,
        drain_s: float = 0.0,
        error: Exception | None = None,
        failure: Exception | None = None,
    ) -> None:
        self._failure = failure
        self.trace: list[str] = []
        self._start_s = start_s
        self._drain_s = drain_s
        self._error = error

    async def failure(self) -> None:
        if self._failure is None:
            await asyncio.Event().wait()
        else:
            raise self._failure

    async def start(self, progress: Any) -> None:
        self.trace.append("start")
        await asyncio.sleep(self._start_s)
        if self._error is not None:
            raise self._error

    async def drain(self, timeout_s: float) -> None:
        self.trace.append(f"drain {timeout_s:.0f}")
        await asyncio.sleep(self._drain_s)
        self.trace.append("drained")

    async def close(self) -> None:
        self.trace.append("close")


async def happens(condition: Callable[[], bool]) -> None:
    """Lets the loop run until `condition` holds."""
    while not condition():  # noqa: ASYNC110 (a file says so, not an event)
        await asyncio.sleep(0.001)


async def served(provider: FakeProvider, ready: Path, *signals: signal.Signals, when: str = "ready") -> int:
    """The exit code of a provider that gets `signals`, one after the other, once it is ready (or has started)."""

    async def send() -> None:
        await happens(lambda: ready.exists() if when == "ready" else bool(provider.trace))
        for number in signals:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.02)

    sender = asyncio.create_task(send())
    try:
        return await asyncio.wait_for(_serve(provider, Settings(model="m"), ready), 5)  # type: ignore[arg-type]
    finally:
        sender.cancel()  # where serving failed, what it waits for never comes
        await asyncio.wait({sender})


@pytest.mark.parametrize(
    ("signals", "exit_code", "trace"),
    [
        ([signal.SIGTERM], 0, ["start", "drain 30", "drained", "close"]),
        ([signal.SIGINT], 130, ["start", "close"]),
    ],
)
async def test_a_signal_while_serving(
    tmp_path: Path, signals: list[signal.Signals], exit_code: int, trace: list[str]
) -> None:
    provider = FakeProvider()
    assert await served(provider, tmp_path / "ready", *signals) == exit_code
    assert provider.trace == trace
    assert not (tmp_path / "ready").exists()


@pytest.mark.parametrize(("second", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_second_signal_cuts_the_draining_short(tmp_path: Path, second: signal.Signals, exit_code: int) -> None:
    provider = FakeProvider(drain_s=60)
    assert await served(provider, tmp_path / "ready", signal.SIGTERM, second) == exit_code
    assert provider.trace == ["start", "drain 30", "close"]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_while_starting_closes_without_serving(
    tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    provider = FakeProvider(start_s=60)
    assert await served(provider, tmp_path / "ready", number, when="started") == exit_code
    assert provider.trace == ["start", "close"]
    assert not (tmp_path / "ready").exists()


async def test_a_start_that_fails_closes_and_says_why(tmp_path: Path) -> None:
    provider = FakeProvider(error=AddressInUse("port 1 is in use"))
    with pytest.raises(AddressInUse):
        await _serve(provider, Settings(model="m"), tmp_path / "ready")  # type: ignore[arg-type]
    assert provider.trace == ["start", "close"]
    assert not (tmp_path / "ready").exists()


async def test_one_that_can_serve_nothing_any_more_ends_and_says_why(tmp_path: Path) -> None:
    provider = FakeProvider(failure=ComputeError("no blocks can be served any more"))
    with pytest.raises(ComputeError, match="no blocks"):
        await asyncio.wait_for(_serve(provider, Settings(model="m"), tmp_path / "ready"), 5)  # type: ignore[arg-type]
    assert provider.trace == ["start", "close"]
    assert not (tmp_path / "ready").exists()


def test_people_get_commands_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"model": "m", "span": [0, 15], "quant_spec": "fp32", "addresses": list(FakeProvider.addresses)}
    announce(facts, json_lines=False)
    said = capsys.readouterr().out
    assert "serving blocks 0:15 of m as fp32" in said
    assert f"\n  peerz-node --compute --model m --peer {FakeProvider.addresses[1]}\n" in said
    assert f"\n  peerz-node chat --model m --peer {FakeProvider.addresses[1]}\n" in said


def test_a_loopback_address_is_given_out_only_when_there_is_no_other() -> None:
    assert shareable(FakeProvider.addresses) == FakeProvider.addresses[1]
    assert shareable(FakeProvider.addresses[:1]) == FakeProvider.addresses[0]


async def test_the_ready_file_has_what_scripts_need(tmp_path: Path) -> None:
    provider = FakeProvider()
    ready = tmp_path / "ready"
    task = asyncio.create_task(_serve(provider, Settings(model="m"), ready))  # type: ignore[arg-type]
    await happens(ready.exists)
    facts = json.loads(ready.read_text())
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == 0
    assert facts == {
        "pid": os.getpid(),
        "peer_id": "12D3Koo",
        "addresses": list(FakeProvider.addresses),
        "model": "m",
        "span": [0, 15],
        "precision": "fp32",
        "quant_spec": "fp32",
        "numeric_profile": "fp32/fp32/fp32",
        "model_root": "00" * 32,
    }
