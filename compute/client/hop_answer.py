"""What a hop answers, checked and counted. Without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from compute.errors import BadMessage
from compute.types import Codec, WireDType
from compute.wire.codecs import EncodedTensor, decode, encode


@dataclass(frozen=True, slots=True)
class HopAnswer:
    """What came back for a step: as it stood on the wire, and decoded, `[tokens, width]`.

    `compute_s` and `queue_s` are the provider's figures, `total_s` is ours.
    """

    hidden: EncodedTensor
    values: torch.Tensor
    compute_s: float
    queue_s: float
    total_s: float


@dataclass(slots=True)
class HopStats:
    """Of one hop since it was opened."""

    steps: int = 0
    total_s: float = 0.0
    compute_s: float = 0.0
    queue_s: float = 0.0

    def note(self, answer: HopAnswer) -> None:
        self.steps += 1
        self.total_s += answer.total_s
        self.compute_s += answer.compute_s
        self.queue_s += answer.queue_s


def checked_values(got: EncodedTensor, sent: EncodedTensor) -> torch.Tensor:
    """The answer, decoded. Raises BadMessage when it is not of the form of what was sent, or not finite."""
    if (got.tokens, got.width, got.codec, got.dtype) != (sent.tokens, sent.width, sent.codec, sent.dtype):
        raise BadMessage("its answer has another shape or format than the step")
    values = decode(got)
    if not torch.isfinite(values).all():
        raise BadMessage("its answer holds NaN or infinite values, which providers refuse to send")
    return values


def joined(answers: Sequence[HopAnswer], codec: Codec, dtype: WireDType) -> HopAnswer:
    """The answers to the parts of one step, as the answer to the whole."""
    values = torch.cat([answer.values for answer in answers])
    return HopAnswer(
        encode(values, codec, dtype),
        values,
        sum(answer.compute_s for answer in answers),
        sum(answer.queue_s for answer in answers),
        sum(answer.total_s for answer in answers),
    )
