"""Trees as the format tells them: equal content gives equal trees, and only what changed is stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.repository.scenes import KEY
from vmkeep.repository.index_object import split_ids
from vmkeep.repository.layout import FAN_OUT, ID_SIZE, ZERO_ID
from vmkeep.repository.sealing import Sealer
from vmkeep.repository.tree import Tree, TreeUpdate, chunk_count, root_level

SEALER = Sealer(KEY)


class Nodes:
    """Nodes in a dict; counts how many were stored."""

    def __init__(self) -> None:
        self.stored = {ZERO_ID: bytes(FAN_OUT * ID_SIZE)}
        self.puts = 0

    def put(self, node: bytes) -> bytes:
        node_id = SEALER.node_id(node)
        self.stored[node_id] = node
        self.puts += 1
        return node_id

    def read(self, node_id: bytes) -> bytes:
        return self.stored[node_id]


def build(nodes: Nodes, old: Tree, count: int, chunks: dict[int, bytes]) -> Tree:
    update = TreeUpdate(old, count, nodes.put)
    leaves: dict[int, dict[int, bytes]] = {}
    for number, chunk_id in chunks.items():
        leaves.setdefault(number // FAN_OUT, {})[number % FAN_OUT] = chunk_id
    for leaf, changes in leaves.items():
        update.put_leaf(leaf, changes)
    return Tree(nodes, update.finish(), count)


def contents(tree: Tree) -> dict[int, bytes]:
    return {
        leaf * FAN_OUT + slot: chunk_id
        for leaf, node in tree.leaves()
        for slot, chunk_id in enumerate(split_ids(node))
        if chunk_id != ZERO_ID
    }


COUNTS = st.sampled_from([1, 2, 255, 256, 257, 65536, 65537, 2**24 + 1])
CHUNK_IDS = st.sampled_from([ZERO_ID, b"a" * 16, b"b" * 16])


@settings(deadline=None)
@given(st.lists(st.tuples(COUNTS, st.dictionaries(st.integers(0, 2**24), CHUNK_IDS, max_size=6)), max_size=5))
def test_tree_holds_what_was_put_however_it_came_about(
    generations: list[tuple[int, dict[int, bytes]]],
) -> None:
    nodes = Nodes()
    tree, model = Tree(nodes, ZERO_ID, 1), dict[int, bytes]()
    for count, wanted in generations:
        changes = {number % count: chunk_id for number, chunk_id in wanted.items()}
        tree = build(nodes, tree, count, changes)
        model = {n: i for n, i in (model | changes).items() if n < count and i != ZERO_ID}
        assert contents(tree) == model
        assert build(nodes, Tree(nodes, ZERO_ID, count), count, model).root == tree.root


def test_a_change_stores_one_node_for_each_level() -> None:
    nodes, count = Nodes(), 2**20
    tree = build(nodes, Tree(nodes, ZERO_ID, count), count, dict.fromkeys(range(0, count, 1000), b"a" * 16))
    nodes.puts = 0
    build(nodes, tree, count, {123456: b"b" * 16})
    assert nodes.puts == root_level(count) + 1 == 3


def test_tree_of_zeros_has_no_nodes() -> None:
    nodes = Nodes()
    tree = build(nodes, Tree(nodes, ZERO_ID, 1000), 1000, dict.fromkeys(range(1000), ZERO_ID))
    assert (tree.root, nodes.puts) == (ZERO_ID, 0)


@pytest.mark.parametrize(
    ("size", "count", "level"),
    [(0, 1, 0), (1, 1, 0), (4096, 1, 0), (4097, 2, 0), (256 * 4096, 256, 0), (257 * 4096, 257, 1)],
)
def test_height_follows_from_the_size(size: int, count: int, level: int) -> None:
    assert (chunk_count(size, 4096), root_level(count)) == (count, level)
