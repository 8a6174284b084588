"""A session over all blocks of a model: a chain of hops that is repaired while it runs.

A step passes the hops one after the other. What each was fed goes into the history; the bytes that one hop answered are
what the next one is sent, as long as their formats agree. Any hop may fail at any time: then the step stays where it
is, the gap is planned anew, the new hops are replayed the history, and the step goes on with them. It is committed when
it came through the last hop; if it never does, the lanes are as before and the hops that had taken it are dropped, to
be rebuilt from history by the next step.

    hop answers                 on to the next one
    hop lost, garbage, INTERNAL its peer is avoided; gap planned anew; replay; same step again
    CACHE_FULL, OVERLOADED      another provider takes over if there is one, else wait and send the same step again
    DRAINING (announced)        moved before the next step if there is another provider
    DRAINING, MOVED (refused)   like a lost hop
    wrong receipt, equivocation the session ends with that error, the peer is banned
    no provider in time         NoRoute names the blocks
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

import torch

from compute.client.builder import HopBuilder
from compute.client.contracts import (
    ANY_PROFILE,
    Profile,
    RouteHop,
    SessionOptions,
    SessionRoute,
    SessionStats,
    SessionTerms,
    Swarm,
)
from compute.client.failover import Suspects, Trouble, gap_at, opening_rows
from compute.client.gap_filler import GapFiller, Need
from compute.client.history import Draft, History
from compute.client.hop import HopConnection
from compute.errors import BadReceipt, BadRequest, ComputeError, Equivocation, NoRoute, Refused
from compute.types import PeerId, Row
from compute.wire.codecs import EncodedTensor, decode, encode

logger = logging.getLogger(__name__)


class InferenceSession:
    """Lanes of hidden states over all blocks. Methods run on one event loop, one step at a time."""

    def __init__(
        self,
        swarm: Swarm,
        terms: SessionTerms,
        lanes: int,
        suspects: Suspects | None = None,
        options: SessionOptions | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if not 1 <= lanes <= terms.lanes_max:
            raise BadRequest(f"{lanes} lanes; a session has 1 to {terms.lanes_max}")
        self._swarm = swarm
        self._terms = terms
        self._suspects = suspects or Suspects()
        self._options = options or SessionOptions()
        self._rng = rng or random.Random()
        self._history = History(terms.width, lanes)
        self._builder = HopBuilder(swarm, terms, self._history, self._suspects, self._options)
        self._filler = GapFiller(swarm, self._builder, self._suspects, self._options, self._rng)
        self._hops: dict[int, HopConnection] = {}
        self._busy = False
        self._closed = False
        self._ahead: list[HopConnection] = []
        self._trouble: Trouble | None = None
        self._moves_after = 0.0
        self._profile = ANY_PROFILE
        self._steps = self._tokens = self._failovers = 0
        self._failover_s = 0.0

    # ------------------------------------------------------------------ what it is

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens that each lane holds."""
        return self._history.lengths

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def route(self) -> SessionRoute:
        return SessionRoute(tuple(RouteHop(hop.peer, hop.span) for hop in self._live()))

    @property
    def stats(self) -> SessionStats:
        return SessionStats(
            steps=self._steps,
            tokens=self._tokens,
            replayed_tokens=self._builder.replayed_tokens,
            failovers=self._failovers,
            failover_s=self._failover_s,
            hops=tuple(hop.report() for hop in self._live()),
        )

    # ------------------------------------------------------------------ life

    async def open(self) -> None:
        """Returns when every block is served. Raises NoRoute, naming those that are not, and leaves nothing open."""
        try:
            async with _Exclusive(self):
                await self._complete(self._options.open_give_up_s)
                self._keep_profile()
        except BaseException:
            self.close()
            raise

    def _keep_profile(self) -> None:
        """From now on replacements must compute as the hops of the start do, where those agree: tokens might differ."""
        profiles = {Profile(*hop.asked) for hop in self._live()}
        self._profile = profiles.pop() if len(profiles) == 1 else ANY_PROFILE

    async def resume(self) -> None:
        """Returns when every block is served again after `suspend`. A step does the same by itself."""
        async with _Exclusive(self):
            await self._complete(self._options.give_up_s)

    async def suspend(self) -> None:
        """Frees everything at the providers. The history stays, and `resume` or the next step goes on from it."""
        async with _Exclusive(self):
            self._drop_hops()

    def close(self) -> None:
        """Frees everything. Idempotent; a step that runs is told LinkLost by its hop and ends with that."""
        self._closed = True
        self._drop_hops()

    # ------------------------------------------------------------------ steps

    async def step(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int] = ()) -> torch.Tensor:
        """Hidden states after the last block, fp32 `[tokens, width]`, of `hidden`, those before the first.

        `rows` and `fork` mean what `StepHeader` says, `hidden` is packed by rows and of any size and float dtype. After
        an error the lanes are as they were before.

        Raises BadRequest for what does not fit the lanes, NoRoute when blocks stay unserved, CacheFull or Overloaded
        when their only providers have no room in time, BadReceipt or Equivocation when a provider lied. The latter
        close the session, and so does a cancellation.
        """
        async with _Exclusive(self):
            draft = self._drafted(rows, hidden, fork)
            if not draft.n_tokens and not draft.fork:
                self._history.commit(draft)
                return hidden.to(torch.float32)
            started = self.now()
            try:
                await self._move_draining()
                result = await self._pass_all(draft, hidden)
            except (BadReceipt, Equivocation, asyncio.CancelledError):
                self.close()
                raise
            except BaseException:
                for hop in self._ahead:  # they took the step; they are rebuilt from history, which did not
                    self._remove(hop)
                raise
            self._history.commit(draft)
            self._history.compact()
            self._note_step(draft, started)
            return result

    def truncate(self, lane: int, length: int) -> None:
        """Rolls `lane` back to its first `length` tokens; its providers hear of it with the lane's next tokens."""
        if self._busy:
            raise BadRequest("a step is running; wait for it before rolling back")
        self._history.truncate(lane, length)

    def _drafted(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int]) -> Draft:
        draft = self._history.draft(rows, fork)
        if draft.lanes_after > self._terms.lanes_max:
            raise BadRequest(f"a fork to {draft.lanes_after} lanes; the session was opened for {self._terms.lanes_max}")
        if any(row.position + row.n_tokens > self._terms.max_tokens for row in rows):
            raise BadRequest(f"the session holds at most {self._terms.max_tokens} tokens per lane; open a larger one")
        if hidden.shape != (draft.n_tokens, self._terms.width):
            raise BadRequest(
                f"the tensor is {list(hidden.shape)} where the rows have [{draft.n_tokens}, {self._terms.width}]"
            )
        return draft

    async def _pass_all(self, draft: Draft, hidden: torch.Tensor) -> torch.Tensor:
        """The step through all hops, whoever they are in the end."""
        self._trouble = None
        self._ahead = []
        values = hidden.detach()
        wire: EncodedTensor | None = None
        block = 0
        while block < self._terms.n_blocks:
            hop = self._hops.get(block) or await self._fill(block)
            try:
                if wire is None or (wire.codec, wire.dtype) != (hop.codec, hop.dtype):
                    wire = encode(values, hop.codec, hop.dtype)
                self._history.write(block, draft, decode(wire))
                answer = await hop.step(*self._wire_layout(hop, draft), wire)
            except ComputeError as error:
                await self._handle(hop, error)
            else:
                self._note_progress(hop)
                wire, values, block = answer.hidden, answer.values, hop.span.end
        return values.to(torch.float32)

    def _wire_layout(self, hop: HopConnection, draft: Draft) -> tuple[Sequence[Row], Sequence[int]]:
        if not hop.fresh:
            return draft.rows, draft.fork
        # All lanes are empty, or there would have been a replay: so are those that a fork makes of them.
        return opening_rows(draft.rows, draft.lanes_after), ()

    # ------------------------------------------------------------------ when something goes wrong

    async def _handle(self, hop: HopConnection, error: ComputeError) -> None:
        """Returns when the same step may be tried again. Raises `error` when that cannot help."""
        trouble = self._in_trouble(self._options.give_up_s)
        trouble.note(error)
        if self._closed or error.peer is None:  # our own doing: closed in the middle, or values that no codec takes
            raise error
        if isinstance(error, Refused) and hop.end is None:
            await self._make_room(hop, error, trouble)
            return
        self._lose(hop, error)
        if isinstance(error, BadReceipt | Equivocation):
            raise error
        if isinstance(error, BadRequest) and (trouble.bad_requests > 1 or not self._has_other(hop)):
            raise error

    def _in_trouble(self, give_up_s: float) -> Trouble:
        """What went wrong with the step that runs. The time to give up counts from the last progress."""
        now = self.now()
        if self._trouble is None:
            self._trouble = Trouble(self._options.retry_s)
        if self._trouble.give_up_at is None:
            self._trouble.give_up_at = now + give_up_s
        return self._trouble

    def _note_progress(self, hop: HopConnection) -> None:
        """The hop has taken the step; whatever goes wrong next has its own time to be mended."""
        self._ahead.append(hop)
        if self._trouble is not None:
            self._trouble.give_up_at = None

    def _lose(self, hop: HopConnection, error: ComputeError) -> None:
        logger.info("hop %s on %s is lost: %s", hop.span, hop.peer, error)
        self._failovers += 1
        self._remove(hop)
        self._builder.blame(hop.peer, error)

    async def _make_room(self, hop: HopConnection, error: Refused, trouble: Trouble) -> None:
        """Another provider takes over from one that has no room; without one, waits as it asked."""
        self._builder.blame(hop.peer, error)
        if await self._replace(hop):
            return
        wait_s = min(self._options.refusal_s_max, max(self._options.retry_s, error.retry_after_s))
        wait_s *= self._rng.uniform(0.8, 1.2)
        if trouble.is_over(self.now() + wait_s):
            raise error
        await asyncio.sleep(wait_s)

    async def _move_draining(self) -> None:
        """Hands hops whose providers leave over to others, as long as there are any."""
        if self.now() < self._moves_after:
            return
        for hop in self._live():
            if hop.draining and hop.end is None:
                self._suspects.note_refusal(hop.peer, self.now(), self._options.give_up_s)
                if not await self._replace(hop):
                    self._moves_after = self.now() + self._options.move_retry_s

    async def _replace(self, hop: HopConnection) -> bool:
        """Whether others took over from `hop`, which lives and stays in its place otherwise."""
        try:
            targets = self._swarm.plan(hop.span, self._avoided(), self._held_tokens(), self._profile)
            connections = await self._builder.build(targets)
        except (BadReceipt, Equivocation):
            raise
        except ComputeError as error:
            logger.debug("no replacement for hop %s on %s: %s", hop.span, hop.peer, error)
            return False
        self._remove(hop)
        self._adopt(connections)
        return True

    def _has_other(self, hop: HopConnection) -> bool:
        try:
            return bool(self._swarm.plan(hop.span, self._avoided(), self._held_tokens(), self._profile))
        except NoRoute:
            return False

    # ------------------------------------------------------------------ building

    async def _complete(self, give_up_s: float) -> None:
        self._trouble = None
        block = 0
        while block < self._terms.n_blocks:
            hop = self._hops.get(block) or await self._fill(block, give_up_s)
            block = hop.span.end

    async def _fill(self, block: int, give_up_s: float | None = None) -> HopConnection:
        """The hop that begins at `block` from now on; the whole gap there is served. Raises what `GapFiller` does."""
        gap = gap_at(block, [hop.span for hop in self._live()], self._terms.n_blocks)
        give_up_s = give_up_s or self._options.give_up_s
        need = Need(gap, self._held_tokens(), self._profile)

        def in_trouble() -> Trouble:
            self._check_open()
            return self._in_trouble(give_up_s)

        self._adopt(await self._filler.fill(need, in_trouble))
        return self._hops[block]

    def _check_open(self) -> None:
        if self._closed:
            raise BadRequest("the session was closed while a step of it ran")

    def _adopt(self, connections: Sequence[HopConnection]) -> None:
        """Makes them hops of the session."""
        if self._closed:
            for connection in connections:
                connection.close()
        self._check_open()
        self._hops.update({hop.span.start: hop for hop in connections})
        # A gap begins at block 0 or where a live hop ends: only there may a replay have to begin.
        self._history.keep_only({0, *self._hops, *(hop.span.end for hop in self._live())})

    # ------------------------------------------------------------------ small things

    def _live(self) -> list[HopConnection]:
        return [self._hops[start] for start in sorted(self._hops)]

    def _remove(self, hop: HopConnection) -> None:
        hop.close()
        if self._hops.get(hop.span.start) is hop:
            del self._hops[hop.span.start]

    def _drop_hops(self) -> None:
        for hop in self._live():
            self._remove(hop)

    def _avoided(self) -> frozenset[PeerId]:
        return self._suspects.avoided(self.now())

    def _held_tokens(self) -> int:
        return sum(self.lengths)

    def _note_step(self, draft: Draft, started: float) -> None:
        self._steps += 1
        self._tokens += draft.n_tokens
        if self._trouble is not None:
            self._failover_s = max(self._failover_s, self.now() - started)

    @staticmethod
    def now() -> float:
        """The clock that peers are avoided by: seconds of the running loop."""
        return asyncio.get_running_loop().time()


class _Exclusive:
    """One thing at a time: entered by whoever works with the hops of an open session. Raises BadRequest."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    async def __aenter__(self) -> None:
        if self._session._closed:
            raise BadRequest("this session is closed; open a new one")
        if self._session._busy:
            raise BadRequest("a step of this session is running; steps go one after the other")
        self._session._busy = True

    async def __aexit__(self, *_: object) -> None:
        self._session._busy = False
