"""What happened in a block, typed where it is the pallet's, and which of it belongs to one extrinsic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain_client.decoding import decode
from chain_client.errors import DispatchFailed, MalformedAnswer
from chain_client.pallet_errors import PALLET, dispatch_failure
from chain_client.pallet_events import BY_NAME, PeerzEvent

_TOKEN_ERRORS = {
    "FundsUnavailable": "the account has too little free",
    "OnlyProvider": "the account would be left without what keeps it alive",
    "BelowMinimum": "the amount is less than an account must have to exist",
    "Frozen": "the funds are frozen",
    "NotExpendable": "the account would fall below what it must keep",
}
_ARITHMETIC_ERRORS = {
    "Underflow": "the amount is more than there is",
    "Overflow": "the amount is more than fits",
    "DivisionByZero": "a division by zero",
}
_PLAIN_ERRORS = {
    "BadOrigin": "the account has no right to this call",
    "CannotLookup": "there is no such account",
    "ConsumerRemaining": "the account is still in use",
    "NoProviders": "the account does not exist",
    "Exhausted": "the block had no room",
}
_KINDS = {"Token": _TOKEN_ERRORS, "Arithmetic": _ARITHMETIC_ERRORS}


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """An event with its place. `extrinsic` is the position in the block, None when a hook of the runtime did it.

    `data` is a dataclass for events of the pallet, else the fields as the SCALE library decodes them.
    """

    block_number: int
    block_hash: bytes
    position: int
    extrinsic: int | None
    pallet: str
    name: str
    data: PeerzEvent | Mapping[str, Any]


ErrorText = tuple[str, str]
"""The name of a pallet's error and its documentation."""


def read_events(number: int, block_hash: bytes, records: list[Any]) -> tuple[ChainEvent, ...]:
    """The events of a block from what the SCALE library makes of them. Raises MalformedAnswer."""
    return tuple(_event(number, block_hash, position, record) for position, record in enumerate(records))


def _event(number: int, block_hash: bytes, position: int, record: Any) -> ChainEvent:
    try:
        pallet, name, fields = record["module_id"], record["event_id"], record["attributes"]
        extrinsic = record["extrinsic_idx"] if record["phase"] == "ApplyExtrinsic" else None
    except (TypeError, KeyError):
        raise MalformedAnswer("the node's answer is no list of events; is it a Peerz chain?") from None
    data: PeerzEvent | Mapping[str, Any]
    if pallet == PALLET:
        kind = BY_NAME.get(name)
        if kind is None:
            raise MalformedAnswer(f"the chain has an event {name!r} that this version does not know; update peerz-node")
        data = decode(kind, fields)
    elif fields is None or isinstance(fields, Mapping):
        data = fields or {}
    else:
        data = {"0": fields}
    return ChainEvent(number, block_hash, position, extrinsic, pallet, name, data)


def failure_of(events: tuple[ChainEvent, ...], module_error: Any) -> DispatchFailed | None:
    """The error of an extrinsic, from its events; None when it succeeded.

    A call inside `Sudo.sudo` fails although its wrapper succeeds. `module_error(pallet index, error index)` gives the
    names of pallet and error and the documentation.
    """
    for event in events:
        if not isinstance(event.data, Mapping):
            continue
        if (event.pallet, event.name) == ("System", "ExtrinsicFailed"):
            return _failure(event.data.get("dispatch_error"), module_error)
        if (event.pallet, event.name) == ("Sudo", "Sudid"):
            result = event.data.get("sudo_result")
            if isinstance(result, Mapping) and "Err" in result:
                return _failure(result["Err"], module_error)
    return None


def _failure(error: Any, module_error: Any) -> DispatchFailed:
    if isinstance(error, str):
        return dispatch_failure("", error, _PLAIN_ERRORS.get(error, ""))
    if isinstance(error, Mapping) and len(error) == 1:
        [(kind, detail)] = error.items()
        if kind in _KINDS:
            return dispatch_failure(kind, str(detail), _KINDS[kind].get(str(detail), ""))
        if kind == "Module" and isinstance(detail, Mapping):
            pallet, name, docs = module_error(detail.get("index"), _error_index(detail.get("error")))
            return dispatch_failure(pallet, name, docs)
        return dispatch_failure("", f"{kind} {detail}"[:100], "")
    raise MalformedAnswer("the node's answer is no dispatch error; is it a Peerz chain?")


def _error_index(raw: Any) -> int:
    """The error's index: a number, or the first of four bytes."""
    if isinstance(raw, int):
        return raw
    return decode(bytes, raw)[0]


def fee_paid(events: tuple[ChainEvent, ...]) -> int:
    """What an extrinsic cost, from its events; 0 when it was free."""
    for event in events:
        if (event.pallet, event.name) == ("TransactionPayment", "TransactionFeePaid"):
            assert isinstance(event.data, Mapping)
            return decode(int, event.data.get("actual_fee"))
    return 0
