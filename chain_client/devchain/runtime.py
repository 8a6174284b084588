"""A runtime with the calls that a chain makes of it, typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chain_client.devchain.errors import BadFormat, BlockError, RuntimeTrapped, ScaleError, VerificationFailed
from chain_client.devchain.executor import Executor
from chain_client.devchain.header import HASH_BYTES, Block, Header
from chain_client.devchain.overlay import Overlay
from chain_client.devchain.scale import Reader, byte_vector, option, sequence
from chain_client.devchain.trie import Trie
from chain_client.devchain.validity import Applied, ValidTransaction, decode_applied, decode_validity

EXTERNAL_SOURCE = 2
_TIMESTAMP_INHERENT = b"timstap0"
RUNTIME_FILE = Path(__file__).parent / "peerz_runtime.compact.compressed.wasm"


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    """`RuntimeVersion`; `apis` are pairs of the API's identifier (8 bytes) and version."""

    spec_name: str
    impl_name: str
    authoring_version: int
    spec_version: int
    impl_version: int
    apis: tuple[tuple[bytes, int], ...]
    transaction_version: int
    system_version: int

    @property
    def state_version(self) -> int:
        """Which trie the runtime's state is in."""
        return min(self.system_version, 1)

    @classmethod
    def decoded(cls, data: bytes) -> RuntimeVersion:
        """From SCALE."""
        reader = Reader(data)
        spec_name, impl_name = (reader.byte_vector().decode("utf-8", "replace") for _ in range(2))
        authoring, spec, impl = (reader.integer(4) for _ in range(3))
        apis = tuple((reader.take(8), reader.integer(4)) for _ in range(reader.count(12)))
        return cls(spec_name, impl_name, authoring, spec, impl, apis, reader.integer(4), reader.integer(1))


class Runtime:
    """The typed calls. Each raises a `RuntimeFailure` when the runtime gives no answer, `ScaleError` for a bad one."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    @cached_property
    def version(self) -> RuntimeVersion:
        """`Core_version`; it does not depend on the state."""
        return RuntimeVersion.decoded(self.executor.call("Core_version", b"", Overlay(Trie())))

    @cached_property
    def metadata(self) -> bytes:
        """The metadata (V14) without the outer length."""
        return Reader(self.executor.call("Metadata_metadata", b"", Overlay(Trie()))).byte_vector()

    def preset(self, name: str | None) -> dict[str, object]:
        """The genesis patch called `name`; None: the defaults that patches are merged into. Raises `BlockError`."""
        asked = option(None if name is None else byte_vector(name.encode()))
        reader = Reader(self.executor.call("GenesisBuilder_get_preset", asked, Overlay(Trie())))
        if not reader.boolean():
            raise BlockError(f"the runtime has no genesis preset {name!r}; it has {', '.join(self.preset_names())}")
        patch = json.loads(reader.byte_vector())
        if not isinstance(patch, dict):
            raise ScaleError(f"the genesis preset {name!r} is no object")
        return patch

    def preset_names(self) -> list[str]:
        """All genesis presets."""
        reader = Reader(self.executor.call("GenesisBuilder_preset_names", b"", Overlay(Trie())))
        return [reader.byte_vector().decode("utf-8", "replace") for _ in range(reader.count())]

    def build_state(self, config: dict[str, object], overlay: Overlay) -> None:
        """Write the genesis state of a whole `config` into `overlay`. Raises `BlockError` when it is refused."""
        text = json.dumps(config, separators=(",", ":")).encode()
        reader = Reader(self.executor.call("GenesisBuilder_build_state", byte_vector(text), overlay))
        if reader.boolean():
            reason = reader.byte_vector().decode("utf-8", "replace")
            raise BlockError(f"the runtime refuses the genesis: {reason[:400]}")

    def slot_ms(self, overlay: Overlay) -> int:
        """The length of a slot."""
        length = Reader(self.executor.call("AuraApi_slot_duration", b"", overlay)).integer(8)
        if not length:
            raise ScaleError("the runtime's slots have no length")
        return length

    def initialize_block(self, header: Header, overlay: Overlay) -> bool:
        """Begin the block; may transactions be applied in it, or inherents only?"""
        return self.executor.call("Core_initialize_block", header.encoded(), overlay) != b"\1"

    def inherents(self, timestamp_ms: int, overlay: Overlay) -> list[bytes]:
        """The extrinsics that the author must put first."""
        data = sequence([_TIMESTAMP_INHERENT + byte_vector(timestamp_ms.to_bytes(8, "little"))])
        reader = Reader(self.executor.call("BlockBuilder_inherent_extrinsics", data, overlay))
        return [byte_vector(reader.byte_vector()) for _ in range(reader.count())]

    def apply(self, extrinsic: bytes, overlay: Overlay) -> Applied:
        """Apply one extrinsic. Raises a `PoolError` when it may not be in the block; its writes are then undone."""
        overlay.start()
        try:
            applied = decode_applied(self.executor.call("BlockBuilder_apply_extrinsic", extrinsic, overlay))
        except BaseException:
            overlay.rollback()
            raise
        overlay.commit()
        return applied

    def finalize_block(self, overlay: Overlay) -> Header:
        """End the block; the header with its roots."""
        return Header.decoded(self.executor.call("BlockBuilder_finalize_block", b"", overlay))

    def execute_block(self, block: Block, overlay: Overlay) -> None:
        """Let the runtime replay a whole block and check all that its header claims. Raises `BlockError`."""
        try:
            self.executor.call("Core_execute_block", block.encoded(), overlay)
        except RuntimeTrapped as error:
            raise BlockError(f"block {block.header.number} does not hold: {error}") from None

    def validate(self, extrinsic: bytes, parent_hash: bytes, state: Trie) -> ValidTransaction:
        """Would `extrinsic` be valid in a block upon `parent_hash`, whose state is `state`? Raises a `PoolError`."""
        assert len(parent_hash) == HASH_BYTES
        check_format(extrinsic)
        data = bytes((EXTERNAL_SOURCE,)) + extrinsic + parent_hash
        try:
            answer = self.executor.call("TaggedTransactionQueue_validate_transaction", data, Overlay(state))
        except RuntimeTrapped:
            raise VerificationFailed("the runtime broke down over it") from None
        return decode_validity(answer)


def check_format(extrinsic: bytes) -> None:
    """An extrinsic is a byte vector, its length in front. Raises `BadFormat`."""
    reader = Reader(extrinsic)
    try:
        reader.byte_vector()
        reader.end()
    except ScaleError as error:
        raise BadFormat(str(error)) from None


class Runtimes:
    """Compiled runtimes by their code: the few that the kept states need."""

    _KEPT = 4

    def __init__(self, compile_code: Callable[[bytes], Executor]) -> None:
        self._compile = compile_code
        self._by_code: dict[bytes, Runtime] = {}

    def of(self, code: bytes) -> Runtime:
        """The runtime whose code this is. Raises `BadRuntime`."""
        runtime = self._by_code.pop(code, None) or Runtime(self._compile(code))
        self._by_code[code] = runtime
        if len(self._by_code) > self._KEPT:
            del self._by_code[next(iter(self._by_code))]
        return runtime
