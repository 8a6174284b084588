"""A provider in a process of its own, for tests that kill it: MODEL SPAN [PEER ...]. Ends with its standard input."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from compute.server.options import ProviderOptions
from compute.server.provider import Provider
from compute.types import Span


async def main(model: str, blocks: str, *peers: str) -> None:
    options = ProviderOptions(model=model, blocks=Span.parse(blocks), initial_peers=peers, threads=1)
    provider = Provider(options)
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, leave.set)
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: leave.set())
    try:
        await provider.start()
        sys.stdout.write(json.dumps({"addresses": provider.addresses, "peer_id": provider.peer_id}) + "\n")
        sys.stdout.flush()
        await leave.wait()
        await provider.drain(10.0)
    finally:
        await provider.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
