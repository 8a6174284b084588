"""A development chain in a thread of its own, and a keystore with an account whose passphrase is in a file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chain_client.client import ChainClient
from chain_client.devchain.service import DevChain, DevChainOptions
from chain_client.types import Phase

T = TypeVar("T")

QUICK = {
    "commit_blocks": 4,
    "reveal_blocks": 4,
    "epoch_blocks": 12,
    "idle_steps": 8,
    "review_epochs": 1,
    "dispute_epochs": 1,
    "slash_delay": 0,
    "unbonding_epochs": 4,
    "vote_unlock_epochs": 1,
    "withheld_epochs": 1,
}
"""Parameters of a chain whose epochs pass quickly."""


class LiveChain:
    """A chain that runs beside the test. Commands find it at `url`."""

    def __init__(self, compiled: Path, parameters: dict[str, Any] | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._chain = self.run(self._started(compiled, parameters))
        self.url = self._chain.url
        self._client = ChainClient(self.url, poll_s=0.02)

    async def _started(self, compiled: Path, parameters: dict[str, Any] | None) -> DevChain:
        genesis = None if parameters is None else {"peerz": {"parameters": parameters}}
        chain = DevChain(DevChainOptions(compiled=compiled, genesis=genesis))
        await chain.start()
        return chain

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def pass_blocks(self, count: int) -> None:
        """Seals empty blocks."""
        for _ in range(count):
            self.run(self._chain.on_chain(lambda backend: backend.seal()))

    def ask(self, work: Callable[[ChainClient], Coroutine[Any, Any, T]]) -> T:
        """What a client says."""

        return self.run(work(self._client))

    def reach(self, phase: Phase, epoch: int) -> None:
        """Seals empty blocks until the phase of the epoch."""

        async def walk() -> None:
            for _ in range(100):
                now = await self._client.query.current_epoch()
                if (now.index, now.phase) == (epoch, phase):
                    return
                await self._chain.on_chain(lambda backend: backend.seal())
            raise AssertionError(f"epoch {epoch} does not come to {phase}")

        self.run(walk())

    def close(self) -> None:
        self.run(self._client.close())
        self.run(self._chain.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("compiled")
    directory.chmod(0o700)
    return directory


@pytest.fixture
def chain(compiled: Path) -> Iterator[LiveChain]:
    """A chain with the runtime's own parameters."""
    live = LiveChain(compiled)
    yield live
    live.close()


@pytest.fixture(scope="session")
def quick_parameters(compiled: Path) -> dict[str, Any]:
    """All parameters as genesis wants them: the runtime's own, some of them changed."""
    live = LiveChain(compiled)
    found = live.ask(lambda client: client.query.parameters())
    live.close()
    # JSON numbers end at 64 bits.
    amounts = {name: str(value) for name, value in asdict(found).items() if value >= 2**63}
    return {**asdict(found), **amounts, **QUICK}


@pytest.fixture
def quick_chain(compiled: Path, quick_parameters: dict[str, Any]) -> Iterator[LiveChain]:
    """A chain whose epochs take twelve blocks."""
    live = LiveChain(compiled, quick_parameters)
    yield live
    live.close()
