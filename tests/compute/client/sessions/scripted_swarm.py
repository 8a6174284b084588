"""A swarm of scripted providers, and a session over it beside the same blocks in this process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Any

import torch
from scripted_provider import FakeProvider, FakeStream
from toy_blocks import WIDTH, ToyBlocks

from compute.client.contracts import ANY_PROFILE, HopTarget, Profile, SessionOptions, SessionTerms
from compute.client.failover import Suspects
from compute.client.session import InferenceSession
from compute.errors import LinkLost, NoRoute
from compute.identity import NO_CHAIN, NodeKey
from compute.types import Codec, PeerId, Row, Span

N_BLOCKS = 6
ROOT = b"r" * 32


class FakeSwarm:
    """Providers in order of preference; plans take, at each block, the first that serves it."""

    def __init__(self) -> None:
        self.providers: list[FakeProvider] = []
        self.newcomers: list[FakeProvider] = []
        self.refreshed = 0
        self.asked_profiles: list[Profile] = []
        self.profile = ANY_PROFILE
        self.codec = Codec.RAW

    def add(self, start: int, end: int, **fields: Any) -> FakeProvider:
        provider = FakeProvider(NodeKey(bytes([len(self.providers) + 1]) * 32), Span(start, end), **fields)
        self.providers.append(provider)
        return provider

    def plan(
        self, within: Span, avoided: Collection[PeerId], tokens: int, profile: Profile = ANY_PROFILE
    ) -> Sequence[HopTarget]:
        self.asked_profiles.append(profile)
        targets: list[HopTarget] = []
        block = within.start
        while block < within.end:
            serving = [p for p in self.providers if block in p.span and p.peer not in avoided]
            if not serving:
                missing = Span(block, within.end)
                raise NoRoute(f"nobody serves blocks {missing}", missing=(missing,))
            span = Span(block, min(serving[0].span.end, within.end))
            targets.append(
                HopTarget(
                    serving[0].peer,
                    span,
                    serving[0].key.public_key,
                    codec=self.codec,
                    rtt_s=0.002,
                    profile=self.profile,
                )
            )
            block = span.end
        return targets

    async def refresh(self) -> None:
        self.refreshed += 1
        self.providers.extend(self.newcomers)
        self.newcomers.clear()

    async def dial(self, peer: PeerId) -> Any:
        provider = next(p for p in self.providers if p.peer == peer)
        if provider.mood == "dead":
            raise LinkLost(f"{peer} cannot be reached", peer=peer)
        reader = asyncio.StreamReader()
        stream = FakeStream(provider, reader)
        provider.streams.append(stream)
        return reader, stream

    @property
    def open_streams(self) -> int:
        return sum(provider.open_streams for provider in self.providers)


def terms_of(**changes: Any) -> SessionTerms:
    fields: dict[str, Any] = {
        "model_root": ROOT,
        "network_id": NO_CHAIN,
        "n_blocks": N_BLOCKS,
        "width": WIDTH,
        "lanes_max": 8,
        "max_tokens": 200,
    }
    return SessionTerms(**{**fields, **changes})


class Twin:
    """A session over the swarm beside the same blocks in this process: every step must give the same values."""

    def __init__(self, swarm: FakeSwarm, lanes: int = 1, seed: int = 0, **options: Any) -> None:
        self.session = InferenceSession(
            swarm, terms_of(), lanes, Suspects(), SessionOptions(**options), random.Random(seed)
        )
        self.reference = ToyBlocks(Span(0, N_BLOCKS))
        self.reference.lanes = [[[] for _ in range(N_BLOCKS)] for _ in range(lanes)]
        self._values = torch.Generator().manual_seed(seed)

    def hidden(self, n_tokens: int) -> torch.Tensor:
        return torch.randn(n_tokens, WIDTH, generator=self._values)

    async def step(self, rows: Sequence[Row], fork: Sequence[int] = ()) -> torch.Tensor:
        hidden = self.hidden(sum(row.n_tokens for row in rows))
        out = await self.session.step(rows, hidden, fork)
        torch.testing.assert_close(out, self.reference.step(rows, fork, hidden), rtol=1e-5, atol=1e-6)
        assert list(self.session.lengths) == self.reference.lengths()
        return out

    async def extend(self, *n_tokens: int, fork: Sequence[int] = ()) -> torch.Tensor:
        """Appends that many tokens to each lane."""
        lengths = [self.session.lengths[source] for source in fork] if fork else self.session.lengths
        return await self.step([Row(i, lengths[i], n) for i, n in enumerate(n_tokens)], fork)
