"""JSON-RPC messages, parameters, rate and origins: no chain, no socket."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_client.devchain.rpc import protocol
from chain_client.devchain.rpc.errors import RpcError
from chain_client.devchain.rpc.limits import TokenBucket
from chain_client.devchain.rpc.origins import is_local_origin, is_loopback, is_loopback_authority
from chain_client.devchain.rpc.params import Params
from chain_client.devchain.rpc.pool_methods import account_of

BATCH_MAX = 5
CALL = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": []}


def refusal(action: Callable[[], object]) -> RpcError | None:
    """The error that `action` raises, None when it raises none."""
    try:
        action()
    except RpcError as error:
        return error
    return None


def parsed(content: object) -> protocol.Message:
    return protocol.parse(json.dumps(content).encode(), BATCH_MAX)


def only(content: object) -> protocol.Call | protocol.BadCall:
    (call,) = parsed(content).calls
    return call


def test_a_call_is_read() -> None:
    call = only({**CALL, "id": "a", "params": [1, None]})
    assert isinstance(call, protocol.Call)
    assert (call.id, call.method, call.is_notification) == ("a", "m", False)
    assert [call.params.get(index) for index in range(3)] == [1, None, None]


def test_a_call_without_an_id_wants_no_answer() -> None:
    without = {name: value for name, value in CALL.items() if name != "id"}
    call = only(without)
    assert isinstance(call, protocol.Call)
    assert call.is_notification


def test_an_id_of_null_wants_an_answer() -> None:
    call = only({**CALL, "id": None})
    assert isinstance(call, protocol.Call)
    assert not call.is_notification


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1", b"\xff", b"nul", b"NaN", b"[" * 100_000, b'{"id":"\\ud800"}', "\ud800"]
)
def test_what_is_no_json_is_a_parse_error(data: bytes | str) -> None:
    with pytest.raises(RpcError) as caught:
        protocol.parse(data, BATCH_MAX)
    assert caught.value.code == -32700


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (1, -32600),
        ("m", -32600),
        (None, -32600),
        ({}, -32600),
        ({**CALL, "jsonrpc": "1.0"}, -32600),
        ({**CALL, "jsonrpc": None}, -32600),
        ({**CALL, "method": 1}, -32600),
        ({**CALL, "id": True}, -32600),
        ({**CALL, "id": [1]}, -32600),
        ({**CALL, "id": {}}, -32600),
        ({**CALL, "params": {"key": 1}}, -32602),
        ({**CALL, "params": "x"}, -32602),
    ],
)
def test_a_bad_call_is_an_error_of_its_own(content: object, code: int) -> None:
    call = only(content)
    assert isinstance(call, protocol.BadCall)
    assert call.error.code == code


def test_a_batch_keeps_its_order_and_its_bad_members() -> None:
    message = parsed([CALL, 1, {**CALL, "id": 2}])
    assert message.is_batch
    assert [call.id for call in message.calls] == [1, None, 2]


@pytest.mark.parametrize(("length", "code"), [(0, -32600), (BATCH_MAX + 1, -32010)])
def test_a_batch_has_a_length(length: int, code: int) -> None:
    with pytest.raises(RpcError) as caught:
        parsed([CALL] * length)
    assert caught.value.code == code


def test_a_result_that_is_too_long_becomes_an_error() -> None:
    assert json.loads(protocol.success(1, "x" * 10, 100))["result"] == "x" * 10
    assert json.loads(protocol.success(1, "x" * 100, 100))["error"]["code"] == -32008
    assert json.loads(protocol.batch([b"1" * 60, b"2" * 60], 100))["error"]["code"] == -32011


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    error = refusal(lambda: protocol.parse(data, BATCH_MAX))
    assert error is None or error.code in (-32700, -32600, -32010)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(_JSON, st.integers(0, 2))
def test_parameters_of_any_form_are_read_or_refused(value: object, index: int) -> None:
    params = Params([value])
    readers = (
        params.data,
        params.data_or_none,
        params.hash,
        params.hash_or_none,
        params.text,
        params.boolean,
        lambda at: params.integer(at, 10),
        lambda at: params.keys(at, 3),
    )
    for read in readers:
        error = refusal(lambda read=read: read(index))
        if error is not None:
            assert error.code == -32602
            assert error.data is not None
            assert error.data.startswith(f"parameter {index + 1}: ")


@pytest.mark.parametrize("text", ["", "0x0", "0xgg", "00", "0x 00", "0x0\n0", "0x\u0661\u0661", 5, None, []])
def test_what_is_no_hexadecimal_is_refused(text: object) -> None:
    with pytest.raises(RpcError) as caught:
        Params([text]).data(0)
    assert caught.value.code == -32602


def test_a_bucket_allows_a_burst_and_then_a_rate() -> None:
    now = 0.0
    bucket = TokenBucket(2.0, 3, lambda: now)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now = 1e6
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("origin", "local"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:80", True),
        ("http://127.1.2.3", True),
        ("http://localhost.example.org", False),
        ("https://example.org", False),
        ("http://192.0.2.1", False),
        ("http://127.0.0.1@example.org", False),
        ("null", False),
        ("file://localhost", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_only_pages_of_this_machine_are_local(origin: str, local: bool) -> None:
    assert is_local_origin(origin) is local


def test_hosts_of_this_machine() -> None:
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert is_loopback_authority("localhost:9944")
    assert is_loopback_authority("[::1]:9944")
    assert not is_loopback_authority("rebound.example.org:9944")
    assert not is_loopback_authority("")
    assert not is_loopback_authority("[")


ALICE_BYTES = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")


@pytest.mark.parametrize(
    "text",
    [
        "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
        "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5",
        f"0x{ALICE_BYTES.hex()}",
    ],
)
def test_an_account_is_read_from_an_address_of_any_network(text: str) -> None:
    assert account_of(text) == ALICE_BYTES


def test_a_network_number_may_take_two_bytes() -> None:
    from substrateinterface.utils.ss58 import ss58_encode  # type: ignore[import-untyped]

    assert account_of(ss58_encode(ALICE_BYTES, 7391)) == ALICE_BYTES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ",
        "0OIl",
        "0x00",
        "0xzz",
        "1" * 10_000,
        "F7Hs",
    ],
)
def test_other_texts_are_no_account(text: str) -> None:
    with pytest.raises(ValueError):
        account_of(text)
