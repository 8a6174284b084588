"""Sessions with common prefixes do anything, at once: outputs are the twin's, and every byte is counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import torch
from engine_steps import TOLERANCE, WHOLE, delta_error, settled, sid, step_header, tokens
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.errors import CacheFull
from compute.models.span import LoadedSpan
from compute.runner.engine import Engine, EngineOptions
from compute.runner.naive import naive_outputs

_moves = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["prefill", "prefill", "decode", "decode", "back", "fork", "close"]),
        st.sampled_from([64, 128, 200, 256]),
        st.integers(0, 2),
    ),
    min_size=4,
    max_size=16,
)


@settings(max_examples=40, deadline=None)
@given(moves=_moves, cache_tokens=st.sampled_from([1_500, 100_000]))
def test_whatever_sessions_do_their_outputs_are_those_of_the_twin(
    moves: list[tuple[int, str, int, int]], cache_tokens: int, loaded_of: Callable[..., LoadedSpan]
) -> None:
    """Prompts begin with one of three texts and share 64 to 256 tokens of it; moves of different sessions that follow
    upon each other happen at once. Bytes are counted after each, and nothing is left in the end."""
    asyncio.run(_play(moves, cache_tokens, loaded_of("llama")))


async def _play(moves: list[tuple[int, str, int, int]], cache_tokens: int, loaded: LoadedSpan) -> None:
    options = EngineOptions(cache_bytes=cache_tokens * loaded.kv_bytes_per_token, threads=1, cache_wait_s=0.0)
    engine = Engine(loaded, options)
    await engine.start()
    players = {number: Player(engine, number) for number, *_ in moves}
    waiting = list(enumerate(moves))
    while waiting:
        together: dict[int, Any] = {}
        while waiting and waiting[0][1][0] not in together:
            seed, (number, *move) = waiting.pop(0)
            together[number] = players[number].move(seed, *move)
        await asyncio.gather(*together.values())
        engine.check_integrity()
        for number in together:
            players[number].check(loaded)
    for player in players.values():
        engine.close(player.session)
    await settled(engine)
    engine.check_integrity()
    assert engine.stats().cache_bytes_used == 0
    await engine.stop()


class Player:
    """One session, the inputs of its first lane, and what the last step gave."""

    def __init__(self, engine: Engine, number: int) -> None:
        self.engine = engine
        self.session = sid(number)
        self.name = f"c{number}"
        self.is_open = False
        self.history = torch.empty(0, 32)
        self.last = torch.empty(0, 32)

    async def move(self, seed: int, what: str, n_prefix: int, text: int) -> None:
        self.last = torch.empty(0, 32)
        if what == "close":
            self.engine.close(self.session)
            self.is_open, self.history = False, torch.empty(0, 32)
            return
        with contextlib.suppress(CacheFull):
            await self._step(seed, what, n_prefix, text)

    async def _step(self, seed: int, what: str, n_prefix: int, text: int) -> None:
        if not self.is_open:
            await self.engine.open(self.session, self.name, WHOLE, 2, 10_000)
            self.is_open = True
        length = len(self.history)
        if what == "prefill" or not length:
            position, new = 0, torch.cat([tokens(n_prefix, seed=1000 + text), tokens(5 + text, seed=seed)])
        else:
            position, new = max(0, length - n_prefix) if what == "back" else length, tokens(1 + text, seed=seed)
        fork = (0, 0) if what == "fork" and length else ()
        header = step_header((0, position, len(new)), fork=fork)
        self.last = (await self.engine.step(self.session, header, new)).hidden
        self.history = torch.cat([self.history[:position], new])

    def check(self, loaded: LoadedSpan) -> None:
        if n := len(self.last):
            expected = naive_outputs(loaded, WHOLE, self.history)
            assert delta_error(self.last, expected[-n:], self.history[-n:]) < TOLERANCE
