"""The client's end of the receipts of one hop: recomputes everything that a receipt says. Without I/O."""

from __future__ import annotations

from compute.errors import BadMessage, BadReceipt, Equivocation, PeerFault
from compute.identity import verify
from compute.types import PeerId, StepHeader
from compute.wire.evidence import equivocation_bytes, wrong_receipt_bytes
from compute.wire.receipts import SessionIdentity, StepReceipt, chain_next, chain_start

RECEIPTS_KEPT = 256
"""How many steps back a second, different receipt is still recognised as equivocation."""


class ReceiptChecker:
    """Receipts of one session at one provider, in the order of its steps."""

    def __init__(self, session: SessionIdentity, peer: PeerId | None = None) -> None:
        self._session = session
        self._peer = peer
        self._chain = chain_start(session)
        self._accepted: dict[int, StepReceipt] = {}

    def check(self, receipt: StepReceipt, header: StepHeader, in_hash: bytes, out_hash: bytes) -> None:
        """Accepts the receipt of `header`; the chain moves on.

        Raises Equivocation when it is a second, different, validly signed receipt for a step that has one (its evidence
        holds both); BadReceipt when the signature or any field is not what was sent and received.
        """
        self._check_signature(receipt)
        self._check_equivocation(receipt)
        chain = chain_next(self._chain, in_hash, header)
        expected = StepReceipt(header.seq, header.position, header.n_tokens, header.kind, in_hash, out_hash, chain)
        for field in ("seq", "position", "n_tokens", "kind", "in_hash", "out_hash", "in_chain"):
            if getattr(receipt, field) != getattr(expected, field):
                raise self._bad(f"its {field} is not that of the step", receipt)
        self._chain = chain
        self._accepted[receipt.seq] = receipt
        self._accepted.pop(receipt.seq - RECEIPTS_KEPT, None)

    def fault_of_unasked(self, receipt: StepReceipt) -> PeerFault:
        """What is wrong with an answer that no step waits for, which is never right.

        Equivocation when its receipt contradicts one that was accepted, BadReceipt when it is not signed, else
        BadMessage: the same receipt once more (a stream delivers once, so it was sent twice), one of a step too long
        ago to tell, or of a step that was never sent.
        """
        try:
            self._check_signature(receipt)
            self._check_equivocation(receipt)
        except PeerFault as fault:
            return fault
        what = "was answered before" if receipt.seq in self._accepted else "waits for no answer"
        message = f"the provider does not keep to the protocol: it answered step {receipt.seq}, which {what}"
        return BadMessage(message, peer=self._peer, span=self._session.span)

    def _check_signature(self, receipt: StepReceipt) -> None:
        if not verify(self._session.provider_key, receipt.payload(self._session), receipt.signature):
            raise self._bad("its signature does not check", receipt)

    def _check_equivocation(self, receipt: StepReceipt) -> None:
        earlier = self._accepted.get(receipt.seq)
        session_id = self._session.session_id
        if earlier is not None and receipt.body(session_id) != earlier.body(session_id):
            raise Equivocation(
                f"two different signed receipts for step {receipt.seq}; the provider is left and both are kept",
                evidence=equivocation_bytes(self._session, earlier, receipt),
                peer=self._peer,
                span=self._session.span,
            )

    def _bad(self, why: str, receipt: StepReceipt) -> BadReceipt:
        message = f"the receipt of step {receipt.seq} is wrong: {why}"
        evidence = wrong_receipt_bytes(self._session, receipt)
        return BadReceipt(message, evidence=evidence, peer=self._peer, span=self._session.span)
