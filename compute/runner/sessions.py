"""What a session holds on the device, and a step of it as a transaction over all its lanes.

No loop, no thread, no clock: `check` says whether a step fits, `begin` forks, rolls back and pays for all of it or for
nothing, `Draft.keep` and `Draft.undo` end it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from compute.errors import BadRequest
from compute.runner.cache import CacheShape, LaneCache
from compute.runner.pool import CachePool
from compute.types import Span, StepHeader


@dataclass(slots=True)
class SessionLanes:
    """The lanes of one session, in order; they come into being when they are first named."""

    shape: CacheShape
    pool: CachePool
    span: Span
    lanes_max: int
    tokens_max: int
    lanes: list[LaneCache] = field(default_factory=list)

    def check(self, header: StepHeader, hidden: torch.Tensor, width: int) -> None:
        """Raises BadRequest when the step does not fit the session or its tensor."""
        lengths = [lane.length for lane in self.lanes]
        if any(not 0 <= source < len(lengths) for source in header.fork):
            raise BadRequest(f"a fork of a lane that is not there: the session has {len(lengths)}")
        lengths = [lengths[source] for source in header.fork] if header.fork else lengths
        n_lanes = len(header.fork) or self.lanes_max
        if n_lanes > self.lanes_max:
            raise BadRequest(f"{n_lanes} lanes; the session was opened for {self.lanes_max}")
        before = -1
        for row in header.rows:
            if not before < row.lane < n_lanes:
                raise BadRequest(f"lane {row.lane} is out of order or beyond the {n_lanes} lanes of the session")
            before = row.lane
            length = lengths[row.lane] if row.lane < len(lengths) else 0
            if not 0 <= row.position <= length:
                raise BadRequest(f"position {row.position} of lane {row.lane} is beyond its {length} tokens")
            if row.n_tokens < 0 or row.position + row.n_tokens > self.tokens_max:
                raise BadRequest(f"the session was opened for {self.tokens_max} tokens a lane")
        if hidden.shape != (header.n_tokens, width) or not hidden.is_floating_point():
            expected = f"[{header.n_tokens}, {width}]"
            raise BadRequest(f"the tensor is {hidden.dtype} {list(hidden.shape)} where the step has floats {expected}")

    def begin(self, header: StepHeader) -> Draft | None:
        """The lanes after the step's fork, rolled back and with room for its rows; None, with nothing changed, when the
        pool has not enough."""
        lanes = self._forked(header.fork) if header.fork else list(self.lanes)
        if lanes is None:
            return None
        draft = Draft(self, lanes)
        for row in header.rows:
            while row.lane >= len(lanes):
                lanes.append(LaneCache(self.shape, self.pool))
            if not lanes[row.lane].begin(row.position, row.n_tokens):
                draft.undo()
                return None
        return draft

    def free(self) -> None:
        for lane in self.lanes:
            lane.free()
        self.lanes = []

    def _forked(self, fork: Sequence[int]) -> list[LaneCache] | None:
        """Each source moves to the first lane that continues it, and is forked for the others."""
        lanes: list[LaneCache] = []
        made: list[LaneCache] = []
        moved: set[int] = set()
        for source in fork:
            lane = self.lanes[source]
            if source not in moved:
                moved.add(source)
                if fork.count(source) > 1:
                    lane.share()
                lanes.append(lane)
            elif (twin := lane.fork()) is not None:
                made.append(twin)
                lanes.append(twin)
            else:
                for twin in made:
                    twin.free()
                return None
        return lanes


@dataclass(slots=True)
class Draft:
    """A step of a session that has begun: `lanes` are what the session will have if it is kept."""

    session: SessionLanes
    lanes: list[LaneCache]

    def keep(self) -> None:
        """The session goes on with the draft's lanes; those that no lane continues are freed."""
        kept = {id(lane) for lane in self.lanes}
        for lane in self.lanes:
            lane.keep()
        for lane in self.session.lanes:
            if id(lane) not in kept:
                lane.free()
        self.session.lanes = self.lanes

    def undo(self) -> None:
        """The session is what it was before the step."""
        before = {id(lane) for lane in self.session.lanes}
        for lane in self.lanes:
            if id(lane) in before:
                lane.undo()
            else:
                lane.free()

    def free(self) -> None:
        """The session is gone: everything is freed."""
        for lane in self.lanes:
            lane.free()
        self.session.free()
