"""What grew old is looked through by Python's collector while it is little, and never all at once."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from engine.cycles import COLLECTED_MAX, COLLECTIONS_MAX, LOOKED_AFTER, OLD_MAX, CycleCollector


class Node:
    """Holds itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def cycles() -> Iterator[CycleCollector]:
    frozen = gc.get_freeze_count()
    with CycleCollector() as cycles:
        cycles.settle(anew=False)
        yield cycles
    if frozen:  # what the tests keep frozen
        gc.freeze()


def grow_old(collections: int = LOOKED_AFTER) -> None:
    """Let what there is grow old."""
    for _ in range(collections):
        gc.collect(1)


@pytest.mark.usefixtures("cycles")
def test_nothing_old_is_looked_through_by_itself():
    lost = weakref.ref(Node())
    grow_old(COLLECTIONS_MAX // 10)
    assert lost() is None  # it was young
    node = Node()
    grow_old()
    lost = weakref.ref(node)
    del node
    kept = [[] for _ in range(10 * OLD_MAX)]
    assert lost() is not None
    assert kept


@pytest.mark.parametrize("count", [OLD_MAX + 1, COLLECTED_MAX - OLD_MAX // 2])
def test_what_grew_old_is_looked_through_while_it_is_little(cycles, count):
    frozen = gc.get_freeze_count()
    node, kept = Node(), [[] for _ in range(count)]
    grow_old()
    lost = weakref.ref(node)
    del node
    cycles.look()
    assert lost() is None
    assert gc.get_freeze_count() >= frozen + count
    assert len(kept) == count


def test_a_rush_stays_without_being_looked_at(cycles):
    frozen = gc.get_freeze_count()
    seen = []
    gc.callbacks.append(lambda _, info: seen.append(info["generation"]))
    try:
        kept = [[] for _ in range(COLLECTED_MAX + 1)]
        grow_old()
        cycles.look()
    finally:
        gc.callbacks.pop()
    assert set(seen) <= {0, 1}
    assert gc.get_freeze_count() >= frozen + len(kept)


def test_few_old_objects_are_looked_through_now_and_then(cycles):
    node = Node()
    grow_old()
    lost = weakref.ref(node)
    del node
    cycles.look()
    assert lost() is not None
    grow_old(COLLECTIONS_MAX)
    cycles.look()
    assert lost() is None


def test_what_is_built_anew_lets_the_one_before_go(cycles):
    node = Node()
    cycles.settle(anew=False)
    lost = weakref.ref(node)
    del node
    cycles.settle(anew=False)
    assert lost() is not None
    cycles.settle(anew=True)
    assert lost() is None
