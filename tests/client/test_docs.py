"""The examples of docs/client.md, pasted one after the other, with the sample shop."""

import re
from pathlib import Path

import pytest
from newer_engine import method_names
from onhand.client import Client

from client.harness import engine_at
from engine.load.sample import fill

DOCS = (Path(__file__).parent.parent.parent / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


def test_the_examples_of_the_docs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with engine_at(tmp_path, "native") as process:
        assert fill(process.address).startswith("sample: a shop")
        for example in EXAMPLES:
            code = example.replace("127.0.0.1:50051", process.address).replace("127.0.0.1:50052", "127.0.0.1:1")
            exec(compile(code, "docs/client.md", "exec"), {"__name__": "__main__"})
            told = capsys.readouterr().out
            for line in re.findall(r"^# prints: (.*)$", example, re.MULTILINE):
                assert line in told


def test_each_method_has_an_example() -> None:
    called = set(re.findall(r"\bclient\.(\w+)\(", "".join(EXAMPLES)))
    assert called == set(method_names(Client))
