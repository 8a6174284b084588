"""The genesis block: a preset of the runtime, what the caller changes in it, and the runtime's own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chain_client.devchain.header import HASH_BYTES, Block, Header
from chain_client.devchain.overlay import Overlay
from chain_client.devchain.runtime import Runtime
from chain_client.devchain.trie import EMPTY_ROOT, Trie

CODE_KEY = b":code"


@dataclass(frozen=True)
class Genesis:
    """Block 0 and the state after it."""

    block: Block
    entries: dict[bytes, bytes]
    state: Trie


def merged(base: Mapping[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    """JSON merge patch (RFC 7386): objects merge, None deletes, everything else replaces."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def build_genesis(runtime: Runtime, code: bytes, preset: str, patch: Mapping[str, object] | None = None) -> Genesis:
    """The genesis of `preset` with `patch` merged in. Raises `BlockError`, or a `RuntimeFailure`."""
    overlay = Overlay(Trie(runtime.version.state_version))
    config = merged(merged(runtime.preset(None), runtime.preset(preset)), patch or {})
    runtime.build_state(config, overlay)
    overlay.set(CODE_KEY, code)
    entries = {key: value for key, value in overlay.changes.items() if value is not None}
    state = Trie.of(entries, runtime.version.state_version)
    return Genesis(Block(Header(bytes(HASH_BYTES), 0, state.root(), EMPTY_ROOT), ()), entries, state)
