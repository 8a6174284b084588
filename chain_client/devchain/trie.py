"""The state trie: a radix-16 Patricia trie whose nodes are never changed, only replaced.

A state is a root node. Writing a key copies the nodes on its path (a handful) and shares all the others, so many
states live side by side for the cost of their differences, and forgetting one is dropping its root. Each node keeps
its Merkle value once computed; after a block only the copied nodes are hashed again. The cost of a block therefore
grows with its writes and with the depth of the trie (log16 of the number of keys), not with the state.

Node encoding: https://spec.polkadot.network/chap-state (section 2.4), in code `sp-trie`'s `NodeCodec`. State version 0
puts every value into its node; version 1 puts the BLAKE2b-256 of values above 32 bytes instead.

Paths are strings of hex digits, one per nibble: slicing and comparing them is the interpreter's fastest way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from chain_client.devchain.hashing import blake2_256
from chain_client.devchain.scale import compact

EMPTY_ROOT = blake2_256(b"\0")
_DIGITS = "0123456789abcdef"
_NIBBLE = {digit: index for index, digit in enumerate(_DIGITS)}
_NO_CHILDREN: tuple[Node | None, ...] = ()
_SIXTEEN: tuple[Node | None, ...] = (None,) * 16
_HASHED_ABOVE = 32
# Header bits and how many bits of the first byte they take: (value kind, leaf?) of `NodeCodec`.
_LEAF, _BRANCH, _BRANCH_VALUE = (0b0100_0000, 2), (0b1000_0000, 2), (0b1100_0000, 2)
_LEAF_HASHED, _BRANCH_HASHED = (0b0010_0000, 3), (0b0001_0000, 4)


class Node:
    """A leaf (no children) or a branch (16 slots, at least one used). Treated as frozen; `merkle` is a cache."""

    __slots__ = ("children", "merkle", "partial", "value")

    def __init__(self, partial: str, value: bytes | None, children: tuple[Node | None, ...]) -> None:
        self.partial = partial
        self.value = value
        self.children = children
        self.merkle: bytes | None = None


def _header(kind: tuple[int, int], nibbles: int) -> bytes:
    """The node header: kind bits and the number of nibbles in the partial key."""
    bits, width = kind
    most = 255 >> width
    if nibbles < most:
        return bytes((bits | nibbles,))
    rest = nibbles - most
    return bytes((bits | most,)) + b"\xff" * (rest // 255) + bytes((rest % 255,))


def _merkle(node: Node, version: int) -> bytes:
    """The Merkle value: the encoded node itself when shorter than a hash, else its hash. Kept in the node.

    Computes those of its children on the way, in one frame a level: the deepest key must fit on the stack.
    """
    value, partial = node.value, node.partial
    hashed = version == 1 and value is not None and len(value) > _HASHED_ABOVE
    if not node.children:
        kind = _LEAF_HASHED if hashed else _LEAF
    elif value is None:
        kind = _BRANCH
    else:
        kind = _BRANCH_HASHED if hashed else _BRANCH_VALUE
    parts = [_header(kind, len(partial)), bytes.fromhex(partial if len(partial) % 2 == 0 else "0" + partial)]
    bitmap = 0
    tail: list[bytes] = []
    for index, child in enumerate(node.children):
        if child is not None:
            bitmap |= 1 << index
            merkle = child.merkle or _merkle(child, version)
            tail.append(compact(len(merkle)) + merkle)
    if node.children:
        parts.append(bitmap.to_bytes(2, "little"))
    if value is not None:
        parts.append(blake2_256(value) if hashed else compact(len(value)) + value)
    encoded = b"".join(parts + tail)
    node.merkle = merkle = encoded if len(encoded) < 32 else blake2_256(encoded)
    return merkle


def _shared(left: str, right: str) -> int:
    """The length of the common prefix."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length


def _with_child(children: tuple[Node | None, ...], index: int, child: Node | None) -> tuple[Node | None, ...]:
    return (*children[:index], child, *children[index + 1 :])


def _insert(node: Node | None, path: str, value: bytes) -> Node:
    """`node` with `value` at `path`."""
    if node is None:
        return Node(path, value, _NO_CHILDREN)
    partial = node.partial
    if path == partial:
        return Node(partial, value, node.children)
    if path.startswith(partial):
        at = len(partial)
        index = _NIBBLE[path[at]]
        children = node.children or _SIXTEEN
        return Node(partial, node.value, _with_child(children, index, _insert(children[index], path[at + 1 :], value)))
    at = _shared(partial, path)
    lower = Node(partial[at + 1 :], node.value, node.children)
    children = _with_child(_SIXTEEN, _NIBBLE[partial[at]], lower)
    if at == len(path):
        return Node(path, value, children)
    leaf = Node(path[at + 1 :], value, _NO_CHILDREN)
    return Node(path[:at], None, _with_child(children, _NIBBLE[path[at]], leaf))


def _tidy(partial: str, value: bytes | None, children: tuple[Node | None, ...]) -> Node | None:
    """A node in its only legal form: nothing, a leaf, a branch, or its single child with a longer partial key."""
    used = [index for index, child in enumerate(children) if child is not None]
    if not used:
        return None if value is None else Node(partial, value, _NO_CHILDREN)
    if value is None and len(used) == 1:
        child = children[used[0]]
        assert child is not None
        return Node(partial + _DIGITS[used[0]] + child.partial, child.value, child.children)
    return Node(partial, value, children)


def _remove(node: Node | None, path: str) -> Node | None:
    """`node` without `path`; the same object when `path` was not there."""
    if node is None or not path.startswith(node.partial):
        return node
    at = len(node.partial)
    if at == len(path):
        return node if node.value is None else _tidy(node.partial, None, node.children)
    if not node.children:
        return node
    index = _NIBBLE[path[at]]
    child = node.children[index]
    after = _remove(child, path[at + 1 :])
    return node if after is child else _tidy(node.partial, node.value, _with_child(node.children, index, after))


def _build(paths: Sequence[str], values: Sequence[bytes], low: int, high: int, depth: int) -> Node:
    """The node over the sorted, distinct entries `low` to `high` (exclusive), `depth` nibbles below the root."""
    first = paths[low]
    if high - low == 1:
        return Node(first[depth:], values[low], _NO_CHILDREN)
    at = depth + _shared(first[depth:], paths[high - 1][depth:])
    value = None
    start = low
    if len(first) == at:
        value = values[low]
        start += 1
    children: list[Node | None] = [None] * 16
    while start < high:
        digit = paths[start][at]
        end = start + 1
        while end < high and paths[end][at] == digit:
            end += 1
        children[_NIBBLE[digit]] = _build(paths, values, start, end, at + 1)
        start = end
    return Node(first[depth:at], value, tuple(children))


def _walk(node: Node, path: str, above: str) -> Iterator[tuple[str, bytes]]:
    """Entries below `node`, whose parents spell `path`, in order, with paths strictly greater than `above`."""
    path += node.partial
    if path < above and not above.startswith(path):
        return
    if node.value is not None and path > above:
        yield path, node.value
    for index, child in enumerate(node.children):
        if child is not None:
            below = path + _DIGITS[index]
            if below >= above[: len(below)]:
                yield from _walk(child, below, above)


class Trie:
    """One state. Immutable: `updated` gives another one.

    `version` is the state version, 0 or 1; states that share nodes have the same one.
    """

    __slots__ = ("_root", "version")

    def __init__(self, version: int = 1, *, _root: Node | None = None) -> None:
        if version not in (0, 1):
            raise ValueError(f"state version {version} is unknown")
        self.version = version
        self._root = _root

    @classmethod
    def of(cls, entries: Mapping[bytes, bytes], version: int = 1) -> Trie:
        """The state with exactly these entries, built bottom-up."""
        if not entries:
            return cls(version)
        keys = sorted(entries)
        root = _build([key.hex() for key in keys], [entries[key] for key in keys], 0, len(keys), 0)
        return cls(version, _root=root)

    def get(self, key: bytes) -> bytes | None:
        """The value at `key`."""
        node, path, position = self._root, key.hex(), 0
        end = len(path)
        while node is not None:
            if not path.startswith(node.partial, position):
                return None
            position += len(node.partial)
            if position == end:
                return node.value
            if not node.children:
                return None
            node = node.children[_NIBBLE[path[position]]]
            position += 1
        return None

    def items(self, prefix: bytes = b"", after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Entries under `prefix` in the order of their keys, those at or before `after` left out."""
        wanted = prefix.hex()
        if after is not None and after.hex() >= wanted:
            above = after.hex()
        elif wanted:
            value = self.get(prefix)
            if value is not None:
                yield prefix, value
            above = wanted
        else:
            value = self.get(b"")
            if value is not None:
                yield b"", value
            above = ""
        if self._root is None:
            return
        for path, found in _walk(self._root, "", above):
            if not path.startswith(wanted):
                return
            yield bytes.fromhex(path), found

    def next_key(self, key: bytes) -> bytes | None:
        """The least key strictly greater than `key`."""
        if self._root is None:
            return None
        for path, _ in _walk(self._root, "", key.hex()):
            return bytes.fromhex(path)
        return None

    def updated(self, changes: Mapping[bytes, bytes | None]) -> Trie:
        """The state after `changes`; None deletes."""
        root = self._root
        for key, value in changes.items():
            root = _remove(root, key.hex()) if value is None else _insert(root, key.hex(), value)
        return Trie(self.version, _root=root)

    def root(self) -> bytes:
        """The state root, 32 bytes. Hashes only what was never hashed before."""
        if self._root is None:
            return EMPTY_ROOT
        # The root is hashed whatever its length; below it, short nodes stand in their parents as they are.
        merkle = self._root.merkle or _merkle(self._root, self.version)
        return merkle if len(merkle) == 32 else blake2_256(merkle)


def ordered_root(values: Iterable[bytes], version: int) -> bytes:
    """The root of a list: the trie with compact(index) as keys (`extrinsics_root`)."""
    return Trie.of({compact(index): value for index, value in enumerate(values)}, version).root()
