"""The host functions: what the runtime may ask of the world outside its memory.

Every pointer and length comes from the runtime and is checked against the size of its memory before a byte is touched.
Every call is charged to a budget of work, so that a loop of host calls ends like a loop of instructions does.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass

from chain_client.devchain import hashing, signatures
from chain_client.devchain.errors import HostCallError, RuntimeExhausted, ScaleError
from chain_client.devchain.overlay import Overlay
from chain_client.devchain.scale import Reader, byte_vector, option
from chain_client.devchain.shim import BAD_FREE, SMALL_RESULT
from chain_client.devchain.trie import ordered_root

logger = logging.getLogger("chain_client.devchain.runtime")

KEY_BYTES_MAX = 384
"""The trie descends by recursion, two levels a byte at worst."""
LOG_BYTES_MAX = 4096
_CALL_COST = 2048
_LOG_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG, 4: logging.DEBUG}


class GuestMemory:
    """The memory of one runtime instance. `size` tells its current length; it never shrinks and never moves."""

    __slots__ = ("_base", "_length", "_size")

    def __init__(self, base: int, size: Callable[[], int]) -> None:
        self._base = base
        self._size = size
        self._length = size()

    def _check(self, pointer: int, length: int) -> None:
        if pointer + length > self._length:
            self._length = self._size()
            if pointer + length > self._length:
                raise HostCallError("the runtime pointed outside its memory")

    def read(self, pointer: int, length: int) -> bytes:
        """`length` bytes at `pointer`."""
        self._check(pointer, length)
        return ctypes.string_at(self._base + pointer, length)

    def write(self, pointer: int, data: bytes) -> None:
        """Put `data` at `pointer`."""
        self._check(pointer, len(data))
        ctypes.memmove(self._base + pointer, data, len(data))


@dataclass(slots=True)
class Frame:
    """One call into the runtime: its memory, the storage it sees and the work that it may still ask for (bytes)."""

    memory: GuestMemory
    overlay: Overlay
    work_left: int
    floor: int
    """Depth of the overlay at the start: transactions below belong to the caller."""
    deadline: float
    last_error: str = ""
    pending: bytes = b""


class Host:
    """Implements the functions of `shim.HOST_FUNCTIONS` under their names without the prefix `ext_`.

    Integers arrive signed, as WebAssembly has no sign. A function with a result in memory gets its address as the last
    argument; one with a span gives back the length, having written the bytes only when at most `SMALL_RESULT`.
    """

    def __init__(self, version_of: Callable[[bytes], bytes | None], clock: Callable[[], float]) -> None:
        self._version_of = version_of
        self._clock = clock
        self._frames: list[Frame] = []

    def enter(self, frame: Frame) -> None:
        """`frame` is the running call until `leave`; a runtime may ask for the version of another one, so they nest."""
        self._frames.append(frame)

    def leave(self) -> None:
        """The innermost call is over."""
        self._frames.pop()

    def _charge(self, work: int = 0) -> Frame:
        frame = self._frames[-1]
        frame.work_left -= work + _CALL_COST
        if frame.work_left < 0:
            raise RuntimeExhausted("the runtime asked for more work of its host than a call may")
        if self._clock() > frame.deadline:
            raise RuntimeExhausted("the runtime ran longer than a call may")
        return frame

    def _span(self, span: int) -> bytes:
        length = span >> 32 & 0xFFFF_FFFF
        frame = self._charge(length)
        return frame.memory.read(span & 0xFFFF_FFFF, length)

    def _key(self, span: int) -> bytes:
        key = self._span(span)
        if len(key) > KEY_BYTES_MAX:
            raise HostCallError(f"a storage key of {len(key)} bytes; at most {KEY_BYTES_MAX}")
        return key

    def _read(self, pointer: int, length: int) -> bytes:
        return self._charge().memory.read(pointer & 0xFFFF_FFFF, length)

    def _write(self, pointer: int, data: bytes) -> None:
        self._frames[-1].memory.write(pointer & 0xFFFF_FFFF, data)

    def _give(self, out: int, data: bytes) -> int:
        """Give back a span: at once when small, else once the shim has allocated and calls `take`."""
        if len(data) <= SMALL_RESULT:
            self._write(out, data)
        else:
            self._charge(len(data)).pending = data
        return len(data)

    def take(self, out: int) -> None:
        """Write the result that was too long for the first buffer."""
        frame = self._charge()
        self._write(out, frame.pending)
        frame.pending = b""

    def fail(self, reason: int) -> None:
        """The heap gives up."""
        if reason == BAD_FREE:
            raise HostCallError("the runtime damaged its heap")
        raise RuntimeExhausted("the runtime used up its memory")

    # Storage

    def storage_get_version_1(self, key: int, out: int) -> int:
        value = self._frames[-1].overlay.get(self._key(key))
        return self._give(out, b"\0" if value is None else b"\1" + byte_vector(value))

    def storage_set_version_1(self, key: int, value: int) -> None:
        self._frames[-1].overlay.set(self._key(key), self._span(value))

    def storage_read_version_1(self, key: int, buffer: int, offset: int, out: int) -> int:
        value = self._frames[-1].overlay.get(self._key(key))
        if value is None:
            return self._give(out, b"\0")
        rest = value[offset & 0xFFFF_FFFF :]
        self._write(buffer, rest[: buffer >> 32 & 0xFFFF_FFFF])
        return self._give(out, b"\1" + len(rest).to_bytes(4, "little"))

    def storage_clear_version_1(self, key: int) -> None:
        self._frames[-1].overlay.clear(self._key(key))

    def storage_exists_version_1(self, key: int) -> int:
        return int(self._frames[-1].overlay.exists(self._key(key)))

    def storage_clear_prefix_version_2(self, prefix: int, limit: int, out: int) -> int:
        reader = Reader(self._span(limit))
        most = reader.integer(4) if reader.boolean() else None
        removal = self._frames[-1].overlay.clear_prefix(self._key(prefix), most)
        self._charge(removal.visited * _CALL_COST)
        return self._give(out, bytes((removal.remaining,)) + removal.visited.to_bytes(4, "little"))

    def storage_append_version_1(self, key: int, item: int) -> None:
        overlay, name = self._frames[-1].overlay, self._key(key)
        overlay.append(name, self._span(item))

    def storage_next_key_version_1(self, key: int, out: int) -> int:
        following = self._frames[-1].overlay.next_key(self._key(key))
        return self._give(out, option(None if following is None else byte_vector(following)))

    def storage_root_version_2(self, version: int, out: int) -> int:
        frame = self._charge()
        if version != frame.overlay.base.version:
            raise HostCallError(f"state version {version} asked for, the state has {frame.overlay.base.version}")
        return self._give(out, frame.overlay.applied().root())

    def storage_start_transaction_version_1(self) -> None:
        self._charge().overlay.start()

    def storage_commit_transaction_version_1(self) -> None:
        self._own_transaction().commit()

    def storage_rollback_transaction_version_1(self) -> None:
        self._own_transaction().rollback()

    def _own_transaction(self) -> Overlay:
        frame = self._charge()
        if frame.overlay.depth <= frame.floor:
            raise HostCallError("the runtime closed a storage transaction that it had not opened")
        return frame.overlay

    def trie_blake2_256_ordered_root_version_2(self, values: int, version: int, out: int) -> None:
        if version not in (0, 1):
            raise HostCallError(f"state version {version} is unknown")
        reader = Reader(self._span(values))
        try:
            items = [reader.byte_vector() for _ in range(reader.count())]
        except ScaleError as error:
            raise HostCallError(f"the list to hash does not decode: {error}") from None
        self._charge(len(items) * _CALL_COST)
        self._write(out, ordered_root(items, version))

    # Hashing

    def hashing_blake2_128_version_1(self, data: int, out: int) -> None:
        self._write(out, hashing.blake2_128(self._span(data)))

    def hashing_blake2_256_version_1(self, data: int, out: int) -> None:
        self._write(out, hashing.blake2_256(self._span(data)))

    def hashing_keccak_256_version_1(self, data: int, out: int) -> None:
        self._write(out, hashing.keccak_256(self._span(data)))

    def hashing_twox_64_version_1(self, data: int, out: int) -> None:
        self._write(out, hashing.twox_64(self._span(data)))

    def hashing_twox_128_version_1(self, data: int, out: int) -> None:
        self._write(out, hashing.twox_128(self._span(data)))

    # Signatures. Signing is for off-chain code, which this host does not run.

    def crypto_sr25519_verify_version_2(self, signature: int, message: int, public: int) -> int:
        return int(signatures.sr25519_verify(self._read(signature, 64), self._span(message), self._read(public, 32)))

    def crypto_ed25519_verify_version_1(self, signature: int, message: int, public: int) -> int:
        return int(signatures.ed25519_verify(self._read(signature, 64), self._span(message), self._read(public, 32)))

    def crypto_secp256k1_ecdsa_recover_compressed_version_2(self, signature: int, digest: int, out: int) -> int:
        # Seven milliseconds in plain Python: charged like hashing a few megabytes.
        self._charge(1 << 22)
        return self._give(out, signatures.secp256k1_recover(self._read(signature, 65), self._read(digest, 32)))

    def _refuse_keys(self, *_: int) -> int:
        raise HostCallError("this host holds no keys for the runtime")

    crypto_sr25519_generate_version_1 = _refuse_keys
    crypto_ed25519_generate_version_1 = _refuse_keys
    crypto_sr25519_sign_version_1 = _refuse_keys
    crypto_ed25519_sign_version_1 = _refuse_keys

    # Logs

    def logging_log_version_1(self, level: int, target: int, message: int) -> None:
        text = self._text(message)
        if level == 0:
            self._frames[-1].last_error = text
        logger.log(_LOG_LEVELS.get(level, logging.DEBUG), "%s: %s", self._text(target), text)

    def logging_max_level_version_1(self) -> int:
        self._charge()
        for most, level in ((4, logging.DEBUG), (3, logging.INFO), (2, logging.WARNING)):
            if logger.isEnabledFor(level):
                return most
        return 1

    def misc_print_hex_version_1(self, data: int) -> None:
        logger.debug("%s", self._span(data)[: LOG_BYTES_MAX // 2].hex())

    def misc_print_utf8_version_1(self, data: int) -> None:
        logger.debug("%s", self._text(data))

    def _text(self, span: int) -> str:
        """A message of the runtime: bounded, on one line, nothing that steers a terminal."""
        text = self._span(span)[:LOG_BYTES_MAX].decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else " " for letter in text)

    # Other runtimes

    def misc_runtime_version_version_1(self, code: int, out: int) -> int:
        version = self._version_of(self._span(code))
        return self._give(out, option(None if version is None else byte_vector(version)))
