"""A swarm in virtual time: scripted providers that speak the real wire, and a loop whose clock jumps ahead."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from compute.client.contracts import HopTimes, SessionTerms
from compute.client.hop import HopConnection
from compute.types import Codec, SessionId, WireDType
from compute.wire.messages import SessionOpen

RTT_S = 0.01


def _import_neighbours(*names: str) -> None:
    """Makes modules of this directory importable by their names, from each other and from the tests."""
    for name in names:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


_import_neighbours("virtual_time", "toy_blocks", "scripted_provider", "scripted_swarm")

from scripted_provider import FakeProvider  # noqa: E402
from scripted_swarm import FakeSwarm, Twin, terms_of  # noqa: E402
from virtual_time import VirtualLoop  # noqa: E402


@pytest.fixture
def in_virtual_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a loop of its own, in virtual time."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(work)

    return run


@pytest.fixture
def swarm() -> FakeSwarm:
    return FakeSwarm()


@pytest.fixture
def twin_of() -> type[Twin]:
    return Twin


@pytest.fixture
def session_terms() -> Callable[..., SessionTerms]:
    return terms_of


@pytest.fixture
def open_hop(swarm: FakeSwarm) -> Callable[..., Any]:
    """Opens a hop on a provider of the swarm: `open_hop(provider, on_lie, **times)`."""

    async def open_it(provider: FakeProvider, on_lie: Any = None, **times: float) -> HopConnection:
        terms = terms_of()
        request = SessionOpen(
            session_id=SessionId(b"s" * 16),
            client_key=b"c" * 32,
            provider_key=provider.key.public_key,
            network_id=terms.network_id,
            model_root=terms.model_root,
            span=provider.span,
            codec=Codec.RAW,
            dtype=WireDType.FP32,
            lanes=terms.lanes_max,
            max_tokens=terms.max_tokens,
        )
        return await HopConnection.open(swarm, request, terms.width, HopTimes(**times), RTT_S, on_lie)

    return open_it
