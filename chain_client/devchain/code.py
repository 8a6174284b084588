"""Runtime code as it stands in `:code`, plain or compressed WebAssembly, and its compiled form on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from importlib.metadata import version
from pathlib import Path

import wasmtime
import zstandard

from chain_client.devchain.errors import BadRuntime

_ZSTD_PREFIX = bytes.fromhex("52bc537646db8e05")
WASM_BYTES_MAX = 16 << 20
_COMPILED_BYTES_MAX = 256 << 20
_DIGEST_BYTES = 32
_COMPILER = f"wasmtime {version('wasmtime')}"


def unpacked(code: bytes) -> bytes:
    """The WebAssembly module in `code`, decompressed if need be. Raises `BadRuntime`."""
    if code.startswith(_ZSTD_PREFIX):
        try:
            with zstandard.ZstdDecompressor().stream_reader(code[len(_ZSTD_PREFIX) :]) as stream:
                wasm: bytes = stream.read(WASM_BYTES_MAX + 1)
        except zstandard.ZstdError as error:
            raise BadRuntime(f"the compressed code is damaged: {error}") from None
    else:
        wasm = code
    if len(wasm) > WASM_BYTES_MAX:
        raise BadRuntime(f"the code is longer than {WASM_BYTES_MAX} bytes")
    if not wasm.startswith(b"\0asm"):
        raise BadRuntime("the code is no WebAssembly")
    return wasm


class ModuleCache:
    """Compiled modules in a directory that only the user can write.

    A compiled module is machine code that will be executed as it is, so a file is used only when it is a regular file
    of this user in a directory of this user, neither writable by others, and whole (it begins with its own SHA-256).
    The name holds the hash of the WebAssembly, the version of the compiler and its settings. Anything else is
    compiled anew. `directory` None: no cache.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def module(self, engine: wasmtime.Engine, wasm: bytes, settings: str) -> wasmtime.Module:
        """`wasm` compiled for `engine`. Raises `BadRuntime` when it is no valid module."""
        key = hashlib.sha256(wasm + f"|{_COMPILER}|{settings}".encode()).hexdigest()
        compiled = self._load(f"{key}.cwasm")
        if compiled is not None:
            with contextlib.suppress(wasmtime.WasmtimeError):
                return wasmtime.Module.deserialize(engine, compiled)
        try:
            module = wasmtime.Module(engine, wasm)
        except wasmtime.WasmtimeError as error:
            raise BadRuntime(f"the code does not compile: {str(error).splitlines()[0]}") from None
        self._save(f"{key}.cwasm", bytes(module.serialize()))
        return module

    def _private(self) -> bool:
        """Is the directory there, ours and closed to others? Created if missing."""
        assert self._directory is not None
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = self._directory.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(state.st_mode) and _only_ours(state)

    def _load(self, name: str) -> bytes | None:
        if self._directory is None or not self._private():
            return None
        try:
            handle = os.open(self._directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with open(handle, "rb") as file:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode) or not _only_ours(state) or state.st_size > _COMPILED_BYTES_MAX:
                return None
            data = file.read()
        digest, compiled = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return compiled if hashlib.sha256(compiled).digest() == digest else None

    def _save(self, name: str, compiled: bytes) -> None:
        """Put it there whole or not at all; a cache that cannot be written is no error."""
        if self._directory is None or not self._private():
            return
        with contextlib.suppress(OSError):
            handle, temporary = tempfile.mkstemp(dir=self._directory)
            try:
                with open(handle, "wb") as file:
                    file.write(hashlib.sha256(compiled).digest() + compiled)
                os.replace(temporary, self._directory / name)
            except OSError:
                os.unlink(temporary)


def _only_ours(state: os.stat_result) -> bool:
    return state.st_uid == os.getuid() and not state.st_mode & 0o022
