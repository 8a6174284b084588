"""The life of `chain run`: open the chain, say where it is, serve until a signal, close it.

    SIGTERM            ends at once; exit code 0
    SIGINT (Ctrl-C)    ends at once; exit code 130

A block that is being made is finished or forgotten as a whole, whatever ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from chain_client.devchain.errors import DevchainError
from chain_client.devchain.seal import Seal
from chain_client.devchain.service import LOOPBACK, DevChain, DevChainOptions
from compute.errors import AddressInUse
from compute.models.sources import default_cache_dir
from peerz_node.errors import ChainFailed
from peerz_node.provide import StopSignals
from peerz_node.readiness import check_ready_path, remove_ready_file, write_ready_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChainRun:
    """What `chain run` was asked for."""

    seal: str
    data: Path | None
    port: int
    ready_file: Path | None
    log_json: bool


def run_chain(asked: ChainRun) -> NoReturn:
    """Runs a chain until a signal; ends the process with the exit code that the signal means."""
    if asked.ready_file is not None:
        check_ready_path(asked.ready_file)
    raise SystemExit(asyncio.run(_serve(asked)))


async def _serve(asked: ChainRun) -> int:
    signals = StopSignals()
    signals.install()
    chain = DevChain(
        DevChainOptions(
            data=asked.data,
            seal=Seal.parse(asked.seal),
            port=asked.port,
            compiled=default_cache_dir() / "runtimes",
        )
    )
    starting = asyncio.create_task(_start(chain, asked.port))
    stopping = asyncio.create_task(signals.any.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return signals.exit_code
        await starting
        facts = await _facts(chain, asked)
        if asked.ready_file is not None:
            write_ready_file(asked.ready_file, facts)
        _announce(facts, json_lines=asked.log_json)
        await stopping
        return signals.exit_code
    finally:
        if asked.ready_file is not None:
            remove_ready_file(asked.ready_file)
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await chain.close()


async def _start(chain: DevChain, port: int) -> None:
    try:
        await chain.start()
    except DevchainError as error:
        raise ChainFailed(f"the chain cannot start: {error}") from None
    except OSError as error:
        raise AddressInUse(f"port {port} of {LOOPBACK} cannot be used ({error.strerror}); choose another") from None


async def _facts(chain: DevChain, asked: ChainRun) -> dict[str, Any]:
    """What the ready file says."""
    genesis, number = await chain.on_chain(
        lambda backend: (backend.chain.genesis_hash.hex(), backend.chain.head.number),
    )
    return {
        "pid": os.getpid(),
        "url": chain.url,
        "genesis_hash": f"0x{genesis}",
        "best_number": number,
        "seal": asked.seal,
        "data": None if asked.data is None else str(asked.data),
    }


def _announce(facts: dict[str, Any], *, json_lines: bool) -> None:
    """Says that it runs: to people with what to do next, to machines as one log line."""
    if json_lines:
        logger.info("serving", extra=facts)
        return
    where = "in memory, gone when it ends (--data keeps it)" if facts["data"] is None else f"in {facts['data']}"
    click.echo(f"development chain {facts['genesis_hash']} at block {facts['best_number']}, {where}")
    click.echo(f"JSON-RPC: {facts['url']} (HTTP on the same port), for this machine only")
    click.echo("\nhow it is doing:")
    click.echo(f"  peerz-node chain status --chain {facts['url']}")
    click.echo("\nAnybody can sign as its accounts (//Alice, //Bob ...): nothing on it has any worth.", err=True)
    click.echo("Ctrl-C ends it.", err=True)
