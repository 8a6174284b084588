"""The budget of keys and values in bytes, and the read-only buffers that lanes pay for together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch


class CachePool:
    """The budget. Thread-safe: buffers are paid for on one thread and grow on another."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.n_changes = 0
        """Times that bytes were taken or given back: as long as it stays, so does who holds what."""
        self._used = 0
        self._is_held_back = False
        self._lock = threading.Lock()

    @property
    def bytes_used(self) -> int:
        return self._used

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Inside, nothing is free: only what takes no bytes succeeds."""
        self._is_held_back = True
        try:
            yield
        finally:
            self._is_held_back = False

    def take(self, n_bytes: int) -> bool:
        """Whether `n_bytes` were free; they are taken then."""
        with self._lock:
            if n_bytes and (self._is_held_back or self._used + n_bytes > self.bytes_max):
                return False
            self._used += n_bytes
            self.n_changes += bool(n_bytes)
            return True

    def give_back(self, n_bytes: int) -> None:
        with self._lock:
            self._used -= n_bytes
            self.n_changes += bool(n_bytes)
            if self._used < 0:
                raise AssertionError("more cache was given back than taken")


class Segment:
    """A read-only buffer that lanes share. It is paid back when the last of them lets go."""

    def __init__(self, buffer: torch.Tensor, tokens: int, paid: int, pool: CachePool) -> None:
        self.buffer = buffer
        self.tokens = tokens
        self.paid = paid
        self._pool = pool
        self._holders = 0

    def hold(self) -> Segment:
        self._holders += 1
        return self

    def let_go(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._pool.give_back(self.paid)
