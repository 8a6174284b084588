"""Values as the SCALE library gives and takes them, into the dataclasses of `types` and back. Pure and strict.

A type is a plain one, an enum of names, a dataclass, an optional or a tuple of those. Whatever does not fit raises
MalformedAnswer (from a node) or BadArgument (from a caller).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from chain_client.account import ACCOUNT_BYTES, account_of
from chain_client.errors import BadArgument, MalformedAnswer
from chain_client.types import AccountId, Step, StepKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounded:
    """A bounded vector as an argument of a call: the library takes it as a structure around its items."""

    items: tuple[Any, ...]


def decode(kind: type[T], raw: Any) -> T:
    """`raw` as a `kind`. Raises MalformedAnswer."""
    value: T = _decode(kind, raw)
    return value


def encode(value: Any) -> Any:
    """An argument as the library takes it. Raises BadArgument."""
    if isinstance(value, bool | int | str | NoneType):
        return value
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Bounded):
        return [[encode(item) for item in value.items]]
    if isinstance(value, tuple):
        return tuple(encode(item) for item in value)
    if is_dataclass(value):
        return {field.name: _encode_field(getattr(value, field.name)) for field in fields(value)}
    raise BadArgument(f"a {type(value).__name__} is no argument of a call")


def _encode_field(value: Any) -> Any:
    """Repeated fields of the pallet's structures are bounded vectors, all of them."""
    return encode(Bounded(value) if isinstance(value, tuple) else value)


def _decode(kind: Any, raw: Any) -> Any:
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain(raw)
    if get_origin(kind) is UnionType:
        inner = next(option for option in get_args(kind) if option is not NoneType)
        return None if raw is None else _decode(inner, raw)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), raw)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind, raw)
    return _record(kind, raw)


def _tuple(kinds: tuple[Any, ...], raw: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list | tuple):
        raise _wrong("a list", raw)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_decode(kinds[0], item) for item in raw)
    if len(raw) != len(kinds):
        raise _wrong(f"{len(kinds)} values", raw)
    return tuple(_decode(kind, item) for kind, item in zip(kinds, raw, strict=True))


def _enum(kind: type[Enum], raw: Any) -> Enum:
    try:
        return kind(raw)
    except ValueError:
        raise _wrong(f"a {kind.__name__}", raw) from None


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _record(kind: Any, raw: Any) -> Any:
    hints = _hints(kind)
    if raw is None and not hints:
        return kind()
    # A field whose name Python reserves has an underscore behind it.
    if not isinstance(raw, Mapping) or raw.keys() != {name.rstrip("_") for name in hints}:
        raise _wrong(f"a {kind.__name__}", raw)
    return kind(**{name: _decode(hint, raw[name.rstrip("_")]) for name, hint in hints.items()})


def _integer(raw: Any) -> int:
    if type(raw) is not int or raw < 0:
        raise _wrong("a whole number", raw)
    return raw


def _boolean(raw: Any) -> bool:
    if type(raw) is not bool:
        raise _wrong("true or false", raw)
    return raw


def _text(raw: Any) -> str:
    if type(raw) is not str:
        raise _wrong("a text", raw)
    return raw


def _bytes(raw: Any) -> bytes:
    if not isinstance(raw, str) or not raw.startswith("0x"):
        raise _wrong("hex digits", raw)
    try:
        return bytes.fromhex(raw[2:])
    except ValueError:
        raise _wrong("hex digits", raw) from None


def _account(raw: Any) -> AccountId:
    if isinstance(raw, str) and raw.startswith("0x"):
        account = _bytes(raw)
        if len(account) != ACCOUNT_BYTES:
            raise _wrong("an account", raw)
        return AccountId(account)
    try:
        return account_of(_text(raw))
    except BadArgument:
        raise _wrong("an account", raw) from None


def _step(raw: Any) -> Step:
    if isinstance(raw, Mapping) and len(raw) == 1:
        [(name, page)] = raw.items()
        return Step(_decode(StepKind, name), _integer(page))
    return Step(_decode(StepKind, raw))


_PLAIN: dict[Any, Callable[[Any], Any]] = {
    int: _integer,
    bool: _boolean,
    str: _text,
    bytes: _bytes,
    AccountId: _account,
    Step: _step,
}


def _wrong(expected: str, raw: Any) -> MalformedAnswer:
    return MalformedAnswer(f"the node answered {str(raw)[:80]!r} where {expected} belongs; is it another chain?")
