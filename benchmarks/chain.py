"""How fast the embedded chain is: starting, empty blocks, signed transfers, and whether cost grows with the state.

    python benchmarks/chain.py [--json FILE]

In one process, the store in a file as `chain run --data` has it; one figure is taken through JSON-RPC.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import sr25519  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table
from substrateinterface import Keypair  # type: ignore[import-untyped]

from chain_client.devchain.author import Author
from chain_client.devchain.chain import Chain
from chain_client.devchain.executor import Executor
from chain_client.devchain.genesis import build_genesis
from chain_client.devchain.hashing import blake2_128, blake2_256, twox_128
from chain_client.devchain.header import Block, Header
from chain_client.devchain.runtime import RUNTIME_FILE, Runtimes
from chain_client.devchain.scale import byte_vector, compact
from chain_client.devchain.service import DevChain, DevChainOptions
from chain_client.devchain.sqlite_store import SqliteStore
from chain_client.devchain.store import Commit
from chain_client.devchain.trie import EMPTY_ROOT, Trie
from peerz_node.bench.record import Figure, Record, median_figure

_STATES = (1_000, 10_000, 100_000)
_TRANSFERS = 200
_IN_BLOCK = 10
_REPEATS = 15


class Sender:
    """//Alice, who sends one unit at a time to //Bob."""

    def __init__(self, chain: Chain) -> None:
        alice, bob = (Keypair.create_from_uri(f"//{name}") for name in ("Alice", "Bob"))
        self._public, self._secret = bytes(alice.public_key), bytes(alice.private_key)
        self._call = b"\x0a\3\0" + bytes(bob.public_key) + compact(10**12)
        version = chain.runtime_at(chain.head.hash).version
        self._implicit = (
            version.spec_version.to_bytes(4, "little")
            + version.transaction_version.to_bytes(4, "little")
            + chain.genesis_hash * 2
        )
        self._nonce = 0

    def next(self) -> bytes:
        """The next transfer, signed."""
        extra = b"\0" + compact(self._nonce) + b"\0"
        self._nonce += 1
        signature = sr25519.sign((self._public, self._secret), self._call + extra + self._implicit)
        return byte_vector(b"\x84\0" + self._public + b"\1" + signature + extra + self._call)


def _ms(action: Callable[[], object], repeats: int = _REPEATS) -> list[float]:
    """How long `action` takes each time, in milliseconds."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        taken.append(1e3 * (time.perf_counter() - started))
    return taken


def _large(directory: Path, runtimes: Runtimes, code: bytes, keys: int) -> Chain:
    """A chain whose genesis has accounts until it has `keys` keys."""
    genesis = build_genesis(runtimes.of(code), code, "development")
    entries = dict(genesis.entries)
    prefix = twox_128(b"System") + twox_128(b"Account")
    for index in range(keys - len(entries)):
        account = blake2_256(index.to_bytes(8, "little"))
        entries[prefix + blake2_128(account) + account] = bytes(4) + b"\0\0\0\0\1\0\0\0" + bytes(68)
    state = Trie.of(entries, genesis.state.version)
    block = Block(Header(bytes(32), 0, state.root(), EMPTY_ROOT), ())
    store = SqliteStore(directory / f"{keys}.sqlite")
    store.commit(Commit(block, entries, {}, 0, 0))
    return Chain(store, runtimes, lambda: time.time_ns() // 1_000_000)


def _start(directory: Path, code: bytes) -> float:
    """Seconds from nothing to a chain with genesis, compiled code in the cache."""
    started = time.perf_counter()
    runtimes = Runtimes(lambda wanted: Executor(wanted, directory / "compiled"))
    Chain.create(SqliteStore(directory / f"start-{started}.sqlite"), runtimes, lambda: 0, code)
    return time.perf_counter() - started


async def _over_rpc(directory: Path) -> float:
    """Signed transfers per second: sent one after the other over a WebSocket, until the last one is final."""
    service = DevChain(DevChainOptions(data=directory / "served", compiled=directory / "compiled"))
    await service.start()
    try:
        sender = await service.on_chain(lambda backend: Sender(backend.chain))
        async with aiohttp.ClientSession() as session, session.ws_connect(service.url) as socket:
            started = time.perf_counter()
            for number in range(_TRANSFERS):
                params = [f"0x{sender.next().hex()}"]
                method = "author_submitAndWatchExtrinsic"
                await socket.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            final = 0
            while final < _TRANSFERS:
                message = await socket.receive_json()
                if "error" in message:
                    raise RuntimeError(str(message["error"]))
                status = message.get("params", {}).get("result")
                final += isinstance(status, dict) and "finalized" in status
            return _TRANSFERS / (time.perf_counter() - started)
    finally:
        await service.close()


def figures(directory: Path) -> list[Figure]:
    code = RUNTIME_FILE.read_bytes()
    compiling = _ms(lambda: Executor(code), 1)
    runtimes = Runtimes(lambda wanted: Executor(wanted, directory / "compiled"))
    runtimes.of(code)
    results = [
        Figure("compiling the runtime, once", compiling[0] / 1e3, "s"),
        median_figure(
            "start with genesis, compiled code cached", [_start(directory, code) for _ in range(5)], "s", target=1.0
        ),
    ]
    for keys in _STATES:
        chain = _large(directory, runtimes, code, keys)
        author, sender = Author(chain), Sender(chain)

        def transfers(author: Author = author, sender: Sender = sender) -> None:
            for _ in range(_IN_BLOCK):
                author.submit(sender.next())
            author.seal()

        author.seal()
        empty = _ms(author.seal)
        target = 20.0 if keys == _STATES[0] else None
        results.append(median_figure(f"empty block, {keys:,} keys", empty, "ms", target=target))
        full = _ms(transfers, _TRANSFERS // _IN_BLOCK)
        results.append(median_figure(f"{_IN_BLOCK} transfers submitted and sealed, {keys:,} keys", full, "ms"))
        if keys == _STATES[0]:
            rate = _TRANSFERS / (sum(full) / 1e3)
            results.append(Figure("signed transfers", rate, "per second", target=30.0, better="higher"))
            replay = _ms(lambda chain=chain: chain.execute_block(chain.head.hash))  # type: ignore[misc]
            results.append(median_figure(f"replaying a block of {_IN_BLOCK} transfers", replay, "ms"))
    results.append(
        Figure(
            "signed transfers, JSON-RPC, until final",
            asyncio.run(_over_rpc(directory)),
            "per second",
            target=30.0,
            better="higher",
        )
    )
    values = {figure.name: figure.value for figure in results}
    for kind in ("empty block", f"{_IN_BLOCK} transfers submitted and sealed"):
        growth = values[f"{kind}, {_STATES[-1]:,} keys"] / values[f"{kind}, {_STATES[0]:,} keys"]
        results.append(Figure(f"{kind}: {_STATES[-1]:,} keys against {_STATES[0]:,}", growth, "x", target=1.3))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the record here")
    options: Any = parser.parse_args()
    with TemporaryDirectory() as directory:
        measured = figures(Path(directory))
    table = Table("figure", "value", "target")
    for figure in measured:
        target = "" if figure.target is None else f"{figure.target:g} {'met' if figure.met else 'missed'}"
        table.add_row(figure.name, f"{figure.value:.3g} {figure.unit}", target)
    Console().print(table)
    if options.json:
        limits = ("One process on a shared virtual machine; signing is counted in.",)
        record = Record(" ".join(["python", *sys.argv]), tuple(measured), limits=limits)
        options.json.write_text(json.dumps(record.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
