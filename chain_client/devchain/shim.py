"""The WebAssembly half of the host: the heap, and wrappers that allocate what host functions give back.

A runtime imports its memory and expects results in memory that the host allocated. Were each allocation a call from
Python into the heap, most of a block's time would go into crossing the border. So the heap is a module of its own that
owns the memory, and a host function that gives something back is wrapped there: the wrapper allocates, Python fills.

Heap: freeing bump allocator, as in Substrate hosts. Sizes are rounded up to a power of two from 8 B to 32 MiB; a block
is preceded by 8 bytes, `1 << 32 | order` while in use and the next free block of its order while free. The heads of the
free lists lie in a second memory that the runtime cannot reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SMALL_RESULT = 128
OUT_OF_MEMORY, BAD_FREE = 0, 1
_ORDERS = 23
_ALLOCATION_MAX = 8 << (_ORDERS - 1)


class Result(Enum):
    """How a host function gives back its result."""

    NOTHING = 0
    I32 = 1
    SPAN = 2
    """`length << 32 | pointer` of freshly allocated bytes."""
    FIXED = 3
    """A pointer to freshly allocated bytes of a fixed length."""


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One import `env.<name>`. `params` has "i" for i32 and "l" for i64; `size` is that of a FIXED result."""

    name: str
    params: str
    result: Result
    size: int = 0

    @property
    def python_params(self) -> str:
        """What the Python side is called with: the parameters, then where the result goes."""
        return self.params + ("i" if self.result in (Result.SPAN, Result.FIXED) else "")

    @property
    def python_results(self) -> str:
        """What the Python side gives back: the length of a span, an i32, or nothing."""
        return "i" if self.result in (Result.I32, Result.SPAN) else ""

    @property
    def results(self) -> str:
        """What the runtime gets."""
        return {Result.NOTHING: "", Result.I32: "i", Result.SPAN: "l", Result.FIXED: "i"}[self.result]


def _f(name: str, params: str, result: Result = Result.NOTHING, size: int = 0) -> HostFunction:
    return HostFunction(f"ext_{name}", params, result, size)


# https://spec.polkadot.network/chap-host-api; signatures as in `sp-io`.
HOST_FUNCTIONS: tuple[HostFunction, ...] = (
    _f("storage_get_version_1", "l", Result.SPAN),
    _f("storage_set_version_1", "ll"),
    _f("storage_read_version_1", "lli", Result.SPAN),
    _f("storage_clear_version_1", "l"),
    _f("storage_exists_version_1", "l", Result.I32),
    _f("storage_clear_prefix_version_2", "ll", Result.SPAN),
    _f("storage_append_version_1", "ll"),
    _f("storage_next_key_version_1", "l", Result.SPAN),
    _f("storage_root_version_2", "i", Result.SPAN),
    _f("storage_start_transaction_version_1", ""),
    _f("storage_commit_transaction_version_1", ""),
    _f("storage_rollback_transaction_version_1", ""),
    _f("trie_blake2_256_ordered_root_version_2", "li", Result.FIXED, 32),
    _f("hashing_blake2_128_version_1", "l", Result.FIXED, 16),
    _f("hashing_blake2_256_version_1", "l", Result.FIXED, 32),
    _f("hashing_keccak_256_version_1", "l", Result.FIXED, 32),
    _f("hashing_twox_64_version_1", "l", Result.FIXED, 8),
    _f("hashing_twox_128_version_1", "l", Result.FIXED, 16),
    _f("crypto_sr25519_verify_version_2", "ili", Result.I32),
    _f("crypto_ed25519_verify_version_1", "ili", Result.I32),
    _f("crypto_secp256k1_ecdsa_recover_compressed_version_2", "ii", Result.SPAN),
    _f("crypto_sr25519_generate_version_1", "il", Result.FIXED, 32),
    _f("crypto_ed25519_generate_version_1", "il", Result.FIXED, 32),
    _f("crypto_sr25519_sign_version_1", "iil", Result.SPAN),
    _f("crypto_ed25519_sign_version_1", "iil", Result.SPAN),
    _f("logging_log_version_1", "ill"),
    _f("logging_max_level_version_1", "", Result.I32),
    _f("misc_print_hex_version_1", "l"),
    _f("misc_print_utf8_version_1", "l"),
    _f("misc_runtime_version_version_1", "l", Result.SPAN),
)
MALLOC, FREE = "ext_allocator_malloc_version_1", "ext_allocator_free_version_1"

_HEAP = f"""
  (memory $heads 1 1)
  (global $base (mut i32) (i32.const 0))
  (global $top (mut i32) (i32.const 0))
  (func (export "init") (param $heap_base i32)
    (global.set $base (i32.and (i32.add (local.get $heap_base) (i32.const 7)) (i32.const -8)))
    (global.set $top (global.get $base)))
  (func $reserve (param $end i32) (local $missing i32)
    (local.set $missing (i32.sub
      (i32.shr_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 16)) (memory.size $guest)))
    (if (i32.gt_s (local.get $missing) (i32.const 0)) (then
      (if (i32.eq (memory.grow $guest (local.get $missing)) (i32.const -1)) (then
        (call $fail (i32.const {OUT_OF_MEMORY})) unreachable)))))
  (func $malloc (param $size i32) (result i32) (local $order i32) (local $block i32)
    (if (i32.gt_u (local.get $size) (i32.const {_ALLOCATION_MAX})) (then
      (call $fail (i32.const {OUT_OF_MEMORY})) unreachable))
    (if (i32.gt_u (local.get $size) (i32.const 8)) (then
      (local.set $order (i32.sub (i32.const 29) (i32.clz (i32.sub (local.get $size) (i32.const 1)))))))
    (local.set $block (i32.load $heads (i32.shl (local.get $order) (i32.const 2))))
    (if (local.get $block)
      (then
        (if (i32.load $guest (i32.sub (local.get $block) (i32.const 4))) (then
          (call $fail (i32.const {BAD_FREE})) unreachable))
        (i32.store $heads (i32.shl (local.get $order) (i32.const 2))
          (i32.load $guest (i32.sub (local.get $block) (i32.const 8)))))
      (else
        (local.set $block (i32.add (global.get $top) (i32.const 8)))
        (global.set $top (i32.add (local.get $block) (i32.shl (i32.const 8) (local.get $order))))
        (if (i32.lt_u (global.get $top) (local.get $block)) (then
          (call $fail (i32.const {OUT_OF_MEMORY})) unreachable))
        (call $reserve (global.get $top))))
    (i64.store $guest (i32.sub (local.get $block) (i32.const 8))
      (i64.or (i64.const 0x100000000) (i64.extend_i32_u (local.get $order))))
    (local.get $block))
  (func $free (param $block i32) (local $header i64) (local $head i32)
    (if (i32.or
          (i32.lt_u (local.get $block) (i32.add (global.get $base) (i32.const 8)))
          (i32.ge_u (local.get $block) (global.get $top))) (then
      (call $fail (i32.const {BAD_FREE})) unreachable))
    (local.set $header (i64.sub (i64.load $guest (i32.sub (local.get $block) (i32.const 8))) (i64.const 0x100000000)))
    (if (i64.ge_u (local.get $header) (i64.const {_ORDERS})) (then
      (call $fail (i32.const {BAD_FREE})) unreachable))
    (local.set $head (i32.shl (i32.wrap_i64 (local.get $header)) (i32.const 2)))
    (i64.store $guest (i32.sub (local.get $block) (i32.const 8))
      (i64.extend_i32_u (i32.load $heads (local.get $head))))
    (i32.store $heads (local.get $head) (local.get $block)))
  (export "{MALLOC}" (func $malloc))
  (export "{FREE}" (func $free))
"""


def _types(letters: str) -> str:
    return " ".join("i64" if letter == "l" else "i32" for letter in letters)


def _signature(params: str, results: str) -> str:
    return (f" (param {_types(params)})" if params else "") + (f" (result {_types(results)})" if results else "")


def _wrapper(function: HostFunction) -> str:
    """The export: the host function itself, or a wrapper that allocates its result."""
    if function.result in (Result.NOTHING, Result.I32):
        return f'  (export "{function.name}" (func ${function.name}))\n'
    arguments = " ".join(f"(local.get {index})" for index in range(len(function.params)))
    head = f'  (func (export "{function.name}"){_signature(function.params, function.results)}'
    if function.result is Result.FIXED:
        return (
            f"{head} (local $out i32)\n"
            f"    (local.set $out (call $malloc (i32.const {function.size})))\n"
            f"    (call ${function.name} {arguments} (local.get $out)) (local.get $out))\n"
        )
    return (
        f"{head} (local $out i32) (local $length i32)\n"
        f"    (local.set $out (call $malloc (i32.const {SMALL_RESULT})))\n"
        f"    (local.set $length (call ${function.name} {arguments} (local.get $out)))\n"
        f"    (if (i32.gt_u (local.get $length) (i32.const {SMALL_RESULT})) (then\n"
        "      (call $free (local.get $out))\n"
        "      (local.set $out (call $malloc (local.get $length)))\n"
        "      (call $take (local.get $out))))\n"
        "    (i64.or (i64.shl (i64.extend_i32_u (local.get $length)) (i64.const 32))\n"
        "      (i64.extend_i32_u (local.get $out))))\n"
    )


def shim_wat(pages_min: int, pages_max: int) -> str:
    """The module's text. It owns the runtime's memory: `pages_min` to `pages_max` pages of 64 KiB."""
    imports = "".join(
        f'  (import "host" "{f.name}" (func ${f.name}{_signature(f.python_params, f.python_results)}))\n'
        for f in HOST_FUNCTIONS
    )
    return (
        "(module\n"
        '  (import "host" "fail" (func $fail (param i32)))\n'
        '  (import "host" "take" (func $take (param i32)))\n'
        f"{imports}"
        f'  (memory $guest (export "memory") {pages_min} {pages_max})\n'
        f"{_HEAP}{''.join(map(_wrapper, HOST_FUNCTIONS))})"
    )
