"""The executor over small hand-written runtimes: what crosses the border, every way in which a call goes wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import sr25519  # type: ignore[import-untyped]
import wasmtime
import zstandard
from eth_keys.datatypes import PrivateKey
from nacl.signing import SigningKey

from chain_client.devchain import hashing
from chain_client.devchain.code import WASM_BYTES_MAX, unpacked
from chain_client.devchain.errors import (
    BadRuntime,
    HostCallError,
    RuntimeExhausted,
    RuntimeFailure,
    RuntimeTrapped,
    UnknownRuntimeCall,
)
from chain_client.devchain.executor import Executor, Limits
from chain_client.devchain.overlay import Overlay
from chain_client.devchain.scale import byte_vector
from chain_client.devchain.shim import HOST_FUNCTIONS
from chain_client.devchain.trie import Trie, ordered_root

_LETTERS = {"i": "i32", "l": "i64"}
Call = Callable[..., bytes]


def _imports() -> str:
    """Every host function, under its name without prefix."""
    lines = []
    for function in HOST_FUNCTIONS:
        params = " ".join(_LETTERS[letter] for letter in function.params)
        results = f"(result {_LETTERS[function.results]})" if function.results else ""
        lines.append(
            f'(import "env" "{function.name}" (func ${function.name.removeprefix("ext_")} (param {params}) {results}))'
        )
    return "\n".join(lines)


def _wasm(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def _runtime(body: str) -> bytes:
    return _wasm(
        f"""(module {_imports()}
          (import "env" "ext_allocator_malloc_version_1" (func $malloc (param i32) (result i32)))
          (import "env" "ext_allocator_free_version_1" (func $free (param i32)))
          (import "env" "memory" (memory 1))
          (global (export "__heap_base") i32 (i32.const 4096))
          (func $span (param $ptr i32) (param $len i32) (result i64)
            (i64.or (i64.shl (i64.extend_i32_u (local.get $len)) (i64.const 32)) (i64.extend_i32_u (local.get $ptr))))
          (func $a (param i32) (result i64)
            (call $span (i32.add (local.get 0) (i32.const 2)) (i32.load8_u (local.get 0))))
          (func $b (param i32) (result i64)
            (call $span (i32.add (i32.add (local.get 0) (i32.const 2)) (i32.load8_u (local.get 0)))
                        (i32.load8_u offset=1 (local.get 0))))
          {body})"""
    )


def _entry(name: str, body: str) -> str:
    """An entry point; `$a` and `$b` are the two arguments of `_two`."""
    return f'(func (export "{name}") (param $ptr i32) (param $len i32) (result i64) {body})'


_A, _B = "(call $a (local.get $ptr))", "(call $b (local.get $ptr))"
_NOTHING = "(i64.const 0)"


def _two(first: bytes = b"", second: bytes = b"") -> bytes:
    return bytes([len(first), len(second)]) + first + second


def _fixed(name: str, size: int) -> str:
    return _entry(name, f"(call $span (call ${name} {_A}) (i32.const {size}))")


_ALL = _runtime(
    _entry("echo", "(call $span (local.get $ptr) (local.get $len))")
    + _entry("get", f"(call $storage_get_version_1 {_A})")
    + _entry("set", f"(call $storage_set_version_1 {_A} {_B}) {_NOTHING}")
    + _entry("append", f"(call $storage_append_version_1 {_A} {_B}) {_NOTHING}")
    + _entry("clear", f"(call $storage_clear_version_1 {_A}) {_NOTHING}")
    + _entry("clear_prefix", f"(call $storage_clear_prefix_version_2 {_A} {_B})")
    + _entry("next", f"(call $storage_next_key_version_1 {_A})")
    + _entry("root", "(call $storage_root_version_2 (i32.const 1))")
    + _entry("root_v0", "(call $storage_root_version_2 (i32.const 0))")
    + _entry("exists", f"(call $span (i32.const 0) (call $storage_exists_version_1 {_A}))")
    + _entry(
        "read",
        f"(drop (call $storage_read_version_1 {_A} (call $span (i32.const 64) (i32.const 4)) (i32.const 2)))"
        "(call $span (i32.const 64) (i32.const 4))",
    )
    + _entry(
        "list_root", f"(call $span (call $trie_blake2_256_ordered_root_version_2 {_A} (i32.const 1)) (i32.const 32))"
    )
    + _fixed("hashing_blake2_128_version_1", 16)
    + _fixed("hashing_blake2_256_version_1", 32)
    + _fixed("hashing_keccak_256_version_1", 32)
    + _fixed("hashing_twox_64_version_1", 8)
    + _fixed("hashing_twox_128_version_1", 16)
    + _entry("start_only", f"(call $storage_start_transaction_version_1) {_NOTHING}")
    + _entry("rollback_only", f"(call $storage_rollback_transaction_version_1) {_NOTHING}")
    + _entry("commit_only", f"(call $storage_commit_transaction_version_1) {_NOTHING}")
    + _entry(
        "nested",
        f"(call $storage_set_version_1 {_A} {_A}) (call $storage_start_transaction_version_1)"
        f"(call $storage_set_version_1 {_A} {_B}) (call $storage_rollback_transaction_version_1) {_NOTHING}",
    )
    + _entry(
        "set_then_panic",
        f"(call $storage_start_transaction_version_1) (call $storage_set_version_1 {_A} {_B})"
        f"(call $logging_log_version_1 (i32.const 0) {_A} {_B}) unreachable",
    )
    + _entry("forever", "(loop $l (br $l)) unreachable")
    + _entry("ask_forever", f"(loop $l (drop (call $storage_exists_version_1 {_A})) (br $l)) unreachable")
    + _entry("deep", "(call $deep)")
    + "(func $deep (result i64) (i64.add (call $deep) (i64.const 1)))"
    + _entry("eat", "(loop $l (drop (call $malloc (i32.const 1000000))) (br $l)) unreachable")
    + _entry("eat_at_once", f"(drop (call $malloc (i32.const 33554433))) {_NOTHING}")
    + _entry("wild_read", "(call $storage_get_version_1 (call $span (i32.const -16) (i32.const 32)))")
    + _entry("wild_write", "(drop (call $storage_read_version_1 (call $span (i32.const 0) (i32.const 0))"
             f" (call $span (i32.const -2) (i32.const 9)) (i32.const 0))) {_NOTHING}")
    + _entry("wild_result", "(call $span (i32.const -16) (i32.const 16))")
    + _entry("long_result", "(i64.const -1)")
    + _entry("bad_free", f"(call $free (i32.const 12)) {_NOTHING}")
    + _entry("double_free", f"(call $free (local.get $ptr)) (call $free (local.get $ptr)) {_NOTHING}")
    + _entry("long_key", "(call $storage_get_version_1 (call $span (i32.const 0) (i32.const 400)))")
    + _entry("keys", f"(drop (call $crypto_sr25519_generate_version_1 (i32.const 0) {_A})) {_NOTHING}")
    + _entry("hello", f"(call $logging_log_version_1 (i32.const 1) {_A} {_B}) {_NOTHING}")
    + _entry("version_of", "(call $misc_runtime_version_version_1 (call $span (local.get $ptr) (local.get $len)))")
    + _entry("verify_sr", "(call $span (i32.const 0) (call $crypto_sr25519_verify_version_2 (local.get $ptr)"
             " (call $span (i32.add (local.get $ptr) (i32.const 96)) (i32.const 8))"
             " (i32.add (local.get $ptr) (i32.const 64))))")
    + _entry("verify_ed", "(call $span (i32.const 0) (call $crypto_ed25519_verify_version_1 (local.get $ptr)"
             " (call $span (i32.add (local.get $ptr) (i32.const 96)) (i32.const 8))"
             " (i32.add (local.get $ptr) (i32.const 64))))")
    + _entry("recover", "(call $crypto_secp256k1_ecdsa_recover_compressed_version_2 (local.get $ptr)"
             " (i32.add (local.get $ptr) (i32.const 65)))")
)  # fmt: skip
_LIMITS = Limits(fuel=20_000_000, host_work=8 << 20, extra_pages=64)


@pytest.fixture(scope="module")
def executor() -> Executor:
    return Executor(_ALL, limits=_LIMITS)


@pytest.fixture
def overlay() -> Overlay:
    return Overlay(Trie.of({b"key": b"value", b"kez": b"other", b"long": b"x" * 200, b"list": b"\x04a"}))


@pytest.fixture
def call(executor: Executor, overlay: Overlay) -> Call:
    return lambda method, first=b"", second=b"": executor.call(method, _two(first, second), overlay)


def test_data_goes_in_and_comes_out(executor: Executor, overlay: Overlay) -> None:
    for data in (b"", b"x", bytes(range(256)) * 4000):
        assert executor.call("echo", data, overlay) == data


def test_storage_is_that_of_the_overlay(call: Call, overlay: Overlay) -> None:
    assert call("get", b"key") == b"\1" + byte_vector(b"value")
    assert call("get", b"long") == b"\1" + byte_vector(b"x" * 200)
    assert call("get", b"none") == b"\0"
    assert (call("exists", b"key"), call("exists", b"none")) == (b"\0", b"")
    call("set", b"key", b"new")
    call("clear", b"kez")
    call("append", b"list", b"b")
    assert overlay.changes == {b"key": b"new", b"kez": None, b"list": b"\x08ab"}
    assert call("next", b"key") == b"\1" + byte_vector(b"list")
    assert call("next", b"long") == b"\0"
    assert call("read", b"long") == b"xxxx"
    assert call("root") == overlay.applied().root()


def test_clear_prefix_counts_keys_of_the_base(call: Call, overlay: Overlay) -> None:
    overlay.set(b"kea", b"1")
    assert call("clear_prefix", b"ke", b"\1\1\0\0\0") == b"\1\1\0\0\0"
    assert call("clear_prefix", b"ke", b"\0") == b"\0\2\0\0\0"
    assert overlay.changes == {b"kea": None, b"key": None, b"kez": None}


def test_nested_transactions(call: Call, overlay: Overlay) -> None:
    call("nested", b"key", b"lost")
    assert overlay.changes == {b"key": b"key"}
    assert overlay.depth == 0


def test_hashes(call: Call) -> None:
    for name, function in (
        ("blake2_128", hashing.blake2_128),
        ("blake2_256", hashing.blake2_256),
        ("keccak_256", hashing.keccak_256),
        ("twox_64", hashing.twox_64),
        ("twox_128", hashing.twox_128),
    ):
        assert call(f"hashing_{name}_version_1", b"peerz") == function(b"peerz")
    assert call("list_root", b"\x08\x04a\x04b") == ordered_root([b"a", b"b"], 1)
    with pytest.raises(HostCallError, match="decode"):
        call("list_root", b"\x08\x04a")


@pytest.mark.parametrize(
    ("method", "error", "text"),
    [
        ("set_then_panic", RuntimeTrapped, "why"),
        ("forever", RuntimeExhausted, "instructions"),
        ("ask_forever", RuntimeExhausted, "work"),
        ("deep", RuntimeExhausted, "stack"),
        ("eat", RuntimeExhausted, "memory"),
        ("eat_at_once", RuntimeExhausted, "memory"),
        ("wild_read", HostCallError, "outside"),
        ("wild_result", HostCallError, "outside"),
        ("long_result", HostCallError, "bytes"),
        ("bad_free", HostCallError, "heap"),
        ("double_free", HostCallError, "heap"),
        ("long_key", HostCallError, "384"),
        ("keys", HostCallError, "no keys"),
        ("start_only", HostCallError, "left"),
        ("rollback_only", HostCallError, "not opened"),
        ("commit_only", HostCallError, "not opened"),
        ("root_v0", HostCallError, "version 0"),
        ("no_such_call", UnknownRuntimeCall, "no_such_call"),
        ("__heap_base", UnknownRuntimeCall, "__heap_base"),
        ("memory", UnknownRuntimeCall, "memory"),
    ],
)
def test_a_failed_call_is_a_typed_error_and_leaves_no_trace(
    call: Call, overlay: Overlay, method: str, error: type[RuntimeFailure], text: str
) -> None:
    overlay.set(b"mine", b"1")
    overlay.start()
    with pytest.raises(error, match=text):
        call(method, b"key", b"why")
    assert overlay.changes == {b"mine": b"1"}
    assert overlay.depth == 1
    # The executor is as good as new.
    assert call("get", b"key") == b"\1" + byte_vector(b"value")


def test_a_wild_write_is_refused(executor: Executor) -> None:
    overlay = Overlay(Trie.of({b"": b"x" * 20}))
    with pytest.raises(HostCallError, match="outside"):
        executor.call("wild_write", b"", overlay)


def test_time_is_bounded_too() -> None:
    ticks = iter(range(10**9))
    executor = Executor(_ALL, limits=Limits(seconds=100.0), clock=lambda: float(next(ticks)))
    with pytest.raises(RuntimeExhausted, match="longer"):
        executor.call("ask_forever", _two(b"key"), Overlay(Trie()))


def test_logs_are_bounded_and_harmless(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    call("hello", b"target", b"one\n\x1b[2Jtwo\xff")
    assert caplog.messages == ["target: one  [2Jtwo\N{REPLACEMENT CHARACTER}"]


def test_signatures(executor: Executor, overlay: Overlay) -> None:
    """Data: signature (64 bytes), public key (32), message (8)."""

    def true(method: str, data: bytes) -> bool:
        return executor.call(method, data, overlay) == b"\0"

    sr_pair = sr25519.pair_from_seed(b"1" * 32)
    ed_key = SigningKey(b"2" * 32)
    sr = sr25519.sign(sr_pair, b"message!")
    ed = ed_key.sign(b"message!").signature
    assert true("verify_sr", sr + sr_pair[0] + b"message!")
    assert true("verify_ed", ed + bytes(ed_key.verify_key) + b"message!")
    assert not true("verify_sr", sr + sr_pair[0] + b"massage!")
    assert not true("verify_ed", ed + bytes(ed_key.verify_key) + b"massage!")
    for filler in (b"\0", b"\xff", b"\x01"):
        assert not true("verify_sr", filler * 104)
    for filler in (b"\xff", b"\x01"):
        assert not true("verify_ed", filler * 104)


def test_recovering_a_public_key(executor: Executor, overlay: Overlay) -> None:
    key = PrivateKey(b"3" * 32)
    signature = key.sign_msg_hash(b"4" * 32).to_bytes()
    for offset in (0, 27):
        data = signature[:64] + bytes([signature[64] + offset]) + b"4" * 32
        assert executor.call("recover", data, overlay) == b"\0" + key.public_key.to_compressed_bytes()
    assert executor.call("recover", bytes(97), overlay)[:1] == b"\1"
    assert executor.call("recover", b"\xff" * 97, overlay) == b"\1\1"
    assert executor.call("recover", b"\xff" * 64 + bytes(33), overlay) == b"\1\0"


def test_the_version_of_another_runtime(executor: Executor, overlay: Overlay) -> None:
    other = _runtime(_entry("Core_version", "(call $span (i32.const 8) (i32.const 3))") + '(data (i32.const 8) "abc")')
    assert executor.call("version_of", other, overlay) == b"\1" + byte_vector(b"abc")
    assert executor.call("version_of", b"\0asm rubbish", overlay) == b"\0"
    assert executor.call("version_of", _ALL, overlay) == b"\0"


def test_code_may_be_compressed() -> None:
    prefix = bytes.fromhex("52bc537646db8e05")
    assert unpacked(prefix + zstandard.compress(_ALL)) == unpacked(_ALL) == _ALL
    bomb = prefix + zstandard.compress(b"\0asm" + bytes(WASM_BYTES_MAX))
    for code, text in ((prefix + b"rubbish", "damaged"), (bomb, "longer"), (b"MZ", "no WebAssembly"), (b"", "no Web")):
        with pytest.raises(BadRuntime, match=text):
            unpacked(code)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ('(module (import "env" "memory" (memory 1)) (import "env" "ext_x" (func)))', "ext_x"),
        ('(module (import "wasi" "f" (func)))', "wasi.f"),
        ("(module)", "memory"),
        ('(module (import "env" "memory" (memory 1)))', "heap"),
        ('(module (import "env" "memory" (memory 1)) (global (export "__heap_base") i64 (i64.const 0)))', "heap"),
    ],
)
def test_what_is_no_runtime_is_refused(module: str, text: str) -> None:
    with pytest.raises(BadRuntime, match=text):
        Executor(_wasm(module))
    with pytest.raises(BadRuntime, match="compile"):
        Executor(b"\0asm\1\0\0\0rubbish")


def test_a_runtime_that_asks_for_more_memory_than_there_is_is_refused() -> None:
    module = '(module (import "env" "memory" (memory 65000)) (global (export "__heap_base") i32 (i32.const 0)))'
    with pytest.raises(BadRuntime, match="65000 pages"):
        Executor(_wasm(module))


@pytest.mark.parametrize("own", ["(memory 40000)", "(table 50000000 funcref)", "(table 1 funcref) (table 1 funcref)"])
def test_a_runtime_has_no_memory_beyond_what_is_counted(own: str) -> None:
    executor = Executor(
        _wasm(
            f'(module (import "env" "memory" (memory 1)) {own} (global (export "__heap_base") i32 (i32.const 0))'
            '(func (export "Core_version") (param i32 i32) (result i64) (i64.const 0)))'
        )
    )
    with pytest.raises(BadRuntime, match="could not be started"):
        executor.call("Core_version", b"", Overlay(Trie()))


def test_a_table_does_not_grow_beyond_its_bound() -> None:
    executor = Executor(
        _wasm(
            '(module (import "env" "memory" (memory 1)) (table $t 1 funcref)'
            '(global (export "__heap_base") i32 (i32.const 0)) (func (export "grow") (param i32 i32) (result i64)'
            "(if (i32.ne (table.grow $t (ref.null func) (i32.const 90000000)) (i32.const -1)) (then unreachable))"
            "(i64.const 0)))"
        ),
        limits=Limits(fuel=1_000_000_000),
    )
    assert executor.call("grow", b"", Overlay(Trie())) == b""


def test_wrong_signatures_are_refused_at_the_first_call() -> None:
    executor = Executor(
        _wasm(
            '(module (import "env" "memory" (memory 1)) (import "env" "ext_storage_set_version_1" (func (param i32)))'
            '(global (export "__heap_base") i32 (i32.const 0))'
            '(func (export "Core_version") (param i32 i32) (result i64) unreachable))'
        )
    )
    with pytest.raises(BadRuntime, match="could not be started"):
        executor.call("Core_version", b"", Overlay(Trie()))


def test_the_cache_holds_compiled_code_for_the_user_alone(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    Executor(_ALL, cache)
    (file,) = cache.iterdir()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.stat().st_mtime_ns
    assert Executor(_ALL, cache).call("echo", b"x", Overlay(Trie())) == b"x"
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "open to others", "a link"])
def test_a_suspicious_cache_file_is_not_executed(tmp_path: Path, damage: str) -> None:
    Executor(_ALL, tmp_path)
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "flipped":
        file.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "open to others":
        file.chmod(0o666)
    else:
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    before = file.lstat().st_ino
    assert Executor(_ALL, tmp_path).call("echo", b"x", Overlay(Trie())) == b"x"
    assert file.lstat().st_ino != before, "it was compiled anew and replaced"
    assert file.read_bytes()[:32] != b""


def test_a_directory_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    Executor(_ALL, cache)
    assert os.listdir(cache) == []
