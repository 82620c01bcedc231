"""`onhand load --network`: what routing reads from files is what the engine routes over."""

import json
from pathlib import Path

import pytest
from engine.load_network import network_message, read_folder
from harness import Refused
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import plan_pb2
from routing_harness import RoutingClient
from test_cli import onhand
from test_routing_files import write

from engine.launch import EngineProcess


def test_the_network_of_files_is_the_engines(tmp_path: Path):
    folder = write(tmp_path)
    (folder / "profiles").mkdir()
    (folder / "profiles" / "fast.toml").write_text('name = "fast"\nversion = 2\n[rules]\nmax_shipments = 2\n')
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data")]
    with EngineProcess(flags, log_file=tmp_path / "engine.log") as process, RoutingClient(process.address) as client:
        report = json.loads(onhand("load", "--network", folder, "--address", process.address, "--json").stdout)
        assert report["network"]["profile_count"] == 1
        assert report["network"]["locations"]["created"] == 2
        again = json.loads(onhand("load", "--network", folder, "--address", process.address, "--json").stdout)
        assert again["network"]["network_version"] == report["network"]["network_version"]
        assert again["network"]["locations"]["unchanged"] == 2
        kept = client.call(client.network.GetNetwork, networks.GetNetworkRequest()).network
        expected = network_message(*read_folder(folder))
        expected.version = kept.version
        expected.update_time.CopyFrom(kept.update_time)
        assert kept == expected
        client.receive("S0", "A", 3)
        what = plan_pb2.Order(
            lines=[plan_pb2.OrderLine(sku_id="S0", quantity=5)], destination=plan_pb2.Destination(place="10115")
        )
        wrong = onhand("load", "--network", tmp_path / "nowhere", "--address", process.address)
        assert wrong.returncode == 1
        assert "network.toml" in wrong.stderr
        with pytest.raises(Refused, match="RESTRICTED_ITEM") as refused:  # nobody sends what is hazardous
            client.plan(what)
        assert refused.value.fields == ["order.lines[0]"]
