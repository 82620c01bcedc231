"""The client package: catalog and network, in the contract's own messages; shortcuts of movements."""

from collections.abc import Iterator

import onhand.client as api
import pytest
from engines import ForkedEngine
from harness import Stage, new_id
from onhand.client import Location, LocationKind, LocationRouting, Sku, UnavailableReason
from routing_harness import PICKUP, SHIP, RoutingClient, a_network

from client.harness import Pair


@pytest.fixture
def names(engine: ForkedEngine, request: pytest.FixtureRequest) -> Iterator[RoutingClient]:
    with RoutingClient(engine.address, prefix=f"{abs(hash(request.node.nodeid)):x}-") as made:
        yield made


def a_location(location_id: str, **more: object) -> Location:
    return Location(location_id=location_id, kind=LocationKind.LOCATION_KIND_STORE, active=True, **more)


def test_the_catalog_is_written_and_read(pair: Pair) -> None:
    client, name = pair.client, pair.harness.name
    x, y, a, b = (name(each) for each in ("X", "Y", "A", "B"))
    made = client.create_location(a_location(x, display_name="First", location_groups=[name("G")]))
    assert (made.version, made.display_name) == (1, "First")
    with pytest.raises(api.LocationAlreadyExists):
        client.create_location(made)
    made.display_name, made.latitude = "Renamed", 12.0
    changed = client.update_location(made, update_mask=["display_name"])
    assert (changed.version, changed.display_name, changed.latitude) == (2, "Renamed", 0.0)
    with pytest.raises(api.VersionMismatch):
        client.update_location(made)
    counts = client.upsert_locations([changed, a_location(y)])
    assert (counts.created_count, counts.updated_count, counts.unchanged_count) == (1, 0, 1)
    tried = client.upsert_locations([a_location(name("Z"))], validate_only=True)
    assert (tried.created_count, tried.seq) == (1, counts.seq)
    assert client.get_location(x) == changed
    assert [each.location_id for each in client.list_locations(location_group=name("G"))] == [x]
    assert {x, y} <= {each.location_id for each in client.list_locations()}

    sku = client.create_sku(Sku(sku_id=a, base_unit="each"))
    sku.weight_milligrams = 5
    assert client.update_sku(sku).weight_milligrams == 5
    assert client.upsert_skus([Sku(sku_id=b, base_unit="each")], update_mask=["display_name"]).created_count == 1
    assert client.get_sku(a).version == 2
    assert [each.sku_id for each in client.list_skus()][-2:] == [a, b]
    for missing, kind in ((client.get_location, api.LocationNotFound), (client.get_sku, api.SkuNotFound)):
        with pytest.raises(kind):
            missing(name("nobody"))


def test_a_repeat_of_a_catalog_call_changes_nothing(pair: Pair) -> None:
    client, request_id = pair.client, new_id()
    sku = Sku(sku_id=pair.harness.name("A"), base_unit="each")
    assert client.create_sku(sku, request_id=request_id) == client.create_sku(sku, request_id=request_id)
    sku.display_name = "other"
    with pytest.raises(api.RequestIdReused) as reused:
        client.create_sku(sku, request_id=request_id)
    assert reused.value.request_id == request_id


def test_the_network_is_written_and_read(pair: Pair, names: RoutingClient) -> None:
    client, x = pair.client, names.name("X")
    client.create_location(a_location(x, latitude=1.0, longitude=1.0))
    own = LocationRouting(location_id=x, calendar="daily", carrier="parcel", methods=[SHIP, PICKUP])
    written = client.upsert_network(a_network(), [own], replace_locations=True)
    read = client.get_network()
    assert (read.version, read.currency, len(read.carriers)) == (written.version, "EUR", 1)
    assert [each.location_id for each in client.list_location_routing()] == [x]
    own.priority = 3
    assert client.upsert_location_routing([own], expected_version=written.version).version == written.version + 1
    with pytest.raises(api.VersionMismatch):
        client.upsert_location_routing([own], expected_version=written.version)
    assert client.upsert_network(a_network(), validate_only=True).version == written.version + 1
    assert [each.priority for each in client.list_location_routing()] == [3]


def test_movements_have_shortcuts(pair: Pair, stage: Stage) -> None:
    client, line = pair.client, (stage.client.name("A"), stage.client.name("X"))
    client.damage([(*line, 5)])
    client.mark_unavailable([(*line, 3)], unavailable_reason=UnavailableReason.DISPLAY)
    client.mark_available([(*line, 1)], unavailable_reason=UnavailableReason.DISPLAY)
    client.write_off([(*line, 4)], reference="skip")
    level = client.get_stock_level(*line)
    assert level.on_hand == 96
    assert level.unavailable_by_reason == {UnavailableReason.DAMAGED: 1, UnavailableReason.DISPLAY: 2}
    with pytest.raises(api.InsufficientStock):
        client.write_off([(*line, 2)])
    with pytest.raises(api.ValidationFailed, match="unavailable_reason"):
        client.mark_unavailable([(*line, 2)])  # type: ignore[call-arg]
