"""The first thing a client does, from end to end."""

import pytest
from harness import Client, Refused


def test_reserve_commit_fulfill(client: Client) -> None:
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 10)
    made = client.reserve(("A", "X", 4))
    assert client.available("A", ["X"]) == 6
    client.commit(made.reservation_id)
    client.fulfill(made.reservation_id)
    level = client.level("A", "X")
    assert (level.on_hand, level.reserved, level.committed, level.available) == (6, 0, 0, 6)
    with pytest.raises(Refused) as refused:
        client.reserve(("A", "X", 7))
    assert refused.value.reason == "INSUFFICIENT_STOCK"
    assert refused.value.shortages == [(client.name("A"), client.name("X"), 7, 6)]
    assert client.verify().ok
