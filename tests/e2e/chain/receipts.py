"""Receipts that a provider should never have signed, made by the very code that signs a provider's receipts."""

from __future__ import annotations

from compute.identity import NodeKey
from compute.types import Row as Tokens
from compute.types import SessionId, Span, StepHeader
from compute.wire.receipts import ReceiptIssuer, SessionIdentity, StepReceipt
from tests.e2e.chain.model import COMPUTE
from tests.e2e.chain.story import Story, as_hex


def issue(story: Story, who: str, outputs: tuple[int, ...]) -> tuple[SessionIdentity, list[StepReceipt]]:
    """A session, and a receipt for its first step by the node key of `who` over each of the outputs."""
    node = NodeKey(bytes(story.node_key(who)))
    session = SessionIdentity(
        SessionId(b"one of the many."), node.public_key, story.stock.genesis, bytes([5]) * 32, Span(0, 15)
    )
    step = StepHeader(seq=0, rows=(Tokens(0, 0, 12),))
    return session, [ReceiptIssuer(session, node).issue(step, bytes(32), bytes([out]) * 32) for out in outputs]


def as_argument(receipt: StepReceipt) -> dict[str, object]:
    names = ("seq", "position", "n_tokens", "kind", "in_hash", "out_hash", "in_chain")
    values = {name: getattr(receipt, name) for name in names}
    return {
        "receipt": {name: as_hex(v) if isinstance(v, bytes) else int(v) for name, v in values.items()},
        "signature": as_hex(receipt.signature),
    }


def report(
    story: Story,
    reporter: str,
    accused: str,
    *,
    refused: str | None = None,
    outputs: tuple[int, int] = (1, 2),
    second: StepReceipt | None = None,
) -> None:
    """Shows two receipts of the accused's node key; `second` replaces one of them."""
    session, (one, other) = issue(story, accused, outputs)
    then = None if refused else lambda _: story.model.convicted(story.index[accused, COMPUTE], reporter, story.epoch)
    story.do(
        reporter,
        "report_equivocation",
        node_key=as_hex(session.provider_key),
        session=as_hex(session.session_id),
        first=as_argument(one),
        second=as_argument(second or other),
        refused=refused,
        then=then,
    )
