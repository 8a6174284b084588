"""Runs a runtime: one fresh instance for every call, bounded in instructions, host work, time and memory."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from chain_client.devchain.code import ModuleCache, unpacked
from chain_client.devchain.errors import (
    BadRuntime,
    HostCallError,
    RuntimeExhausted,
    RuntimeFailure,
    RuntimeTrapped,
    ScaleError,
    UnknownRuntimeCall,
)
from chain_client.devchain.host import Frame, GuestMemory, Host
from chain_client.devchain.overlay import Overlay
from chain_client.devchain.shim import FREE, HOST_FUNCTIONS, MALLOC, shim_wat
from chain_client.devchain.trie import Trie

HEAP_BASE = "__heap_base"
_RESULT_BYTES_MAX = 64 << 20
_STACK_BYTES = 1 << 20
_PAGE_BYTES = 1 << 16
_PAGES_MAX = 1 << 16
_TABLE_ELEMENTS_MAX = 1 << 16
_SETTINGS = f"fuel,stack={_STACK_BYTES}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use up. Fuel and work are the same on every machine, so a call that fits here fits everywhere.

    `seconds` is the last resort against a combination that those two price too low.
    """

    fuel: int = 10_000_000_000
    """Instructions: about ten seconds, where a block may take two."""
    host_work: int = 4 << 30
    """Bytes that host functions handle, each call counted as 2 KiB."""
    extra_pages: int = 2048
    """Memory above what the module asks for, in pages of 64 KiB."""
    seconds: float = 60.0


class Executor:
    """A compiled runtime.

    `code` is what stands in `:code`; compiled modules are kept in `cache_dir` (None: not kept). Not for use by two
    threads at once. Raises `BadRuntime`.
    """

    def __init__(
        self,
        code: bytes,
        cache_dir: Path | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache_dir = cache_dir
        self._limits = limits or Limits()
        self._clock = clock
        config = wasmtime.Config()
        config.consume_fuel = True
        config.max_wasm_stack = _STACK_BYTES
        # The base address is taken once per call, so it must not change when the memory grows.
        config.memory_may_move = False
        self._engine = wasmtime.Engine(config)
        self._module = ModuleCache(cache_dir).module(self._engine, unpacked(code), _SETTINGS)
        least, most = self._check_imports()
        self._entries = self._check_exports()
        self._memory_bytes_max = most * _PAGE_BYTES
        self._shim = wasmtime.Module(self._engine, shim_wat(least, most))
        self._host = Host(self._version_of, clock)
        self._shim_linker = self._link_host()
        self._linker = wasmtime.Linker(self._engine)
        self._linker.allow_shadowing = True

    def call(self, method: str, data: bytes, overlay: Overlay) -> bytes:
        """Call the entry point `method` with SCALE `data`; gives back its SCALE result.

        Writes go to `overlay`; after an error it is as it was. Raises a `RuntimeFailure`.
        """
        if method not in self._entries:
            raise UnknownRuntimeCall(f"the runtime has no call {method[:100]}")
        floor = overlay.depth
        overlay.start()
        try:
            result = self._run(method, data, overlay)
        except RecursionError:
            raise RuntimeExhausted("the state is nested too deeply") from None
        except ScaleError as error:
            raise HostCallError(f"the runtime gave its host bytes that do not decode: {error}") from None
        else:
            if overlay.depth != floor + 1:
                raise HostCallError("the runtime left a storage transaction open")
            overlay.commit()
            return result
        finally:
            while overlay.depth > floor:
                overlay.rollback()

    def _run(self, method: str, data: bytes, overlay: Overlay) -> bytes:
        store = wasmtime.Store(self._engine)
        store.set_fuel(self._limits.fuel)
        # The shim has two memories and the runtime none of its own: what it needs it imports.
        store.set_limits(self._memory_bytes_max, _TABLE_ELEMENTS_MAX, instances=2, tables=1, memories=2)
        # The linker is asked for single exports: listing all of an instance's costs more than a small call.
        self._linker.define_instance(store, "env", self._shim_linker.instantiate(store, self._shim))
        memory, init, malloc = (self._linker.get(store, "env", name) for name in ("memory", "init", MALLOC))
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(init, wasmtime.Func)
        assert isinstance(malloc, wasmtime.Func)
        base = ctypes.cast(memory.data_ptr(store), ctypes.c_void_p).value
        assert base is not None
        guest = GuestMemory(base, lambda: memory.data_len(store))
        deadline = self._clock() + self._limits.seconds
        frame = Frame(guest, overlay, self._limits.host_work, overlay.depth, deadline)
        self._host.enter(frame)
        try:
            self._linker.define_instance(store, "runtime", self._linker.instantiate(store, self._module))
            entry, heap = (self._linker.get(store, "runtime", name) for name in (method, HEAP_BASE))
            assert isinstance(entry, wasmtime.Func)
            assert isinstance(heap, wasmtime.Global)
            init(store, heap.value(store))
            argument = malloc(store, len(data)) & 0xFFFF_FFFF
            guest.write(argument, data)
            span = entry(store, argument, len(data))
            pointer, length = span & 0xFFFF_FFFF, span >> 32 & 0xFFFF_FFFF
            if length > _RESULT_BYTES_MAX:
                raise HostCallError(f"the runtime gave back {length} bytes")
            return guest.read(pointer, length)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise _failure(method, error, frame.last_error) from None
        finally:
            self._host.leave()

    def _check_imports(self) -> tuple[int, int]:
        """The bounds of the memory that the runtime imports, in pages. Refuses what this host does not have."""
        known = {function.name for function in HOST_FUNCTIONS} | {MALLOC, FREE}
        least = None
        for item in self._module.imports:
            if item.module == "env" and item.name == "memory" and isinstance(item.type, wasmtime.MemoryType):
                least = item.type.limits.min
            elif item.module != "env" or item.name not in known:
                raise BadRuntime(f"the runtime asks for {item.module}.{item.name}, which this host does not have")
        if least is None:
            raise BadRuntime("the runtime does not import its memory")
        most = least + self._limits.extra_pages
        if most > _PAGES_MAX:
            raise BadRuntime(
                f"the runtime asks for {least} pages of memory; at most {_PAGES_MAX} with those for its heap"
            )
        return least, most

    def _check_exports(self) -> frozenset[str]:
        """The entry points: functions from a pointer and a length to a span."""
        entries = set()
        heap = False
        for item in self._module.exports:
            kind = item.type
            if isinstance(kind, wasmtime.FuncType):
                if list(map(str, kind.params)) == ["i32", "i32"] and list(map(str, kind.results)) == ["i64"]:
                    entries.add(item.name)
            elif item.name == HEAP_BASE:
                heap = isinstance(kind, wasmtime.GlobalType) and str(kind.content) == "i32"
        if not heap:
            raise BadRuntime("the runtime does not say where its heap begins")
        return frozenset(entries)

    def _link_host(self) -> wasmtime.Linker:
        linker = wasmtime.Linker(self._engine)
        for function in HOST_FUNCTIONS:
            implementation = getattr(self._host, function.name.removeprefix("ext_"))
            type_ = _function_type(function.python_params, function.python_results)
            linker.define_func("host", function.name, type_, implementation)
        linker.define_func("host", "fail", _function_type("i", ""), self._host.fail)
        linker.define_func("host", "take", _function_type("i", ""), self._host.take)
        return linker

    def _version_of(self, code: bytes) -> bytes | None:
        """`Core_version` of another runtime, None when that is none."""
        try:
            other = Executor(code, self._cache_dir, self._limits, self._clock)
            return other.call("Core_version", b"", Overlay(Trie()))
        except RuntimeFailure:
            return None


def _function_type(params: str, results: str) -> wasmtime.FuncType:
    types = {"i": wasmtime.ValType.i32, "l": wasmtime.ValType.i64}
    return wasmtime.FuncType([types[letter]() for letter in params], [types[letter]() for letter in results])


def _failure(method: str, error: Exception, said: str) -> RuntimeFailure:
    """The typed error for a trap. What the runtime logged as its last error is the reason it gave."""
    text = str(error)
    if "all fuel consumed" in text:
        return RuntimeExhausted(f"{method} used up its instructions")
    if "call stack exhausted" in text:
        return RuntimeExhausted(f"{method} used up its stack")
    if isinstance(error, wasmtime.Trap):
        return RuntimeTrapped(f"{method} trapped: {said or error.message.splitlines()[-1].strip()}")
    return BadRuntime(f"{method} could not be started: {text.splitlines()[0]}")
