"""One stream to one provider: opened, stepped, watched.

Silence is judged by `hop_watch.py`. The end of the stream is the end of the hop, at once, whether a step runs or not.

Receipts are checked where messages come in, in the order in which they came: what arrives behind an answer, in the same
packet or much later, cannot slip through between two steps. A lie is told to `on_lie` at once, as the session may not
make another step.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compute.client.contracts import HopReport, HopTimes, Lie, Transport
from compute.client.failover import cut_rows
from compute.client.hop_answer import HopAnswer, HopStats, checked_values, joined
from compute.client.hop_watch import HopWatch, Silence
from compute.client.receipt_check import ReceiptChecker
from compute.errors import (
    BadMessage,
    BadReceipt,
    CacheFull,
    ComputeError,
    Equivocation,
    LinkLost,
    Overloaded,
    PeerFault,
)
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
from compute.wire.receipts import SessionIdentity, receipt_session_id

logger = logging.getLogger(__name__)

_ENVELOPE_BYTES = 16 << 10
"""Room for everything in a message that is not its tensor: rows, fork, receipt."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """The step that waits for its answer."""

    header: StepHeader
    in_hash: bytes
    answer: asyncio.Future[StepOutput]


class HopConnection:
    """A session on one provider. Steps are sent one after the other; an error other than a refusal for now ends it."""

    def __init__(
        self,
        request: SessionOpen,
        width: int,
        times: HopTimes,
        rtt_s: float,
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        on_lie: Callable[[Lie], None] | None = None,
    ) -> None:
        self.peer = peer_id_of(request.provider_key)
        self.span = request.span
        self.stats = HopStats()
        self.draining = False
        self._request = request
        self._width = width
        self._on_lie = on_lie
        self._reader, self._writer = stream
        self._receipts: ReceiptChecker | None = None
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[SessionOpened] = self._loop.create_future()
        self._tokens_max = 0
        self._pending: _Pending | None = None
        self._end: ComputeError | None = None
        self._seq = 0
        self._watch = HopWatch(times, rtt_s, self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._reading = asyncio.create_task(self._read(), name=f"hop-reader-{self.peer}")

    @property
    def asked(self) -> tuple[str, str]:
        """The quantisation and numeric profile that the session was opened for."""
        return self._request.quant_spec, self._request.numeric_profile

    # ------------------------------------------------------------------ life

    @classmethod
    async def open(
        cls,
        transport: Transport,
        request: SessionOpen,
        width: int,
        times: HopTimes,
        rtt_s: float = 0.0,
        on_lie: Callable[[Lie], None] | None = None,
    ) -> HopConnection:
        """A session as `request` asks for it, for hidden states of `width`. `on_lie` is told of a wrong receipt.

        Raises LinkLost when there is no answer in time, what the provider refuses it with, or BadMessage.
        """
        peer = peer_id_of(request.provider_key)
        try:
            async with asyncio.timeout(times.open_timeout_s + 2 * rtt_s):
                connection = cls(request, width, times, rtt_s, await transport.dial(peer), on_lie)
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
        self._watch.opened(self._loop.time(), terms.heartbeat_ms / 1000)
        self._arm()

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
        return joined(answers, self.codec, self.dtype)

    async def _step(self, rows: tuple[Row, ...], fork: tuple[int, ...], hidden: EncodedTensor) -> HopAnswer:
        step = StepMessage(StepHeader(self._seq, rows, fork), hidden)
        started = self._loop.time()
        try:
            output = await self._exchange(step)
        except asyncio.CancelledError:
            self.close()  # the provider computes on, so nobody knows what its lanes hold
            raise
        try:
            values = checked_values(output.hidden, hidden)
        except BadMessage as error:
            fault = self._fault(str(error))
            self._fail(fault)
            raise fault from error
        self._seq += 1
        total_s = self._loop.time() - started
        answer = HopAnswer(output.hidden, values, output.compute_us / 1e6, output.queue_us / 1e6, total_s)
        self.stats.note(answer)
        return answer

    async def _exchange(self, step: StepMessage) -> StepOutput:
        if self._end is not None:
            raise self._end
        pending = _Pending(step.header, tensor_hash(step.hidden), self._loop.create_future())
        self._pending = pending
        self._send(step)
        self._watch.step_sent(self._loop.time(), len(step.hidden.data))
        self._arm()
        try:
            output = await pending.answer
        finally:
            self._pending = None
            self._watch.step_over(self._loop.time())
            self._arm()
        if isinstance(self._end, PeerFault):  # it came right behind the answer, which is then not to be used
            raise self._end
        return output

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
                self._watch.heard(self._loop.time())
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
                self._watch.beat(self._loop.time())
                self._arm()
            case SessionOpened() if not self._opened.done():
                self._receipts = self._checker(message.nonce)
                self._opened.set_result(message)
            case StepAck(seq) if pending is not None and seq == pending.header.seq and self._watch.awaits_ack:
                self._watch.step_acked(self._loop.time())
                self._arm()
            case StepOutput():
                self._take_output(message, pending)
            case Refusal():
                self._take_refusal(message, pending)
            case _:
                raise self._fault(f"it sent {type(message).__name__} where none is expected")

    def _checker(self, nonce: bytes) -> ReceiptChecker:
        request = self._request
        session_id = receipt_session_id(request.session_id, nonce)
        identity = SessionIdentity(
            session_id, request.provider_key, request.network_id, request.model_root, request.span
        )
        return ReceiptChecker(identity, self.peer)

    def _take_output(self, output: StepOutput, pending: _Pending | None) -> None:
        if self._receipts is None:
            raise self._fault("it answered a step of a session that it has not opened")
        if pending is None or pending.answer.done() or output.seq != pending.header.seq:
            raise self._receipts.fault_of_unasked(output.receipt)
        self._receipts.check(output.receipt, pending.header, pending.in_hash, tensor_hash(output.hidden))
        pending.answer.set_result(output)

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

    def _arm(self) -> None:
        """Sets the timer to when the watch wants to be asked."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._end is None and math.isfinite(self._watch.deadline_s):
            self._timer = self._loop.call_at(self._watch.deadline_s, self._on_deadline)

    def _on_deadline(self) -> None:
        silence = self._watch.on_deadline(self._loop.time())
        if silence.is_end:
            self._fail(LinkLost(f"{self.peer} {silence}; it is left", peer=self.peer, span=self.span))
        elif silence is Silence.IDLE:
            self._send(Keepalive())
        self._arm()

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
        if isinstance(error, BadReceipt | Equivocation) and self._on_lie is not None:
            self._on_lie(error)
