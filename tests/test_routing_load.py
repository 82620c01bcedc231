"""`onhand load` with a network: what files say is what the engine routes over, and wrong files change nothing."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from engines import ForkedEngine
from harness import Refused
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from rich.console import Console
from routing_harness import RoutingClient
from test_routing_files import FILES, read, write

from engine.api.routing import network as network_api
from engine.load.command import load as load_paths
from engine.load.example import FILES as EXAMPLE
from engine.load.example import write_example
from engine.load.plan import Paths, network_before
from engine.load.problems import LoadError


def engine_in(folder: Path) -> ForkedEngine:
    return ForkedEngine(["--port", "0", "--data-folder", str(folder / "data")], log_file=folder / "engine.log")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedEngine]:
    with engine_in(tmp_path_factory.mktemp("load")) as process:
        yield process


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[ForkedEngine]:
    """An engine into which no other test loads anything."""
    with engine_in(tmp_path) as process:
        yield process


@pytest.fixture
def client(served: ForkedEngine) -> Iterator[RoutingClient]:
    with RoutingClient(served.address) as client:
        yield client


def load(served: ForkedEngine, *, dry_run: bool = False, **paths: Path) -> Any:
    """Load files; returns the report of the command."""
    return asyncio.run(load_paths(served.address, Paths(**paths), Console(quiet=True), progress=False, dry_run=dry_run))


def refused(served: ForkedEngine, **paths: Path) -> list[str]:
    """Load wrong files; returns what is said."""
    with pytest.raises(LoadError) as error:
        load(served, **paths)
    return str(error.value).splitlines()


def kept_network(client: RoutingClient) -> network_pb2.Network:
    return client.call(client.network.GetNetwork, networks.GetNetworkRequest()).network


def kept_location(client: RoutingClient, name: str) -> catalog_pb2.Location:
    return client.call(client.catalog.GetLocation, catalog.GetLocationRequest(location_id=name)).location


def test_the_network_of_files_is_the_engines(empty, tmp_path: Path):
    folder = write(tmp_path)
    report = load(empty, network=folder)["network"]
    assert (report["profile_count"], report["default_profile"], report["profiles_created"]) == (1, "fast@2", ["fast"])
    assert report["locations"]["created"] == 2
    again = load(empty, network=folder)["network"]
    assert again["network_version"] == report["network_version"]
    assert again["locations"]["unchanged"] == 2
    with RoutingClient(empty.address) as client:
        kept = kept_network(client)
        expected = read(folder)[0].network
        expected.version = kept.version
        expected.update_time.CopyFrom(kept.update_time)
        assert kept == expected
        client.receive("S0", "A", 3)
        what = plan_pb2.Order(
            lines=[plan_pb2.OrderLine(sku_id="S0", quantity=5)], destination=plan_pb2.Destination(place="10115")
        )
        wrong = refused(empty, network=tmp_path / "nowhere")
        assert any("network.toml" in line for line in wrong)
        with pytest.raises(Refused, match="RESTRICTED_ITEM") as nobody:  # sends what is hazardous
            client.plan(what)
        assert nobody.value.fields == ["order.lines[0]"]


def test_profiles_that_come_and_go_are_told_and_the_default_is_named(served, client, tmp_path: Path):
    folder = write(tmp_path)
    load(served, network=folder)
    (folder / "profiles" / "a.toml").write_text('name = "a"\nversion = 1\n')
    (folder / "profiles" / "fast.toml").write_text('name = "fast"\nversion = 3\n')
    named = f'default_profile = "fast"\n{FILES["network.toml"]}'
    (folder / "network.toml").write_text(named)
    report = load(served, network=folder)["network"]
    assert (report["profiles_created"], report["profiles_changed"], report["default_profile"]) == (
        ["a"],
        ["fast"],
        "fast@3",
    )
    client.sku("plain")
    client.receive("plain", "A", 9)
    order = plan_pb2.Order(
        lines=[plan_pb2.OrderLine(sku_id="plain", quantity=1)], destination=plan_pb2.Destination(place="10115")
    )
    assert client.plan(order).plan.profile == "fast@3"
    (folder / "network.toml").write_text(named.replace('"fast"', '"a"'))
    told = "network: orders that name no profile go by a@1 from now on, before by fast@3."
    assert load(served, network=folder, dry_run=True)["notes"] == [told]
    assert client.plan(order, profile="a").plan.profile == "a@1"
    (folder / "profiles" / "a.toml").unlink()
    (folder / "network.toml").write_text(FILES["network.toml"])
    report = load(served, network=folder)
    assert report["network"]["profiles_removed"] == ["a"]
    assert report["network"]["default_profile"] == "fast@3", "not named: what was, stays"
    assert report["notes"] == ["network: profile: 1 removed: a."]
    (folder / "profiles" / "fast.toml").unlink()
    assert load(served, network=folder)["network"]["profiles_removed"] == []


def test_absent_columns_and_fields_leave_what_is_there(served, client, tmp_path: Path):
    folder = write(tmp_path)
    load(served, network=folder)
    before = kept_location(client, "B")
    assert not before.active
    (tmp_path / "l.csv").write_text("location_id,kind\nB,warehouse\n")
    (tmp_path / "s.csv").write_text("sku_id,base_unit\nS0,each\n")
    report = load(served, locations=tmp_path / "l.csv", skus=tmp_path / "s.csv")
    assert (report["locations"]["unchanged"], report["skus"]["unchanged"]) == (1, 1)
    (folder / "locations.csv").write_text(
        "location_id,latitude,longitude,calendar\nA,52.5,13.4,work\nB,48.1,11.6,work\n"
    )
    (folder / "skus.csv").write_text("sku_id\nS0\n")
    report = load(served, network=folder)["network"]
    assert (report["locations"]["unchanged"], report["skus"]["unchanged"]) == (2, 1)
    assert kept_location(client, "B") == before
    assert [one.unfilled_micros for one in kept_network(client).skus] == [12_500_000]
    pages = client.call(client.network.ListLocationRouting, networks.ListLocationRoutingRequest()).locations
    assert [one.cut_off for one in pages if one.location_id == "A"] == ["14:00:00"]


def test_a_dry_run_tells_the_differences_and_changes_nothing(served, client, tmp_path: Path):
    folder = write(tmp_path)
    load(served, network=folder)
    client.sku("dry")
    client.count("dry", "A", 7)
    seq = client.status().seq_sequenced
    (folder / "lanes.csv").unlink()
    rows = FILES["locations.csv"].replace("14:00", "15:00").replace("B,48.1", "C,48.1")
    (folder / "locations.csv").write_text(rows)
    (tmp_path / "levels.csv").write_text("sku_id,location_id,on_hand\ndry,A,9\ndry,C,1\n")
    report = load(served, levels=tmp_path / "levels.csv", network=folder, dry_run=True)
    assert next(iter(report)) == "differences"
    assert {(one["kind"], one["name"]): (one["change"], one["fields"]) for one in report["differences"]} == {
        ("location", "C"): ("created", {}),
        ("lane", "B to A"): ("removed", {}),
        ("routing of location", "A"): ("changed", {"cut_off": {"from": "14:00:00", "to": "15:00:00"}}),
        ("routing of location", "B"): ("removed", {}),
        ("routing of location", "C"): ("created", {}),
        ("stock level", "dry at A"): ("changed", {"on_hand": {"from": 7, "to": 9}}),
        ("stock level", "dry at C"): ("created", {}),
    }
    assert client.status().seq_sequenced == seq
    assert 'routing of location A changed: cut_off "14:00:00" → "15:00:00"' in [
        one["text"] for one in report["differences"]
    ]


def test_capabilities_and_methods_that_disagree_are_told(served, client, tmp_path: Path):
    folder = write(tmp_path)
    rows = (
        FILES["locations.csv"].replace("ship|pickup", "ship").replace("A,52.5", "T1,52.5").replace("B,48.1", "T2,48.1")
    )
    lanes = FILES["lanes.csv"].replace("B,A", "T2,T1")
    write(tmp_path, locations_csv=rows, lanes_csv=lanes)
    (tmp_path / "l.csv").write_text("location_id,kind,capabilities\nT1,store,returns\n")
    report = load(served, locations=tmp_path / "l.csv", network=folder)
    assert report["notes"][0] == (
        "location T1: its capabilities say neither, its methods in the network ship; it does for orders what both say."
    )
    assert kept_location(client, "T2").capabilities == [catalog_pb2.LOCATION_CAPABILITY_SHIP]


BREAKS = {
    "a currency of 17 bytes": ("network.toml", '"EUR"', '"ABCDEFGHIJKLMNOPQ"', "network.toml line 3, currency: "),
    "a place of 65 bytes": ("places.csv", "10115", "x" * 65, "places.csv line 2, column place: "),
    "places": (
        "places.csv",
        "10115,52.53,13.38\n",
        "".join(f"{place},1,1\n" for place in range(100_001)),
        "places.csv: expected 0 to 100000 entries, was 100001 entries.",
    ),
    "locations": (
        "locations.csv",
        "B,48.1,11.6,work,post,,,,north|south,,false\n",
        "B,48.1,11.6,work,post,,,,,,\n" + "".join(f"B{row},1,1,work,post,,,,,,\n" for row in range(8_192)),
        "locations.csv: expected 0 to 8192 entries, was 8194 entries.",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_routing_cannot_take_is_refused_before_anything_is_written(served, client, tmp_path: Path, what: str):
    file, old, new, told = BREAKS[what]
    assert old in FILES[file]
    seq = client.status().seq_sequenced
    changed = {file.replace(".", "_"): FILES[file].replace(old, new)}
    if file != "locations.csv":
        changed["locations_csv"] = FILES["locations.csv"].replace("B,", "NEW,")
        changed["lanes_csv"] = FILES["lanes.csv"].replace("B,", "NEW,")
    lines = refused(served, network=write(tmp_path, **changed))
    assert any(told in line for line in lines[:-1]), lines
    assert lines[-1] == "Nothing was loaded."
    assert client.status().seq_sequenced == seq


def test_skus_may_have_more_restrictions_in_all_than_locations(empty, tmp_path: Path):
    """Only what locations and carriers say is told apart: what no location may send, no location sends."""
    rows = "".join(f"R{sku},1,{'|'.join(f'r{sku}-{word}' for word in range(16))},\n" for sku in range(5))
    folder = write(tmp_path, skus_csv=FILES["skus.csv"] + rows)
    assert load(empty, network=folder)["network"]


UNKNOWN_FILES = {
    "lane.csv": 'did you mean "lanes.csv"?',
    "LANES.csv": 'did you mean "lanes.csv"?',
    "Sku.CSV.gz": 'did you mean "skus.csv"?',
    "places.tsv": 'did you mean "places.csv"?',
    "lanes.csv.gz": "expected lanes.csv or lanes.csv.gz, was there beside lanes.csv.",
    "profiles/fast.TOML": "expected network.toml or profiles/NAME.toml",
    "profile/fast.toml": "expected network.toml or profiles/NAME.toml",
    "fast.toml": "expected network.toml or profiles/NAME.toml",
    "levels-2026.csv": None,
    "notes.txt": None,
    ".lanes.csv": None,
}


@pytest.mark.parametrize("name", UNKNOWN_FILES)
def test_a_file_that_nobody_reads_is_told(served, tmp_path: Path, name: str):
    folder = write(tmp_path)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    told = UNKNOWN_FILES[name]
    if told is None:
        load(served, network=folder, dry_run=True)
        return
    line = refused(served, network=folder)[0]
    assert line.startswith(f"{folder.name}/{name}: ")
    assert told in line


@pytest.mark.parametrize("name", ["lanes.csv", "zones.csv", "network.toml", "profiles/fast.toml"])
@pytest.mark.parametrize("to", ["itself", "nothing"])
def test_a_link_that_leads_nowhere_is_told(served, tmp_path: Path, name: str, to: str):
    folder = write(tmp_path)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(path if to == "itself" else folder / "gone")
    assert any(f"{folder.name}/{name}: cannot be read: " in line for line in refused(served, network=folder))


def test_a_folder_that_leads_to_itself_is_told(served, tmp_path: Path):
    folder = tmp_path / "network"
    folder.symlink_to(folder)
    assert refused(served, network=folder)[-1] == "Nothing was loaded."


def test_a_network_of_several_pages_is_compared_as_a_whole(monkeypatch):
    places = [network_pb2.Place(name=f"P{number}", latitude=1, longitude=2) for number in range(500)]
    network = network_pb2.Network(currency="EUR", places=places, version=3)
    kept = SimpleNamespace(content=network.SerializeToString(), version=3, update_time_us=0)
    monkeypatch.setattr(network_api, "NETWORK_PAGE_BYTES_MAX", 2_000)
    tokens = []

    async def get_network(request: networks.GetNetworkRequest, **_: float) -> networks.GetNetworkResponse:
        tokens.append(request.page_token)
        return network_api.network_page(kept, request.page_token)

    found = asyncio.run(network_before(SimpleNamespace(GetNetwork=get_network)))
    assert len(found.places) == 500
    assert len(tokens) > 5
    assert (found.currency, found.version) == ("EUR", 3)


def test_no_file_makes_a_traceback(served, tmp_path: Path):
    """Every file of the example, emptied, cut and turned into noise: a problem, or a load, and never more."""
    noises = (b"", b"\0", b"\xff\xfe\0", b"\x1f\x8bnoise", b"[[[[[" * 1000, b'a = "b"\n', b'"')
    for name, text in EXAMPLE.items():
        for number, content in enumerate((*noises, text.encode()[: len(text) // 2])):
            folder = tmp_path / f"{name.replace('/', '-')}-{number}"
            write_example(folder)
            (folder / name).write_bytes(content)
            paths = Paths(folder / "locations.csv", folder / "skus.csv", folder / "levels.csv", folder / "network")
            with contextlib.suppress(LoadError):
                load(served, **paths._asdict(), dry_run=True)
