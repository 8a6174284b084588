"""A chain over the real runtime."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from devchain_tools import Clock, NewChain

from chain_client.devchain.chain import Chain
from chain_client.devchain.executor import Executor
from chain_client.devchain.runtime import RUNTIME_FILE, Runtimes
from chain_client.devchain.store import MemoryStore, Store


@pytest.fixture(scope="session")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Runtimes:
    """Compiled once for all tests."""
    cache = tmp_path_factory.mktemp("compiled")
    cache.chmod(0o700)
    return Runtimes(lambda code: Executor(code, cache))


@pytest.fixture(scope="session")
def code() -> bytes:
    return RUNTIME_FILE.read_bytes()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_chain(runtimes: Runtimes, code: bytes, clock: Clock) -> NewChain:
    def make(store: Store | None = None, **settings: object) -> Chain:
        return Chain.create(store or MemoryStore(), runtimes, clock, code, **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture
def chain(new_chain: NewChain) -> Chain:
    return new_chain()
