"""The first thing a client does, from end to end."""

import re
from pathlib import Path

import pytest
from engines import ForkedEngine
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


def test_the_first_calls_of_the_readme(engine: ForkedEngine, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(code.replace("127.0.0.1:50051", engine.address), "README.md", "exec"), {})
    assert "available: 6" in capsys.readouterr().out
