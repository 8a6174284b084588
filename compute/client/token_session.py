"""A session of the remote blocks that remembers which token ids every lane holds.

The session below it (`BlockSession`) moves hidden states and knows lengths only. What is remembered here lets a later
`generate()` call find how much of its prompt the providers hold already, and send only the rest.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import torch

from compute.errors import BadRequest
from compute.types import Row

UNKNOWN_TOKEN = -1
"""Stands for a token that came in as an embedding: equal to no id, so that nothing is ever reused for it."""


class BlockSession(Protocol):
    """What the model needs of a session over all blocks: `BlockingSession` of the swarm, or one in this process."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens that each lane holds."""

    @property
    def closed(self) -> bool:
        """Whether it has ended, by `close` or by an interruption."""

    def step(self, rows: Sequence[Row], hidden: torch.Tensor, fork: Sequence[int] = ()) -> torch.Tensor:
        """Hidden states after the last block, `[tokens, width]`, for `hidden`, those before the first, packed by rows.

        `rows` and `fork` mean what `StepHeader` says; a step may be of any size, the session cuts it for the wire.
        After an error the lanes are as they were before.
        """

    def close(self) -> None:
        """Frees what the providers hold. Idempotent."""


class SessionSource(Protocol):
    """Opens sessions: `SwarmClient`, or a source in this process."""

    def open_session(self, *, max_tokens: int, lanes: int = 1) -> BlockSession:
        """A session of `lanes` empty lanes, of which none will ever hold more than `max_tokens` tokens."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What one lane becomes: the first `position` tokens of lane `source` as it was, then `tokens`."""

    source: int
    position: int
    tokens: tuple[int, ...]


class TokenSession:
    """A session together with the token ids in its lanes. Used by one thread at a time; a context manager.

    It is opened at its first step, or by `open()` for those who want to hear at once that there is no route.
    """

    def __init__(self, source: SessionSource, max_tokens: int) -> None:
        self._source = source
        self._max_tokens = max_tokens
        self._blocks: BlockSession | None = None
        # Arrays, since beams that part copy them in every step.
        self._lanes = _empty_lanes(1)
        self._interrupted = False
        self._closed = False
        self.version = 0
        """Rises whenever lanes change: a cache that saw another version describes lanes that are gone."""

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    @property
    def blocks(self) -> BlockSession | None:
        """The session underneath, for its route and statistics; None until it is open."""
        return self._blocks

    @property
    def lanes(self) -> Sequence[Sequence[int]]:
        """The token ids that each lane is known to hold."""
        self._forget_if_ended()
        if self._interrupted and self._blocks is not None:
            # A lane may have lost tokens with the step that failed; it cannot have gained any that it should keep.
            lengths = self._blocks.lengths
            known = self._lanes if len(self._lanes) == len(lengths) else _empty_lanes(len(lengths))
            self._lanes = [lane[:length] for lane, length in zip(known, lengths, strict=True)]
            self._interrupted = False
        return self._lanes

    def open(self, lanes: int = 1) -> BlockSession:
        """The session underneath, opened with `lanes` empty lanes unless it is open. Raises BadRequest once closed."""
        if self._closed:
            raise BadRequest("this session is closed; open a new one with model.inference_session(max_tokens=...)")
        self._forget_if_ended()
        if self._blocks is None:
            self._blocks = self._source.open_session(max_tokens=self._max_tokens, lanes=lanes)
            self._lanes = _empty_lanes(lanes)
        return self._blocks

    def _forget_if_ended(self) -> None:
        """Ctrl-C in a step ends the session underneath: what comes next begins a new one, with empty lanes."""
        if self._blocks is not None and self._blocks.closed:
            self._blocks = None
            self._lanes = _empty_lanes(1)
            self._interrupted = False
            self.version += 1

    def reserve(self, max_tokens: int) -> None:
        """Sets the most tokens that a lane will hold. Does nothing once the session is open."""
        if self._blocks is None:
            self._max_tokens = max_tokens

    def longest_prefix(self, tokens: Sequence[int]) -> tuple[int, int]:
        """`(lane, n)`: the lane that shares the most leading tokens with `tokens`, and how many."""
        common = [_common_prefix(lane, tokens) for lane in self.lanes]
        best = max(range(len(common)), key=common.__getitem__)
        return best, common[best]

    def advance(self, lanes: Sequence[Continuation], hidden: torch.Tensor) -> torch.Tensor:
        """Makes `lanes` the lanes of the session and returns the new tokens' hidden states after the last block.

        `hidden` and the result are `[sum of tokens, width]`, packed lane after lane. Raises BadRequest when a lane
        would outgrow `max_tokens`; that and every error of the step leave the lanes as they were.
        """
        self._check_room(lanes)
        self._forget_if_ended()
        if self._blocks is None and not any(lane.position for lane in lanes):
            self.open(len(lanes))
            # A new lane is empty, whichever it is.
            lanes = [Continuation(index, 0, lane.tokens) for index, lane in enumerate(lanes)]
        blocks = self.open()
        held = self.lanes
        sources = tuple(lane.source for lane in lanes)
        fork = () if sources == tuple(range(len(held))) else sources
        rows = [
            Row(index, lane.position, len(lane.tokens))
            for index, lane in enumerate(lanes)
            if lane.tokens or lane.position < len(held[lane.source])
        ]
        try:
            out = blocks.step(rows, hidden, fork)
        except BaseException:
            self._note_failure(lanes, fork)
            raise
        self._commit(lanes, fork)
        return out

    def close(self) -> None:
        """Frees what the providers hold. Idempotent."""
        self._closed = True
        blocks, self._blocks = self._blocks, None
        if blocks is not None:
            blocks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_room(self, lanes: Sequence[Continuation]) -> None:
        longest = max(lane.position + len(lane.tokens) for lane in lanes)
        if longest > self._max_tokens:
            raise BadRequest(
                f"the session holds at most {self._max_tokens} tokens per lane and would need {longest}; "
                "open it with a larger max_tokens"
            )

    def _commit(self, lanes: Sequence[Continuation], fork: tuple[int, ...]) -> None:
        old = self._lanes
        # Lanes that only grow, as in every decoding step, are not copied.
        self._lanes = [old[lane.source][: lane.position] for lane in lanes] if fork else old
        for tokens, lane in zip(self._lanes, lanes, strict=True):
            del tokens[lane.position :]
            tokens.extend(lane.tokens)
        self.version += 1

    def _note_failure(self, lanes: Sequence[Continuation], fork: tuple[int, ...]) -> None:
        """Forgets what cannot be known after a step that failed: it may have been carried out before it was cut off."""
        if fork:
            self._lanes = []
        else:
            for tokens, lane in zip(self._lanes, lanes, strict=True):
                del tokens[lane.position :]
        self._interrupted = True
        self.version += 1


def _empty_lanes(n_lanes: int) -> list[array[int]]:
    return [array("q") for _ in range(n_lanes)]


def _common_prefix(held: Sequence[int], tokens: Sequence[int]) -> int:
    """How many leading ids are the same."""
    shorter = min(len(held), len(tokens))
    if tuple(held[:shorter]) == tuple(tokens[:shorter]):
        return shorter
    return next(i for i in range(shorter) if held[i] != tokens[i])
