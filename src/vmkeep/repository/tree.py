"""Trees of ids: which chunk stands where on a disk. docs/formats/repository.md, "Trees".

A node's place is its level (0 is a leaf) and its number among the nodes of that level.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from vmkeep.repository.index_object import split_ids
from vmkeep.repository.layout import FAN_OUT, ID_SIZE, NODE_SIZE, ZERO_ID, RecordKind
from vmkeep.repository.record_reader import RecordReader

ZERO_NODE: Final = bytes(NODE_SIZE)
_CACHED_NODES = 4096


def chunk_count(size_bytes: int, chunk_size: int) -> int:
    """Return how many chunks a disk has; at least one."""
    return max(1, -(-size_bytes // chunk_size))


def root_level(count: int) -> int:
    """Return the level of the root of a tree over `count` chunks."""
    level = 0
    while FAN_OUT ** (level + 1) < count:
        level += 1
    return level


class NodeSource(Protocol):
    """What a tree asks for."""

    def read(self, node_id: bytes) -> bytes:
        """Return a node's 4096 bytes; of the zero id, zeros."""
        ...


class NodeReader:
    """Reads nodes, keeping the latest 4096 (16 MiB). Safe from several threads."""

    def __init__(self, records: RecordReader) -> None:
        self._records = records
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, node_id: bytes) -> bytes:
        """Return a node's 4096 bytes; the errors of RecordReader.read."""
        if node_id == ZERO_ID:
            return ZERO_NODE
        with self._lock:
            if node_id in self._cache:
                self._cache.move_to_end(node_id)
                return self._cache[node_id]
        node = self._records.read(RecordKind.NODE, node_id)
        with self._lock:
            self._cache[node_id] = node
            if len(self._cache) > _CACHED_NODES:
                self._cache.popitem(last=False)
        return node


class Tree:
    """A stored tree over `count` chunks; nodes are read as they are needed."""

    def __init__(self, nodes: NodeSource, root: bytes, count: int) -> None:
        self.root = root
        self.count = count
        self.root_level = root_level(count)
        self._nodes = nodes

    def node_id(self, level: int, number: int) -> bytes:
        """Return the id of the node at a place; the zero id outside the tree."""
        if level > self.root_level or number >= FAN_OUT ** (self.root_level - level):
            return ZERO_ID
        if level == self.root_level:
            return self.root
        parent = self._nodes.read(self.node_id(level + 1, number // FAN_OUT))
        start = number % FAN_OUT * ID_SIZE
        return parent[start : start + ID_SIZE]

    def node(self, level: int, number: int) -> bytes:
        """Return the node at a place. Above the root stand nodes whose first child is the one below."""
        if level > self.root_level:
            below = self.node_id(level - 1, 0) if level == self.root_level + 1 and number == 0 else ZERO_ID
            return below + ZERO_NODE[ID_SIZE:]
        return self._nodes.read(self.node_id(level, number))

    def leaves(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and content of each leaf that is not all zero, in order."""
        return self._leaves_below(self.root, self.root_level, 0)

    def _leaves_below(self, node_id: bytes, level: int, number: int) -> Iterator[tuple[int, bytes]]:
        if node_id == ZERO_ID:
            return
        node = self._nodes.read(node_id)
        if level == 0:
            yield number, node
            return
        for slot, child in enumerate(split_ids(node)):
            yield from self._leaves_below(child, level - 1, number * FAN_OUT + slot)


class TreeUpdate:
    """A new tree that differs from an old one in some leaves; only nodes on the way to them are stored."""

    def __init__(self, old: Tree, count: int, put_node: Callable[[bytes], bytes]) -> None:
        """Begin a tree of `count` chunks; `put_node` stores a node and returns its id."""
        self._old = old
        self._count = count
        self._put_node = put_node
        self._leaf_ids: dict[int, bytes] = {}

    def put_leaf(self, number: int, changes: dict[int, bytes]) -> None:
        """Set runs of ids in a leaf: first slot → ids. Safe from several threads for different leaves."""
        leaf = bytearray(ZERO_NODE)
        if sum(map(len, changes.values())) < NODE_SIZE:
            leaf[:] = self._old.node(0, number)
        for slot, ids in changes.items():
            leaf[slot * ID_SIZE : slot * ID_SIZE + len(ids)] = ids
        self._leaf_ids[number] = self._store(leaf, self._count - number * FAN_OUT)

    def finish(self) -> bytes:
        """Store the nodes above the leaves that changed, and return the root's id."""
        if self._count != self._old.count:  # both edges are rewritten up to the root
            for number in {0, (min(self._count, self._old.count) - 1) // FAN_OUT} - self._leaf_ids.keys():
                self.put_leaf(number, {})
        changed, width = self._leaf_ids, self._count
        for level in range(1, root_level(self._count) + 1):
            width = -(-width // FAN_OUT)
            above: dict[int, bytearray] = {}
            for number, node_id in changed.items():
                parent = number // FAN_OUT
                if parent not in above:
                    above[parent] = bytearray(self._old.node(level, parent))
                start = number % FAN_OUT * ID_SIZE
                above[parent][start : start + ID_SIZE] = node_id
            changed = {n: self._store(node, width - n * FAN_OUT) for n, node in above.items()}
        return changed.get(0, self._old.root)

    def _store(self, node: bytearray, width: int) -> bytes:
        """Store a node of which only the first `width` children exist; return its id."""
        if width < FAN_OUT:
            node[width * ID_SIZE :] = bytes(NODE_SIZE - width * ID_SIZE)
        content = bytes(node)
        if content == ZERO_NODE:
            return ZERO_ID
        return self._put_node(content)
