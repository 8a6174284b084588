"""Looking for an extrinsic in a chain that forks: what was found counts only while its block is in the chain."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from chain_client.transactions import MORTALITY_BLOCKS, Scan, Sent

EXTRINSIC = b"an extrinsic"
SENT = Sent(blake2b(EXTRINSIC, digest_size=32).digest(), 0, 1, MORTALITY_BLOCKS)


class Node:
    """A node whose chain is rewritten at will: `blocks` pairs a name with what is in the block, genesis first."""

    def __init__(self, *blocks: tuple[str, bool]) -> None:
        self.blocks = list(blocks)
        self.final = 0

    def rpc_request(self, method: str, params: list[Any]) -> dict[str, Any]:
        names = [f"0x{name.encode().hex():0>64}" for name, _ in self.blocks]
        match method:
            case "chain_getBlockHash":
                result: Any = names[params[0]] if params[0] < len(names) else None
            case "chain_getFinalizedHead":
                result = names[self.final]
            case "chain_getHeader":
                result = {"number": hex(names.index(params[0]) if params else len(names) - 1)}
            case "chain_getBlock":
                holds = self.blocks[names.index(params[0])][1]
                result = {"block": {"extrinsics": ["0x00", "0x" + EXTRINSIC.hex()] if holds else ["0x00"]}}
            case _:
                raise AssertionError(method)
        return {"result": result}


def test_what_was_found_is_looked_for_again_after_a_fork() -> None:
    node, scan = Node(("genesis", False), ("a1", False), ("a2", True)), Scan(SENT)
    found = scan.step(node)
    assert found is not None
    assert (found.number, found.extrinsic) == (2, 1)
    assert not scan.is_final(node)
    node.blocks[1:] = [("b1", True), ("b2", False), ("b3", False)]
    moved = scan.step(node)
    assert moved is not None
    assert (moved.number, moved.block_hash != found.block_hash) == (1, True)
    node.final = 1
    assert scan.is_final(node)


def test_what_a_fork_dropped_is_not_found_and_may_come_back() -> None:
    node, scan = Node(("genesis", False), ("a1", True)), Scan(SENT)
    assert scan.step(node) is not None
    node.blocks[1:] = [("b1", False)]
    node.final = 1
    assert scan.step(node) is None
    assert not scan.is_final(node)
    assert not scan.is_over
    node.blocks.append(("b2", True))
    again = scan.step(node)
    assert again is not None
    assert again.number == 2


def test_a_chain_that_shrank_is_looked_through_again() -> None:
    node, scan = Node(("genesis", False), ("a1", False), ("a2", False)), Scan(SENT)
    assert scan.step(node) is None
    node.blocks[1:] = [("b1", True)]
    assert scan.step(node) is not None


def test_after_its_last_possible_block_it_is_over_and_expired_once_that_is_final() -> None:
    node, scan = Node(*((str(number), False) for number in range(MORTALITY_BLOCKS + 2))), Scan(SENT)
    while not scan.is_over:
        assert scan.step(node) is None
    assert not scan.is_expired(node)
    node.final = MORTALITY_BLOCKS
    assert scan.is_expired(node)
