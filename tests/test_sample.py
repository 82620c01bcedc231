"""`onhand serve --sample`: a small shop in an engine that has nothing, and nothing into one that has something."""

import json
import re
from pathlib import Path

from engines import ForkedEngine
from harness import Client
from onhand.routing.v1 import network_service_pb2 as network
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub
from typer.testing import CliRunner

from engine.cli import app

DOCS = Path(__file__).parent.parent / "docs"


def test_a_sample_fills_an_empty_engine_and_no_other(tmp_path):
    flags = ["--sample", "--port", "0", "--data-folder", str(tmp_path / "data")]
    with ForkedEngine(flags, log_file=tmp_path / "log") as engine, Client(engine.address) as client:
        status = client.status()
        assert min(status.sku_count, status.location_count, status.stock_level_count) > 5
        found = NetworkServiceStub(client.channel).GetNetwork(network.GetNetworkRequest())
        assert found.network.currency == "EUR"
        held = client.reserve(("JEANS-32", "S-VIENNA", 5)).reservation_id
        client.commit(held)
        client.fulfill(held)
        on_hand = client.level("JEANS-32", "S-VIENNA").on_hand
    first = engine.address
    with ForkedEngine(flags, log_file=tmp_path / "log") as engine, Client(engine.address) as client:
        assert client.level("JEANS-32", "S-VIENNA").on_hand == on_hand
    told = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("sample: ")]
    assert told == [
        f"sample: a shop with stock and a routing network is at {first}; onhand load --example has its files",
        f"sample: nothing loaded, the engine has {status.sku_count} skus and {status.location_count} locations",
    ]


def test_the_page_of_transfers_can_be_pasted(tmp_path, capsys):
    """Its commands lead where the remark beside each says, the figures of its table are those of the books."""
    page = (DOCS / "transfers.md").read_text("utf-8")
    (commands,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    rows = [
        [int(cell) for cell in cells.split("|")] for cells in re.findall(r"(?m)^\| [a-z]+ ?\d* \|([ |\d]+)\|$", page)
    ]
    flags = ["--sample", "--port", "0", "--data-folder", str(tmp_path / "data")]
    with ForkedEngine(flags, log_file=tmp_path / "log") as engine, Client(engine.address) as client:
        runner = CliRunner(env={"ONHAND_ADDRESS": engine.address})
        for line, row in zip(commands.splitlines(), rows, strict=True):
            words, _, remark = line.removeprefix("$ onhand ").partition("#")
            result = runner.invoke(app, [*words.split(), "--json"])
            assert result.exit_code == 0, result.stderr
            told = json.loads(result.stdout)
            if remark:
                assert told["state"].endswith(remark.strip().partition(":")[0])
            lines = client.get_transfer("0000000100000000").lines
            found = [
                client.level("MUG", "W-LINZ").on_hand,
                sum(each.in_transit_quantity for each in lines),
                client.level("MUG", "S-GRAZ").on_hand,
                sum(each.short_quantity for each in lines),
            ]
            assert found == row, line
        for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(compile(code.replace("127.0.0.1:50051", engine.address), "docs/transfers.md", "exec"), {})
            for expected in re.findall(r"^ *# prints: (.*)$", code, re.MULTILINE):
                assert expected in capsys.readouterr().out
