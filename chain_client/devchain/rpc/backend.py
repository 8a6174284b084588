"""The chain as the methods see it. Belongs to the chain thread.

Whatever happens is noted as news, in order; whoever runs the jobs takes it after each of them.
"""

from __future__ import annotations

from collections.abc import Callable

from chain_client.devchain.author import Author
from chain_client.devchain.chain import Authored, Chain
from chain_client.devchain.errors import RuntimeFailure, ScaleError
from chain_client.devchain.genesis import CODE_KEY
from chain_client.devchain.pool import PoolLimits
from chain_client.devchain.rpc.forms import header_json, version_json
from chain_client.devchain.rpc.news import NewFinal, NewHead, News
from chain_client.devchain.rpc.params import Params
from chain_client.devchain.runtime import Runtime
from chain_client.devchain.trie import Trie


class Backend:
    """A chain with its pool, and the news that nobody has taken yet."""

    def __init__(self, chain: Chain, response_bytes: int, pool_limits: PoolLimits | None = None) -> None:
        self.news: list[News] = []
        self.chain = chain
        self.response_bytes = response_bytes
        """No method needs to gather more than this for one answer."""
        self.author = Author(chain, pool_limits, self._note)

    def _note(self, item: News) -> None:
        self.news.append(item)

    def take_news(self) -> list[News]:
        """What happened since the last time."""
        taken, self.news = self.news, []
        return taken

    def seal(self, *, finalise: bool = True, create_empty: bool = True) -> Authored | None:
        """Make a block: see `Author.seal`."""
        final_before = self.chain.finalised_number
        authored = self.author.seal(finalise=finalise, create_empty=create_empty)
        if authored is not None:
            header = authored.block.header
            version = self._version_at(header.hash) if CODE_KEY in authored.changes else None
            self._note(NewHead(header.hash, header_json(header), authored.changes, version))
            self._note_final(final_before)
        return authored

    def _version_at(self, block_hash: bytes) -> dict[str, object] | None:
        """The version of the new runtime, None when the new code is none: the block holds all the same."""
        try:
            return version_json(self.chain.runtime_at(block_hash).version)
        except (RuntimeFailure, ScaleError):
            return None

    def finalise(self, number: int) -> None:
        """Declare blocks final: see `Author.finalise`."""
        final_before = self.chain.finalised_number
        self.author.finalise(number)
        self._note_final(final_before)

    def _note_final(self, before: int) -> None:
        if self.chain.finalised_number > before:
            self._note(NewFinal(header_json(self.chain.block(self.chain.finalised).header)))

    def hash_or_head(self, params: Params, index: int) -> bytes:
        """The block that a parameter names, the head when it is null."""
        asked = params.hash_or_none(index)
        return self.chain.head.hash if asked is None else asked

    def state(self, params: Params, index: int) -> Trie:
        """The state after the block that a parameter names. Raises `StateUnavailable`."""
        return self.chain.state_at(self.hash_or_head(params, index))

    def runtime(self, params: Params, index: int) -> Runtime:
        """The runtime after the block that a parameter names. Raises `StateUnavailable`."""
        return self.chain.runtime_at(self.hash_or_head(params, index))


Method = Callable[[Backend, Params], object]
"""Answers one call; runs on the chain thread. Raises `RpcError`, `DevchainError`."""
