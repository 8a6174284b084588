"""One stream to one provider: opened, stepped, watched.

Whoever hangs, or hears us without being heard, is noticed on this very stream, which says more than any ping:

- a step is acknowledged before it is computed: within `ack_timeout_s`, the round trip, and the time to send its bytes;
- from then on the provider says something at least every two of its heartbeats, until the answer is there;
- the end of the stream is the end of the hop, at once. On an idle stream keepalives are answered; a hop that died
  meanwhile is known to be dead before the next step, or by that step's missing acknowledgement.

A heartbeat before the acknowledgement proves nothing (it may have crossed a step that never arrived), so it does not
prolong the wait. A timer that fires late does not blame the peer for our own loop's delay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from compute.client.contracts import HopReport, HopTimes, Transport
from compute.client.failover import cut_rows
from compute.errors import BadMessage, CacheFull, ComputeError, LinkLost, Overloaded, PeerFault
from compute.identity import peer_id_of
from compute.types import Codec, Row, StepHeader, WireDType
from compute.wire.codecs import EncodedTensor, decode, encode, encoded_size, tensor_hash
from compute.wire.frames import frame, read_frame
from compute.wire.limits import DEFAULT_LIMITS
from compute.wire.messages import (
    PROTOCOL_VERSION,
    ClientMessage,
    Heartbeat,
    Keepalive,
    Refusal,
    ServerMessage,
    SessionClose,
    SessionOpen,
    SessionOpened,
    StepAck,
    StepMessage,
    StepOutput,
    build_client_message,
    error_of,
    parse_server_message,
)
from compute.wire.receipts import ReceiptChecker, SessionIdentity

logger = logging.getLogger(__name__)

_ENVELOPE_BYTES = 16 << 10
"""Room for everything in a message that is not its tensor: rows, fork, receipt."""

_HEARTBEAT_MS_MAX = 2000
"""Whatever a provider announces, longer silence is not accepted."""

_MISSED_KEEPALIVES_MAX = 3


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
class _Pending:
    seq: int
    answer: asyncio.Future[StepOutput]
    give_up_at: float
    acked: bool = False


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


class HopConnection:
    """A session on one provider. Steps are sent one after the other; an error other than a refusal for now ends it."""

    def __init__(
        self,
        request: SessionOpen,
        width: int,
        times: HopTimes,
        rtt_s: float,
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.peer = peer_id_of(request.provider_key)
        self.span = request.span
        self.stats = HopStats()
        self.draining = False
        self._request = request
        self._width = width
        self._times = times
        self._rtt_s = rtt_s
        self._reader, self._writer = stream
        identity = SessionIdentity(
            request.session_id, request.provider_key, request.network_id, request.model_root, request.span
        )
        self._receipts = ReceiptChecker(identity, self.peer)
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[SessionOpened] = self._loop.create_future()
        self._tokens_max = 0
        self._heartbeat_s = 0.0
        self._pending: _Pending | None = None
        self._end: ComputeError | None = None
        self._seq = 0
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._reading = asyncio.create_task(self._read(), name=f"hop-reader-{self.peer}")

    @property
    def asked(self) -> tuple[str, str]:
        """The quantisation and numeric profile that the session was opened for."""
        return self._request.quant_spec, self._request.numeric_profile

    # ------------------------------------------------------------------ life

    @classmethod
    async def open(
        cls, transport: Transport, request: SessionOpen, width: int, times: HopTimes, rtt_s: float = 0.0
    ) -> HopConnection:
        """A session as `request` asks for it, for hidden states of `width`.

        Raises LinkLost when there is no answer in time, what the provider refuses it with, or BadMessage.
        """
        peer = peer_id_of(request.provider_key)
        try:
            async with asyncio.timeout(times.open_timeout_s + 2 * rtt_s):
                connection = cls(request, width, times, rtt_s, await transport.dial(peer))
                try:
                    await connection._handshake()
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError as error:
            message = f"{peer} did not open a session within {times.open_timeout_s:g} s"
            raise LinkLost(message, peer=peer, span=request.span) from error
        return connection

    async def _handshake(self) -> None:
        self._send(self._request)
        terms = await self._opened
        if terms.session_id != self._request.session_id or terms.version != PROTOCOL_VERSION:
            raise self._fault("it answered for another session or in another version")
        self._tokens_max = self._tokens_that_fit(terms)
        if not self._tokens_max:
            raise self._fault("it takes no message that would hold a token")
        self._heartbeat_s = min(terms.heartbeat_ms, _HEARTBEAT_MS_MAX) / 1000
        self._arm_idle()

    @property
    def end(self) -> ComputeError | None:
        """Why the hop is over; None while it lives."""
        return self._end

    @property
    def fresh(self) -> bool:
        """Whether it has not taken a step yet: its lanes do not exist."""
        return self._seq == 0

    @property
    def codec(self) -> Codec:
        return self._request.codec

    @property
    def dtype(self) -> WireDType:
        return self._request.dtype

    def report(self) -> HopReport:
        """How its steps went so far."""
        stats = self.stats
        per_step = 1000 / max(1, stats.steps)
        return HopReport(
            peer=self.peer,
            span=self.span,
            steps=stats.steps,
            step_ms=stats.total_s * per_step,
            compute_ms=stats.compute_s * per_step,
            queue_ms=stats.queue_s * per_step,
        )

    def close(self) -> None:
        """Tells the provider and lets go of the stream. Returns at once; idempotent."""
        if self._end is None and not self._writer.is_closing():
            self._send(SessionClose())
        self._fail(LinkLost(f"the session with {self.peer} was closed", peer=self.peer, span=self.span))

    # ------------------------------------------------------------------ steps

    async def step(self, rows: Sequence[Row], fork: Sequence[int], hidden: EncodedTensor) -> HopAnswer:
        """What the hop makes of `hidden`, which is in the hop's own codec and dtype; of any size.

        Raises CacheFull or Overloaded when it would not now: the same step may be sent again while `end` is None.
        Everything else ends the hop: LinkLost, BadReceipt, Equivocation, BadMessage, and what it was refused with.
        """
        if not self._tokens_max or self._pending is not None:
            raise RuntimeError("a step on a hop that is not open, or in the middle of another one")
        parts = cut_rows(rows, self._tokens_max)
        if len(parts) == 1:
            return await self._step(tuple(rows), tuple(fork), hidden)
        values = decode(hidden).split([sum(row.n_tokens for row in part) for part in parts])
        answers: list[HopAnswer] = []
        for index, (part, tokens) in enumerate(zip(parts, values, strict=True)):
            encoded = encode(tokens, self.codec, self.dtype)
            try:
                answers.append(await self._step(part, () if index else tuple(fork), encoded))
            except (CacheFull, Overloaded) as error:
                if index:
                    # Half of the step is in its cache now; only a replay could bring it back to a known state.
                    self._fail(error)
                raise
        return _joined(answers, self.codec, self.dtype)

    async def _step(self, rows: tuple[Row, ...], fork: tuple[int, ...], hidden: EncodedTensor) -> HopAnswer:
        header = StepHeader(self._seq, rows, fork)
        in_hash = tensor_hash(hidden)
        started = self._loop.time()
        try:
            output = await self._exchange(StepMessage(header, hidden))
            values = self._checked_values(output, hidden)
            self._receipts.check(output.receipt, header, in_hash, tensor_hash(output.hidden))
        except PeerFault as error:
            self._fail(error)
            raise
        except asyncio.CancelledError:
            self.close()  # the provider computes on, so nobody knows what its lanes hold
            raise
        self._seq += 1
        total_s = self._loop.time() - started
        answer = HopAnswer(output.hidden, values, output.compute_us / 1e6, output.queue_us / 1e6, total_s)
        self.stats.note(answer)
        return answer

    async def _exchange(self, step: StepMessage) -> StepOutput:
        if self._end is not None:
            raise self._end
        now = self._loop.time()
        pending = _Pending(step.header.seq, self._loop.create_future(), now + self._times.step_timeout_s)
        self._pending = pending
        self._send(step)
        self._arm(self._times.ack_timeout_s + self._rtt_s + len(step.hidden.data) / self._times.upload_bytes_s)
        try:
            return await pending.answer
        finally:
            self._pending = None
            self._arm_idle()

    def _checked_values(self, output: StepOutput, sent: EncodedTensor) -> torch.Tensor:
        """The answer, decoded. Raises BadMessage when it is not of the form of what was sent, or not finite."""
        got = output.hidden
        if (got.tokens, got.width, got.codec, got.dtype) != (sent.tokens, sent.width, sent.codec, sent.dtype):
            raise self._fault("its answer has another shape or format than the step")
        try:
            values = decode(got)
        except BadMessage as error:
            raise self._fault(str(error)) from error
        if not torch.isfinite(values).all():
            raise self._fault("its answer holds NaN or infinite values, which providers refuse to send")
        return values

    def _tokens_that_fit(self, terms: SessionOpened) -> int:
        """Tokens of a step, such that neither its message nor the answer is too large."""
        room = min(terms.message_bytes_max, DEFAULT_LIMITS.message_bytes_max) - _ENVELOPE_BYTES
        return max(0, min(terms.step_tokens_max, room // encoded_size(self.codec, self.dtype, 1, self._width)))

    # ------------------------------------------------------------------ in

    async def _read(self) -> None:
        """Until the hop is over."""
        try:
            while self._end is None:
                body = await read_frame(self._reader, DEFAULT_LIMITS.message_bytes_max + _ENVELOPE_BYTES)
                if body is None:
                    raise LinkLost(f"{self.peer} ended the stream", peer=self.peer, span=self.span)
                self._heard_at = self._loop.time()
                self._take(parse_server_message(body))
        except ComputeError as error:
            error.peer, error.span = self.peer, self.span
            self._fail(error)
        except OSError as error:
            self._fail(LinkLost(f"the stream to {self.peer} broke: {error}", peer=self.peer, span=self.span))
        except Exception:
            logger.exception("reading from %s failed", self.peer)
            self._fail(LinkLost(f"reading from {self.peer} failed", peer=self.peer, span=self.span))

    def _take(self, message: ServerMessage) -> None:
        pending = self._pending
        match message:
            case Heartbeat():
                self.draining = self.draining or message.draining
                if pending is not None and pending.acked:
                    self._arm_silence()
            case SessionOpened() if not self._opened.done():
                self._opened.set_result(message)
            case StepAck(seq) if pending is not None and seq == pending.seq and not pending.acked:
                pending.acked = True
                self._arm_silence()
            case StepOutput() if pending is not None and message.seq == pending.seq and not pending.answer.done():
                pending.answer.set_result(message)
            case Refusal():
                self._take_refusal(message, pending)
            case _:
                raise self._fault(f"it sent {type(message).__name__} where none is expected")

    def _take_refusal(self, refusal: Refusal, pending: _Pending | None) -> None:
        error = error_of(refusal, self.peer)
        if isinstance(error, CacheFull | Overloaded) and pending is not None and not pending.answer.done():
            error.span = self.span
            pending.answer.set_exception(error)
        else:
            self._fail(error)

    def _fault(self, what: str) -> BadMessage:
        return BadMessage(f"{self.peer} does not keep to the protocol: {what}", peer=self.peer, span=self.span)

    # ------------------------------------------------------------------ out, time, end

    def _send(self, message: ClientMessage) -> None:
        """Hands the message to the stream. Whether it arrives, the acknowledgement says: nothing waits here."""
        self._writer.write(frame(build_client_message(message)))

    def _arm(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._end is None:
            until = self._loop.time() + wait_s
            self._deadline = until if self._pending is None else min(until, self._pending.give_up_at)
            self._timer = self._loop.call_at(self._deadline, self._on_time)

    def _arm_silence(self) -> None:
        self._arm(2 * self._heartbeat_s + self._times.slack_s + self._rtt_s)

    def _arm_idle(self) -> None:
        self._arm(self._times.keepalive_s)

    def _on_time(self) -> None:
        now = self._loop.time()
        if now - self._deadline > self._times.slack_s / 4:
            # The loop was held up: what the peer said meanwhile may lie unread.
            self._arm(self._times.slack_s)
        elif self._pending is not None:
            what = "is not heard from in the middle of a step" if self._pending.acked else "does not acknowledge a step"
            self._fail(LinkLost(f"{self.peer} {what}; it is left", peer=self.peer, span=self.span))
        elif now - self._heard_at > _MISSED_KEEPALIVES_MAX * self._times.keepalive_s:
            self._fail(LinkLost(f"{self.peer} answers no keepalives; it is left", peer=self.peer, span=self.span))
        else:
            self._send(Keepalive())
            self._arm_idle()

    def _fail(self, error: ComputeError) -> None:
        """Ends the hop; only the first reason counts."""
        if self._end is not None:
            return
        self._end = error
        if self._timer is not None:
            self._timer.cancel()
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # it may be that nobody waits for it any more
        if self._pending is not None and not self._pending.answer.done():
            self._pending.answer.set_exception(error)
        self._reading.cancel()
        self._writer.close()


def _joined(answers: Sequence[HopAnswer], codec: Codec, dtype: WireDType) -> HopAnswer:
    values = torch.cat([answer.values for answer in answers])
    return HopAnswer(
        encode(values, codec, dtype),
        values,
        sum(answer.compute_s for answer in answers),
        sum(answer.queue_s for answer in answers),
        sum(answer.total_s for answer in answers),
    )
