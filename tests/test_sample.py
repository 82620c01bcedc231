"""`onhand serve --sample`: a small shop in an engine that has nothing, and nothing into one that has something."""

from engines import ForkedEngine
from harness import Client
from onhand.routing.v1 import network_service_pb2 as network
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub


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
