"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, units done, units in all); units in all is 0 while unknown."""


def silent(what: str, done: int, total: int) -> None:
    """A Progress that tells nobody."""
