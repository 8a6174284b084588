"""Everything that `compute` raises on purpose, sorted by who must act.

    ComputeError
    ├── CallerError            the caller's mistake: change the request
    │   ├── BadRequest            a malformed or out-of-order message            BAD_REQUEST
    │   ├── SessionMismatch       the named field of a SessionOpen differs       BAD_REQUEST
    │   ├── Unauthorised          not on the allow-list                          UNAUTHORISED
    │   ├── KeyFileError          a key file that is damaged, sealed or unreadable
    │   └── ModelError            about files on this machine
    │       ├── UnknownModel         no such name, directory or hub id
    │       ├── UnsupportedModel     a family that the table does not list
    │       └── WeightsCorrupt       missing, truncated or other bytes than the manifest says
    ├── Refused                the peer is well but will not now: wait `retry_after_s`, or go elsewhere
    │   ├── CacheFull                                                            CACHE_FULL
    │   ├── Overloaded                                                           OVERLOADED
    │   ├── Draining              it is leaving: take another route              DRAINING
    │   └── Moved                 it serves another span now                     MOVED
    ├── PeerFault              the peer sent wrong bytes: leave it, keep the evidence
    │   ├── BadMessage            undecodable or oversize
    │   ├── BadReceipt            signature, hash, chain or field does not check
    │   ├── Equivocation          two signed receipts for one (session, seq)
    │   ├── RecordInvalid         a DHT record that is not signed by its subkey, is stale or malformed
    │   └── PeerInternal          it said INTERNAL                               INTERNAL
    ├── LinkLost               nothing came back in time, or the stream broke: nobody's guilt
    ├── NoRoute                no chain of providers covers every block
    └── NodeError              this node cannot serve
        ├── SelfTestFailed        a kernel path gives other results than the eager layer
        ├── PeerUnreachable       none of the initial peers answered
        └── AddressInUse          the port that was asked for is taken

`code` crosses the wire, `exit_code` is what a command ends with, `str()` is one sentence with what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

from compute.types import PeerId, Span


class ErrorCode(IntEnum):
    """Codes of the wire. Numbers are those of the protobuf enum."""

    BAD_REQUEST = 1
    CACHE_FULL = 2
    OVERLOADED = 3
    MOVED = 4
    DRAINING = 5
    UNAUTHORISED = 6
    INTERNAL = 7


class ComputeError(Exception):
    """Root of the tree. `peer` and `span` say where it happened, when that is known."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, peer: PeerId | None = None, span: Span | None = None) -> None:
        super().__init__(message)
        self.peer = peer
        self.span = span


class CallerError(ComputeError):
    code = ErrorCode.BAD_REQUEST
    exit_code = 2


class BadRequest(CallerError):
    """A message that is malformed, out of order, or beyond a limit."""


class SessionMismatch(BadRequest):
    """`field` of a SessionOpen is not what the provider serves."""

    def __init__(self, field: str, offered: str, served: str, *, peer: PeerId | None = None) -> None:
        super().__init__(f"{field} differs: the session asks for {offered}, this provider serves {served}", peer=peer)
        self.field = field


class Unauthorised(CallerError):
    code = ErrorCode.UNAUTHORISED
    exit_code = 7


class KeyFileError(CallerError):
    """A key file that cannot be used; the message says why and what to do."""

    exit_code = 3


class ModelError(CallerError):
    exit_code = 3


class UnknownModel(ModelError):
    pass


class UnsupportedModel(ModelError):
    pass


class WeightsCorrupt(ModelError):
    """`tensor` is what is missing or differs from the manifest ('' when the file as a whole is unreadable)."""

    def __init__(self, message: str, *, tensor: str = "") -> None:
        super().__init__(message)
        self.tensor = tensor


class Refused(ComputeError):
    """The peer will not do it now. `retry_after_s` is its own estimate; 0 when waiting does not help."""

    exit_code = 5

    def __init__(
        self, message: str, *, retry_after_s: float = 0.0, peer: PeerId | None = None, span: Span | None = None
    ) -> None:
        super().__init__(message, peer=peer, span=span)
        self.retry_after_s = retry_after_s


class CacheFull(Refused):
    code = ErrorCode.CACHE_FULL


class Overloaded(Refused):
    code = ErrorCode.OVERLOADED


class Draining(Refused):
    code = ErrorCode.DRAINING


class Moved(Refused):
    """It serves `span` now."""

    code = ErrorCode.MOVED


class PeerFault(ComputeError):
    """Wrong bytes from a peer. `evidence` is what it sent, when that can be kept."""

    exit_code = 6

    def __init__(
        self, message: str, *, evidence: bytes = b"", peer: PeerId | None = None, span: Span | None = None
    ) -> None:
        super().__init__(message, peer=peer, span=span)
        self.evidence = evidence


class BadMessage(PeerFault):
    code = ErrorCode.BAD_REQUEST


class BadReceipt(PeerFault):
    pass


class Equivocation(PeerFault):
    pass


class RecordInvalid(PeerFault):
    pass


class PeerInternal(PeerFault):
    pass


class LinkLost(ComputeError):
    exit_code = 4


class NoRoute(ComputeError):
    """`missing` are the maximal runs of blocks that nobody serves; empty when nobody serves anything reachable."""

    exit_code = 4

    def __init__(self, message: str, *, missing: Sequence[Span] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class NodeError(ComputeError):
    exit_code = 1


class SelfTestFailed(NodeError):
    exit_code = 8


class PeerUnreachable(NodeError):
    exit_code = 4


class AddressInUse(NodeError):
    exit_code = 9
