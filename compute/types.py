"""The nouns that every part of `compute` passes around. Frozen, without I/O, importing nothing of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NewType

SessionId = NewType("SessionId", bytes)
"""16 random bytes, chosen by the client."""

PeerId = NewType("PeerId", str)
"""Base58 libp2p peer id: the hash of a node's ed25519 public key."""

SESSION_ID_BYTES = 16
NONCE_BYTES = 16
HASH_BYTES = 32

_SPAN_TEXT = re.compile(r"\s*(\d{1,6})\s*:\s*(\d{1,6})\s*")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Blocks `start` (included) to `end` (excluded) of a model. Never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"span {self.start}:{self.end} is empty or negative; write START:END with START < END")

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start}:{self.end}"

    def __contains__(self, block: int) -> bool:
        return self.start <= block < self.end

    def covers(self, other: Span) -> bool:
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end

    @classmethod
    def parse(cls, text: str) -> Span:
        """The span written `START:END`. Raises ValueError, with what to write instead."""
        match = _SPAN_TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no span of blocks; write START:END, for example 0:15")
        return cls(int(match[1]), int(match[2]))


class Precision(StrEnum):
    """How a span's weights are held. `AUTO` is a request, never a declaration."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"
    """LLM.int8 mixed decomposition (bitsandbytes)."""
    INT8_CPU = "int8-cpu"
    """Weight-only int8 with bf16 activations, for CPUs."""
    NF4 = "nf4"
    """4-bit NormalFloat (bitsandbytes)."""


class Codec(IntEnum):
    """How a tensor's values are written on the wire. Numbers are those of the protobuf enum."""

    RAW = 1
    BLOCK8 = 2
    """Dynamic blockwise 8-bit: blocks of 64 values, one fp16 scale each."""


class WireDType(IntEnum):
    """Element type of a tensor on the wire, before its codec. Numbers are those of the protobuf enum."""

    FP32 = 1
    FP16 = 2
    BF16 = 3


class StepKind(IntEnum):
    """What a step computes. Forward and backward of training have numbers of their own, so that receipts can tell."""

    PREFILL = 1
    DECODE = 2
    FORWARD = 3
    BACKWARD = 4


@dataclass(frozen=True, slots=True)
class Row:
    """`n_tokens` consecutive tokens of one lane of a session, the first at `position`.

    A lane is one sequence: a batch of prompts or a beam has a lane each. `position` below the lane's length rolls the
    lane back to it first; `n_tokens == 0` does only that. A position above the length is refused.
    """

    lane: int
    position: int
    n_tokens: int


@dataclass(frozen=True, slots=True)
class StepHeader:
    """What one step does, apart from its tensor of packed tokens `[sum of n_tokens, width]`.

    Args:
        seq: number of the step in its session: 0, 1, 2 ...
        fork: if not empty, applied before the rows: the new lane `i` continues what was lane `fork[i]`; `len(fork)` is
            the new number of lanes. The same source may be named more than once (beams, several samples of a prompt).
        rows: at most one per lane, in rising order of lanes.
    """

    seq: int
    rows: tuple[Row, ...]
    fork: tuple[int, ...] = ()

    @property
    def n_tokens(self) -> int:
        return sum(row.n_tokens for row in self.rows)

    @property
    def position(self) -> int:
        """Position of the first token of the first row: the one that a receipt names."""
        return self.rows[0].position if self.rows else 0

    @property
    def kind(self) -> StepKind:
        return StepKind.DECODE if all(row.n_tokens <= 1 for row in self.rows) else StepKind.PREFILL
