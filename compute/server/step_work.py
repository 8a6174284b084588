"""One step of an open session, from the client's bytes to the bytes of the signed answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from compute.server.shared import SharedState
from compute.wire.codecs import EncodedTensor, decode, encode, tensor_hash
from compute.wire.messages import SessionOpen, StepMessage, StepOutput, build_server_message
from compute.wire.receipts import ReceiptIssuer


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that the engine holds for a stream. `nonce` is this provider's part of the id in receipts."""

    request: SessionOpen
    nonce: bytes
    receipts: ReceiptIssuer


async def answer_step(shared: SharedState, session: OpenSession, step: StepMessage) -> bytes:
    """The finished answer: decoded, computed, encoded, hashed, signed. Raises what the engine and the codecs raise."""
    request = session.request
    hidden, in_hash = await shared.offloaded(len(step.hidden.data), partial(_decoded, step.hidden))
    result = await shared.engine.step(request.session_id, step.header, hidden)
    encoded, out_hash = await shared.offloaded(result.hidden.nbytes, partial(_encoded, result.hidden, request))
    output = StepOutput(
        seq=step.header.seq,
        hidden=encoded,
        receipt=session.receipts.issue(step.header, in_hash, out_hash),
        compute_us=round(result.compute_s * 1e6),
        queue_us=round(result.queue_s * 1e6),
    )
    return await shared.offloaded(len(encoded.data), partial(build_server_message, output))


def _decoded(hidden: EncodedTensor) -> tuple[torch.Tensor, bytes]:
    return decode(hidden), tensor_hash(hidden)


def _encoded(hidden: torch.Tensor, request: SessionOpen) -> tuple[EncodedTensor, bytes]:
    encoded = encode(hidden, request.codec, request.dtype)
    return encoded, tensor_hash(encoded)
