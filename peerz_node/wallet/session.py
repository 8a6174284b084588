"""One command's talk with the chain: connect, do, close, with errors in the command line's words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chain_client.client import DEFAULT_URL, ChainClient
from chain_client.errors import ChainError
from peerz_node.console import spinner
from peerz_node.settings import Settings
from peerz_node.wallet.errors import ChainTrouble

T = TypeVar("T")


def ask_chain(settings: Settings, work: Callable[[ChainClient], Awaitable[T]]) -> T:
    """What `work` gives, done with a client of the settings' chain. Raises ChainTrouble, WalletError."""
    return asyncio.run(_talk(settings, work))


async def _talk(settings: Settings, work: Callable[[ChainClient], Awaitable[T]]) -> T:
    url = settings.chain or DEFAULT_URL
    try:
        async with ChainClient(url) as chain:
            with spinner(f"connecting to {url} ..."):
                await chain.query.head()
            return await work(chain)
    except ChainError as error:
        raise ChainTrouble(error) from None
